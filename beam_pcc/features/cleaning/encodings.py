"""Undoes what transports did to a text: JSON around it, literal line breaks, quoted-printable, mojibake, entities."""

from __future__ import annotations

import html
import json
import quopri
import re
import unicodedata
from typing import Any

_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufe00-\ufe0f\U000e0000-\U000e007f]"
    "|(?<![\u0600-\u1cff])[\u200c\u200d]"  # within Arabic and Indic words they are spelling
    "|[\x00-\x08\x0e-\x1f\x7f]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_QUOTED_PRINTABLE = re.compile(r"=\n|=[CDEFcdef][0-9A-Fa-f]=[89ABab][0-9A-Fa-f]")
_ESCAPE = re.compile(r"=[0-9A-Fa-f]{2}|=\n")
# A letter that begins a UTF-8 sequence, read in a one-byte encoding, before what cannot follow a letter.
_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
)
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
    if text[:1] in "{[" or text[:1].isspace():
        text = _of_json(text)
    if "\\n" in text and "\n" not in text and ":\\" not in text:
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\t", " ")
    if text.isascii():
        if "\r" in text or not text.isprintable():
            text = _LINE_ENDS.sub("\n", text)
            text = _INVISIBLE.sub("", text)
            text = text.replace("\t", " ")
    else:
        text = _LINE_ENDS.sub("\n", text)
    if "=" in text and _QUOTED_PRINTABLE.search(text):
        text = _of_quoted_printable(text)
    if not text.isascii():
        if _MOJIBAKE.search(text):
            import ftfy

            text = ftfy.fix_encoding(text)
        text = unicodedata.normalize("NFC", _SPACES.sub(" ", _INVISIBLE.sub("", text)))
        if _MIXED.search(text):
            text = _MIXED_WORD.sub(_of_one_script, text)
    if text[1:2] == text[3:4] == " " and text.count(" ") * 2 >= len(text) - 3:
        text = "   ".join(word.replace(" ", "") for word in text.split("   ")).replace("   ", " ")
    return text


def _of_one_script(match: re.Match[str]) -> str:
    """A word in Latin letters if it has some, and its Cyrillic ones look like Latin ones."""
    word = match.group()
    latin = word.translate(_LOOKALIKES)
    return latin if latin.isascii() and _MIXED.search(word) else word


def entities(text: str) -> str:
    """The text with the characters that its HTML entities stand for."""
    if "&" not in text or not _ENTITY.search(text):
        return text
    text = html.unescape(text)
    return _SPACES.sub(" ", _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text)))


def _of_json(text: str) -> str:
    """The texts of a ticket that is stored as JSON; the text itself if it is no such JSON."""
    bare = text.strip()
    if not (bare.startswith(('{"', "{ ", "{\n", "[{", "[ ", "[\n")) and bare.endswith(("}", "]"))):
        return text
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return text
    texts: list[str] = []
    _collect(value, texts, 0)
    return "\n\n".join(texts) if texts else text


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
            elif (name in first or one.count(" ") >= 2) and one.strip() and one not in texts:
                texts.append(one)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, str) and one.count(" ") >= 2 and one not in texts:
                texts.append(one)
            else:
                _collect(one, texts, depth + 1)


def _of_quoted_printable(text: str) -> str:
    """The decoded text if that is UTF-8 or Windows-1252, else the text itself."""
    escapes = len(_ESCAPE.findall(text))
    if escapes < text.count("=") / 2:  # formulas or addresses
        return text
    data = quopri.decodestring(text.encode("utf-8", "surrogatepass"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return text
