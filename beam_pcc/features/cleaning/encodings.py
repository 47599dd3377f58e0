"""Undoes what transports did to a text: JSON around it, literal line breaks, quoted-printable, mojibake, entities."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from typing import Any

from beam_pcc.features.cleaning import fields, transports, words

_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufe00-\ufe0f\U000e0000-\U000e007f]"
    "|(?<![\u0600-\u1cff])[\u200c\u200d]"  # within Arabic and Indic words they are spelling
    "|[\x00-\x08\x0e-\x1f\x7f]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t]")
_ODD = frozenset(
    chr(code)
    for first, last in (
        (0x0, 0x9), (0xB, 0x1F), (0x7F, 0x7F), (0x85, 0x85), (0xA0, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x1680, 0x1680),
        (0x17B4, 0x17B5), (0x180B, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xE0000, 0xE007F),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""What the three above match."""
_OF_TRANSPORTS = _ODD | frozenset("\\=%:")
"""A text without any of them is as it was written."""
_RUN_OF_SPACES = re.compile(" {3,}")
_JOINERS = frozenset("\u200c\u200d")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
# A letter that begins a UTF-8 sequence, read in a one-byte encoding, before what cannot follow a letter.
_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
)
_MOJIBAKE_SECOND = (
    frozenset(chr(code) for code in range(0x80, 0xC0))
    | frozenset("ŒœŠšŸŽžƒˆ˜€™")
    | frozenset(map(chr, range(0x2013, 0x203B)))
)
_CYRILLIC = frozenset(map(chr, range(0x400, 0x500)))
_LOOKALIKES = dict(zip(map(ord, "аеіорсухАВЕІКМНОРСТХ"), "aeiopcyxABEIKMHOPCTX", strict=True))
_MIXED = re.compile("[a-z][\u0400-\u04ff]|[\u0400-\u04ff][a-z]", re.IGNORECASE)
_MIXED_WORD = re.compile(r"[a-z\u0400-\u04ff]+", re.IGNORECASE)
_TEXT_FIELDS = (
    "subject",
    "title",
    "body",
    "text",
    "message",
    "description",
    "content",
    "comment",
    "plain_body",
    "html_body",
)
_MAX_JSON_TEXTS = 50


def decode(text: str) -> str:
    """The text with line feeds as its only line ends, in NFC, and without invisible characters."""
    if text[:1] in '{["' or text[:1].isspace():
        text = _of_json(text)
    signs = words.signs(text)
    if not _OF_TRANSPORTS.isdisjoint(signs):
        text = _of_transports(text)
        signs = words.signs(text)
    if " " not in text:
        text = transports.of_base64(text)
        signs = words.signs(text)
    if not signs.isascii():
        if not _MOJIBAKE_SECOND.isdisjoint(signs) and _MOJIBAKE.search(text):
            import ftfy

            text = ftfy.fix_encoding(text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        if not _CYRILLIC.isdisjoint(signs) and _MIXED.search(text):
            text = _MIXED_WORD.sub(_of_one_script, text)
    if text[1:2] == text[3:4] == " " != text[:1]:
        text = _of_spaced(text)
    return _RUN_OF_SPACES.sub(" ", text) if "   " in text else text


def _of_transports(text: str) -> str:
    """The text without escapes, odd characters, parts of MIME, quoted-printable and percent-encoding."""
    if "\\u" in text:
        text = transports.of_unicode_escapes(text)
    if "\\n" in text and ("\n" not in text or "\\n\\n" in text) and ":\\" not in text:
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\t", " ")
    if not _ODD.isdisjoint(words.signs(text)):
        text = _without_odd(text)
    if "-" in text and ":" in text and ("ontent-" in text or "CONTENT-" in text or "MIME-" in text):
        text = transports.of_mime(text)
    if "=" in text:
        text = transports.of_quoted_printable(transports.encoded_words(text))
    if "%" in text or ("=" in text and "&" in text):
        text = transports.of_percent(text)
    return text


def _without_odd(text: str) -> str:
    """The text with line feeds and spaces of one kind, and without invisible characters; one pass for each kind."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    for odd in _ODD.intersection(text):
        if odd not in _JOINERS:
            text = text.replace(odd, "\n" if _LINE_ENDS.match(odd) else " " if _SPACES.match(odd) else "")
    return text if _JOINERS.isdisjoint(text) else _INVISIBLE.sub("", text)


def _of_spaced(text: str) -> str:
    """The text without the spaces between its letters, if it has them between nearly all."""
    parts = text.split()
    if len(parts) < 8 or sum(len(part) == 1 for part in parts) < 0.9 * len(parts):
        return text
    return "   ".join(word.replace(" ", "") for word in text.split("   ")).replace("   ", " ")


def _of_one_script(match: re.Match[str]) -> str:
    """A word in Latin letters if it has some, and its Cyrillic ones look like Latin ones."""
    word = match.group()
    latin = word.translate(_LOOKALIKES)
    return latin if latin.isascii() and _MIXED.search(word) else word


def entities(text: str) -> str:
    """The text with the characters that its HTML entities stand for."""
    if "&" not in text or not _ENTITY.search(text):
        return text
    for _ in range(3):  # some desks escape what was escaped
        text = html.unescape(text)
        if not _ENTITY.search(text):
            break
    return _without_odd(text)


def _of_json(text: str) -> str:
    """The texts of a ticket that is stored as JSON; the text itself if it is no such JSON."""
    bare = text.strip()
    if bare[:1] == '"' and "\\" in bare and bare.endswith('"'):
        return _of_json_string(bare)
    if not (bare.startswith(('{"', "{ ", "{\n", "[{", "[ ", "[\n")) and bare.endswith(("}", "]"))):
        return text
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return text
    texts: list[str] = []
    _collect(value, texts, 0)
    return "\n\n".join(texts) if texts else text


def _of_json_string(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) and value.strip() else text


def _collect(value: Any, texts: list[str], depth: int) -> None:
    """Add the texts of the fields that hold a message; of other fields, the texts that have several words."""
    if depth > 8 or len(texts) >= _MAX_JSON_TEXTS:
        return
    if isinstance(value, dict):
        first = [name for name in _TEXT_FIELDS if name in value]
        for name in [*first, *(name for name in value if name not in first)]:
            one = value[name]
            if not isinstance(one, str):
                _collect(one, texts, depth + 1)
            elif (
                (name in first or (" " in one.strip() and not fields.is_contact(name, one)))
                and one.strip()
                and one not in texts
            ):
                texts.append(one)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, str) and " " in one.strip() and one not in texts:
                texts.append(one)
            else:
                _collect(one, texts, depth + 1)
