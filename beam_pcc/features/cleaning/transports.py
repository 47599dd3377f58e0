"""Reads what a transport wrote around or instead of a message: parts of MIME, base64, percent signs, encoded words."""

from __future__ import annotations

import base64
import binascii
import email
import email.errors
import email.header
import email.message
import re
from urllib.parse import unquote, unquote_plus

_MAX_PARTS = 50  # of a mail
_MIME = re.compile(r"^(?:content-type|content-transfer-encoding|mime-version)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(r"^--([^\s\"<>]{1,70})[ \t]*\n(?=content-[a-z-]{2,30}[ \t]*:)", re.IGNORECASE | re.MULTILINE)
_HEADER_LINE = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,40}[ \t]*:")
_PREAMBLE = re.compile(r"\s*this is a (?:multi-?part )?message in mime format\W*", re.IGNORECASE)
_ENCODED_WORD = re.compile(
    r"=\?[\w.*-]{2,30}\?[bqBQ]\?[^?\s]{0,500}\?=(?:\s{1,4}=\?[\w.*-]{2,30}\?[bqBQ]\?[^?\s]{0,500}\?=)*"
)
_BETWEEN_WORDS = re.compile(r"\?=\s+=\?")
_QUOTED_PRINTABLE = re.compile(
    r"=(?:\n|[CDEFcdef][0-9A-Fa-f]=[89ABab][0-9A-Fa-f]|(?:20|09|0D|0A)(?:\n|$|=0A)|3D[\"'\w=]|2E\n|(?<=[A-Za-z]=)[C-F][0-9A-F](?=[a-z =.,!?\n]|$))"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\n]{16,}={0,2}\n*")
_ESCAPES = re.compile(r"(?:=[0-9A-Fa-f]{2})+")
_SOFT = re.compile(r"=[ \t]*\n")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_PERCENT_UTF8 = re.compile(r"(?:%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){1,3})+")
_FORM = re.compile(r"[\w.\[\]-]{1,40}=[^=&\s]*(?:&[\w.\[\]-]{1,40}=[^=&\s]*)+")
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")


def of_mime(text: str) -> str:
    """The texts of the parts of a mail that is stored as it was sent; the text itself if it is none."""
    if not _MIME.search(text):
        return text
    stripped = text.lstrip()
    source, before = stripped, ""
    if not _HEADER_LINE.match(stripped):
        boundary = _BOUNDARY.search(stripped)
        if not boundary:
            return text
        before = _PREAMBLE.sub("", stripped[: boundary.start()])
        source = f'Content-Type: multipart/mixed; boundary="{boundary[1]}"\n\n{stripped[boundary.start() :]}'
    elif not _MIME.search(stripped.split("\n\n", 1)[0]):
        return text
    try:
        message = email.message_from_string(source)
        texts = [before, *_headers(message), *_texts(message)]
    except (ValueError, LookupError, RecursionError, TypeError, AttributeError, email.errors.MessageError):
        return text
    found = "\n\n".join(one.strip("\n") for one in texts if one.strip())
    return found or text


def _headers(message: email.message.Message) -> list[str]:
    subject = message.get("Subject")
    return [f"Subject: {encoded_words(str(subject))}"] if subject else []


def _texts(message: email.message.Message) -> list[str]:
    """What the parts say: of alternatives the plain one, and what stands before and after the parts."""
    texts: list[str] = []
    pending = [message]
    for _ in range(_MAX_PARTS):
        if not pending:
            break
        part = pending.pop()
        payload = part.get_payload()
        if isinstance(payload, list):
            parts = [one for one in payload if isinstance(one, email.message.Message)]
            if part.get_content_subtype() == "alternative":
                plain = [one for one in parts if one.get_content_type() == "text/plain" and _body(one).strip()]
                parts = plain[:1] or parts[-1:]
            if part.preamble and not _PREAMBLE.fullmatch(part.preamble):
                texts.append(part.preamble)
            if part.epilogue and part.epilogue.strip():
                parts = [*parts, _plain_part(part.epilogue)]
            pending.extend(reversed(parts))
        elif part.get_content_maintype() == "text":
            texts.append(_body(part))
    return texts


def _plain_part(text: str) -> email.message.Message:
    part = email.message.Message()
    part.set_payload(text)
    return part


def _body(part: email.message.Message) -> str:
    payload = part.get_payload()
    if not isinstance(payload, str):
        return ""
    how = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if how == "base64":
        head, _, tail = payload.strip("\n").partition("\n\n")  # words below the encoded ones are not encoded
        decoded = _of_base64(head, part.get_content_charset("utf-8"))
        return f"{decoded}\n\n{tail}" if decoded is not None and tail else decoded if decoded is not None else payload
    return of_quoted_printable(payload, sure=True) if how == "quoted-printable" else payload


def _of_base64(text: str, charset: str = "utf-8") -> str | None:
    compact = "".join(text.split())
    try:
        data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _decoded(data, charset)


def _decoded(data: bytes, charset: str = "utf-8") -> str:
    for name in (charset, "utf-8"):
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1252", "replace")


def of_base64(text: str) -> str:
    """What a text is that is nothing but base64 of words; else the text itself."""
    bare = text.strip()
    if len(bare) < 24 or not _BASE64.fullmatch(bare):
        return text
    compact = "".join(bare.split())
    try:
        decoded = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return text
    visible = decoded.replace("\n", "").replace("\r", "").replace("\t", "")
    return decoded if " " in decoded.strip() and visible.isprintable() else text


def encoded_words(text: str) -> str:
    """The text with what its encoded words (RFC 2047) stand for."""
    return _ENCODED_WORD.sub(_encoded_word, text) if "=?" in text else text


def _encoded_word(match: re.Match[str]) -> str:
    try:
        parts = email.header.decode_header(_BETWEEN_WORDS.sub("?==?", match.group()).replace("?==?", "?= =?"))
    except (ValueError, email.errors.HeaderParseError):
        return match.group()
    return "".join(part if isinstance(part, str) else _decoded(part, charset or "utf-8") for part, charset in parts)


def of_quoted_printable(text: str, *, sure: bool = False) -> str:
    """The text with what its quoted-printable escapes stand for, if it has such; each run of them by itself."""
    if not sure:
        if not _QUOTED_PRINTABLE.search(text):
            return text
        escapes = sum(1 for _ in _SOFT.finditer(text)) + sum(len(run.group()) // 3 for run in _ESCAPES.finditer(text))
        if escapes < text.count("=") / 2:  # formulas or addresses
            return text
    return _ESCAPES.sub(lambda run: _decoded(bytes.fromhex(run.group().replace("=", ""))), _SOFT.sub("", text))


def of_percent(text: str) -> str:
    """The text without percent-encoding; the fields of a posted form in lines of their own."""
    if "&" in text and _FORM.fullmatch(text.strip()):
        pairs = (field.partition("=") for field in text.strip().split("&"))
        return "\n".join(f"{unquote_plus(name)}: {unquote_plus(value)}" for name, _, value in pairs if value)
    if "%" not in text or "://" in text:
        return text
    if len(_PERCENT.findall(text)) >= 2 and text.count("%20") > text.count(" "):
        return unquote(text)
    if " " not in text.strip() and text.count("+") >= 2 and _PERCENT.search(text):
        return unquote_plus(text)
    return _PERCENT_UTF8.sub(lambda run: unquote(run.group()), text)


def of_unicode_escapes(text: str) -> str:
    r"""The text with the characters that \u00fc and the like stand for."""
    return _UNICODE_ESCAPE.sub(_of_unicode_escape, text)


def _of_unicode_escape(match: re.Match[str]) -> str:
    high, low = int(match[1], 16), int(match[2], 16) if match[2] else None
    if 0xD800 <= high <= 0xDFFF:
        if low is None or high > 0xDBFF:
            return match.group()
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return chr(high) if low is None else chr(high) + match.group()[6:]
