"""Maps what redaction left, in any tool's form, to one form, and drops tokens that are no words."""

from __future__ import annotations

import re

from beam_pcc.features.cleaning.words import PLACEHOLDER, may_ask

NEUTRAL = "[NAME]"
"""The one form that is left in a cleaned text."""

_NAMED = re.compile(
    r"\[\[?([A-Z][A-Z0-9ÄÖÜÉÈÇÑ_ -]{0,38}(?:[:#-]\d+)?)\]\]?|<([A-Z][A-Z0-9]{1,20}(?:_[A-Z0-9]+){0,4})>|"
    r"\{\{\s*[\w.| -]{1,60}\s*\}\}|\(([A-Z]+(?:_[A-Z0-9]+)+)\)|"
    r"[\[<({](?:redacted|removed|masked|hidden|anonymi[sz]ed|geschwärzt|entfernt|anonymisiert|masqué|supprimé|anonymisé|"
    r"eliminado|oculto|anonimizado|name|email|phone|address)[\])}>]"
)
_MASK = re.compile(
    r"#{4,}(?:[@.-]+#+)*|\*{4,}(?=[\s.,;:!?)@]|$)|[█■▇▓]{2,}|\b[Xx]{4,}\b|\bX{2,}(?:[-./ ]X{2,}){1,5}\b|\bXXX\b"
)
_HTML_NAMES = frozenset(
    [
        "HTML",
        "HEAD",
        "BODY",
        "DIV",
        "SPAN",
        "TABLE",
        "TBODY",
        "THEAD",
        "TR",
        "TD",
        "TH",
        "UL",
        "OL",
        "LI",
        "DL",
        "DT",
        "DD",
        "BR",
        "HR",
        "IMG",
        "FONT",
        "CENTER",
        "BLOCKQUOTE",
        "PRE",
        "CODE",
        "EM",
        "STRONG",
        "SMALL",
        "BIG",
        "SUB",
        "SUP",
        "TT",
        "STYLE",
        "SCRIPT",
        "META",
        "LINK",
        "TITLE",
        "BASE",
        "FORM",
        "INPUT",
        "BUTTON",
        "H1",
        "H2",
        "H3",
        "H4",
        "H5",
        "H6",
        "SECTION",
    ]
)
_RUN = re.compile(rf"{PLACEHOLDER}(?:[ \t,;:@.()<>\[\]|/-]*{PLACEHOLDER})+")
_BANNER = re.compile(r"EXT(?:ERN(?:AL|E)?)?\b|CAUTION|WARNING|SPAM|TICKET|CASE\b.*\d|URGENT|SECURE|ENCRYPTED|IMPORTANT")

_DATA_URL = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,60}[;,][^\s\"'<>)]*")
_LONG = re.compile(r"(?:(?:https?|ftp)://|www\.)[^\s<>\"']*|[A-Za-z0-9+/=_%&?~#.:-]{40,}")  # _MIN_LONG
_MIN_LONG = 40
_MAX_ADDRESS = 60
_LINKED = re.compile(
    rf"[\[(<]\s*(?:(?:https?|cid|mailto|image|tel):[^\s\])>]*|{PLACEHOLDER}?\.(?:png|gif|jpe?g))\s*[\])>]", re.I
)


def neutral(text: str) -> str:
    """The text with PLACEHOLDER for each name of what was redacted, and for each mask."""
    if "[" in text or "<" in text or "{" in text or "(" in text:
        text = _NAMED.sub(_name, text)
    return _MASK.sub(PLACEHOLDER, text) if has_mask(text) else text


def has_mask(text: str) -> bool:
    """Whether a text may have a mask: cheap to ask."""
    return (
        "####" in text or "****" in text or "XXX" in text or "xxxx" in text or "██" in text
        or "■■" in text or "▇▇" in text or "▓▓" in text or "XX-XX" in text or "XX XX" in text
    )  # fmt: skip


def _name(match: re.Match[str]) -> str:
    bracketed, tag, underscored = match.group(1, 2, 3)
    name = bracketed or tag or underscored
    if name is None:
        return PLACEHOLDER
    if tag and tag in _HTML_NAMES:
        return match.group()
    if "_" in name:
        return PLACEHOLDER
    if bracketed and (len(name) < 2 or name.count(" ") > 2 or _BANNER.match(name)):
        return match.group()
    return match.group() if name not in _PRIVATE and may_ask(name.lower()) else PLACEHOLDER


_PRIVATE = frozenset(
    {"ACCOUNT", "PERSONAL DATA", "DATA", "REMOVED", "ENTFERNT", "SUPPRIMÉ", "ELIMINADO", "ACCOUNT NUMBER", "DATOS"}
)


def final(text: str) -> str:
    """The text with the neutral form for PLACEHOLDER, once for several beside each other."""
    if PLACEHOLDER not in text:
        return text
    text = _RUN.sub(PLACEHOLDER, text)
    return text.replace(PLACEHOLDER, NEUTRAL)


def without_tokens(text: str) -> str:
    """The text without data: URLs, targets of links, tracking links and other tokens that are too long for words."""
    if "data:" in text:
        text = _DATA_URL.sub(" ", text)
    if "://" in text or (":" in text and ("cid:" in text or "mailto:" in text or "image:" in text or "tel:" in text)):
        text = _LINKED.sub(" ", text)
    if "://" in text or "www." in text or len(max(text.split(), key=len, default="")) >= _MIN_LONG:
        text = _LONG.sub(_token, text)
    return text


def _token(match: re.Match[str]) -> str:
    token = match.group()
    if token.startswith(("http", "ftp", "www")):
        return token if len(token) <= _MAX_ADDRESS else token.split("?")[0][:_MAX_ADDRESS].rsplit("/", 1)[0]
    digits = sum(character.isdigit() for character in token)
    return " " if digits >= 4 and digits * 12 >= len(token) else token
