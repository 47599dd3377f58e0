"""Removes earlier messages that a mail program put around a customer's words; a forwarded message is kept.

Lines that begin with `>` are quotations in any language, and words above, between and below them stay. A quotation
that only a header announces has no end, so it is removed only if the customer wrote something above it, but for lines
that may be a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from beam_pcc.features.cleaning.forms import is_empty_subject, without_prefix
from beam_pcc.features.cleaning.words import MAX_SENTENCE, PLACEHOLDER, has_any, is_request

_QUOTE = re.compile(r" {0,3}(?:> ?)+")
_MAX_HEADER_LINES = 12

_LABELS = {
    "from": "from|von|de|da|van|från|fra|od|lähettäjä|gönderen|от|expéditeur|absender|remitente|mittente|afzender|差出人|发件人",
    "sent": "sent|date|gesendet|datum|envoyé|date d'envoi|enviado(?: el)?|fecha|inviato|data|verzonden|skickat|sendt|wysłano|enviada em|отправлено|дата|日時|发送时间",
    "to": "to|an|à|para|a|aan|till|til|do|kime|кому|destinataire|destinatario|empfänger|宛先|收件人",
    "cc": "cc|bcc|kopie|copie|copia|kopia|reply-to|antwort an|répondre à|responder a|importance|priorität|anlagen?|attachments?|importancia",
    "subject": "subject|betreff|objet|asunto|oggetto|onderwerp|ämne|emne|temat|assunto|konu|тема|件名|主题",
}
_KINDS = {label: kind for kind, labels in _LABELS.items() for label in labels.split("|") if "(" not in label}
_KINDS["enviado el"] = _KINDS["enviado"] = "sent"
_HEADER = re.compile(r"[\s*_|]{0,4}([^\W\d_][\w' -]{0,16}?)[\s*_]{0,3}[::]\s*[*_]{0,2}\s*(.*)")
_FORWARDED = re.compile(
    r"(?:(?=[\s*_-]*?(?:--|__))|[\s*_-]*(?:begin |anfang |début |inicio |inizio ))[\s*_-]*(?:(?:of |der |du |del )?(?:the )?)?"
    r"(?:forwarded (?:message|by)|weitergeleitete (?:nachricht|e-?mail|mail)|weitergeleiteten (?:nachricht|e-?mail|mail)|"
    r"message (?:transféré|réexpédié|transmis)|e-?mail transféré|mensaje reenviado|messaggio inoltrato|doorgestuurd bericht|"
    r"vidarebefordrat meddelande|mensagem encaminhada|wiadomość przekazana|forwarded)\b.{0,60}$"
)
_ORIGINAL = re.compile(
    r"\s*-{2,}[\s-]*(?:original[- ](?:message|e-?mail|nachricht|appointment)|ursprüngliche (?:nachricht|e-?mail|mail)|originalnachricht|"
    r"message d'origine|message original|mensaje original|messaggio originale|oorspronkelijk bericht|ursprungligt meddelande|"
    r"mensagem original|oryginalna wiadomość|reply message|antwort)[\s-]*-{0,}\s*$"
)
_REPLY_ABOVE = re.compile(
    r".{0,30}(?:(?:type|write|enter|add) (?:your )?(?:reply|response|answer) above|reply above this line|"
    r"(?:antwort|schreiben sie).{0,40}(?:oberhalb|über) dieser (?:linie|zeile)|(?:répond|écri|saisi).{0,40}au-dessus de cette ligne|"
    r"(?:escrib|respond).{0,40}(?:encima|arriba) de esta línea)"
)
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb(?:en)?|hat geschrieben|a écrit|ecrit|écrivit|escribió|escribio|ha scritto|escreveu|schreef|skrev|napisał(?:a|\(a\))?|"
    r"napsal|kirjoitti|yazdı|написал(?:а|\(а\))?|пишет|を?書きました)\b.{0,120}[::]\s*$"
)
_ANNOUNCED = re.compile(r"[::]\s*(?:\n|$)")
"""What a text has in which a quotation may be announced."""
_ADDRESS = re.compile(rf"@|<[^<>]{{0,80}}{PLACEHOLDER}|{PLACEHOLDER}[^<>]{{0,40}}>|mailto:|\[mailto")
_TIME = re.compile(r"\b\d{1,2}[:.h]\d{2}\b|\b(?:19|20)\d\d\b")
_DAY = re.compile(
    r"\b(?:mon|tues?|wed(?:nes)?|thur?s?|fri|sat(?:ur)?|sun)(?:day)?\b|\b(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|"
    r"lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo)\b|"
    r"\b(?:mo|di|mi|do|fr|sa|so|lun|mar|mer|jeu|ven|sam|dim|mié|jue|vie|sáb|dom)\b[.,]|\b(?:19|20)\d\d\b"
)
_OPENINGS = ("on ", "am ", "le ", "el ", "il ", "em ", "op ", "den", "dnia", "w d", "vào", "pe ", "dne", "a(z", "em ")
_FORWARDING_STEMS = (
    "forward",
    "itergeleitet",
    "transf",
    "expédi",
    "reenv",
    "inoltr",
    "doorgest",
    "vidare",
    "encaminhad",
    "przekaz",
    "transmis",
)
_FORWARDING_OPENINGS = ("begin ", "anfang ", "début ", "inicio ", "inizio ")
_ABOVE = ("above", "oberhalb", "über dieser", "au-dessus", "encima", "arriba")
_FIRST_HEADERS = ("from", "sent", "subject")


def without_history(lines: list[str], says_something: Callable[[list[str]], bool]) -> tuple[list[str], bool]:
    """The customer's lines, and whether a forwarded message is among them.

    Args:
        lines: Of a message.
        says_something: Whether lines hold words of the customer, so that an unmarked quotation below may go.
    """
    kept: list[str] = []
    forwarded = 0  # levels of quotation that a forwarded message stands in
    index = 0
    asks_left = 4  # says_something is not cheap

    def may_end() -> bool:
        nonlocal asks_left
        asks_left -= 1
        return asks_left >= 0 and says_something(kept)

    whole = "\n".join(lines).lower()
    dashes = "--" in whole
    forwards = False
    may_forward = (dashes or "__" in whole or has_any(whole, _FORWARDING_OPENINGS)) and has_any(
        whole, _FORWARDING_STEMS
    )
    points_above = has_any(whole, _ABOVE)
    announces = _ANNOUNCED.search(whole) is not None
    while index < len(lines):
        depth, line = _unquoted(lines[index])
        if may_forward and depth <= 1 and len(line) <= 120 and _FORWARDED.match(line.lower()):
            forwards = True
            index = _skip_blank(lines, index + 1)
            forwarded = min(1, _unquoted(lines[index])[0]) if index < len(lines) else 0
            index = _headers(lines, index, forwarded, kept)[0]
        elif depth > forwarded:
            index += 1
        elif ("--" in line or points_above) and _is_marker(line):
            if may_end():
                return [*kept, *_requests(lines[index:])], forwards
            index += 1
        elif ":" in line or ":" in line or _may_be_wrapped(line):
            kinds = _headers(lines, index, depth, [])[1] if _kind(line) in _FIRST_HEADERS else 0
            span = _attribution(lines, index, depth) if announces else 0
            if kinds >= 3:
                if may_end():
                    return [*kept, *_requests(lines[index:])], forwards
                index = _headers(lines, index, depth, kept)[0]
            elif span:
                quoted = _is_quoted(lines, index + span, depth)
                sure = _is_sure(" ".join(lines[index : index + span]))
                if quoted or (sure and not may_end()):
                    index += span
                elif sure:
                    return [*kept, *_requests(lines[index:])], forwards
                else:
                    kept.append(line)
                    index += 1
            else:
                kept.append(line)
                index += 1
        else:
            if depth < forwarded and line.strip():
                forwarded = 0
            kept.append(line)
            index += 1
    return kept, forwards


def _requests(lines: list[str]) -> list[str]:
    return [line for line in lines if len(line) <= MAX_SENTENCE and not _QUOTE.match(line) and is_request(line)]


def unquoted(lines: list[str]) -> list[str]:
    """The lines without signs of quotation, and nothing removed."""
    return [_unquoted(line)[1] for line in lines]


def _unquoted(line: str) -> tuple[int, str]:
    if ">" not in line[:4]:
        return 0, line
    match = _QUOTE.match(line)
    return (match.group().count(">"), line[match.end() :]) if match else (0, line)


def _is_marker(line: str) -> bool:
    """Whether what stands below is an earlier message, as the line says itself."""
    if len(line) > 150:
        return False
    lower = line.lower()
    if "--" in lower and _ORIGINAL.match(lower):
        return True
    return has_any(lower, _ABOVE) and _REPLY_ABOVE.match(lower) is not None


def _may_be_wrapped(line: str) -> bool:
    """Whether a line may begin an announcement that goes on in the next line."""
    return "@" in line or (line[:3].lower().startswith(_OPENINGS) and _TIME.search(line[:200]) is not None)


def _skip_blank(lines: list[str], index: int) -> int:
    while index < len(lines) and not _unquoted(lines[index])[1].strip():
        index += 1
    return index


def _is_quoted(lines: list[str], index: int, depth: int) -> bool:
    """Whether the first words from a line on are quoted more than `depth` times."""
    index = _skip_blank(lines, index)
    return index < len(lines) and _unquoted(lines[index])[0] > depth


def _kind(line: str) -> str | None:
    match = _HEADER.match(line[:300])
    return _KINDS.get(match[1].lower().strip()) if match else None


def _headers(lines: list[str], index: int, depth: int, kept: list[str]) -> tuple[int, int]:
    """Behind a block of header lines, and how many kinds it has; adds the subject to `kept`.

    A value may go on in the next line, as that of many recipients does.
    """
    kinds: set[str] = set()
    first = index
    while index < len(lines) and index < first + _MAX_HEADER_LINES:
        own, line = _unquoted(lines[index])
        if own != depth:
            break
        match = _HEADER.match(line[:300])
        kind = _KINDS.get(match[1].lower().strip()) if match else None
        if kind is None or match is None:
            follows = index + 1 < len(lines) and _kind(_unquoted(lines[index + 1])[1]) is not None
            if not (kinds and follows and line.strip() and len(line) <= 100 and "@" in line):
                break
        else:
            if kind in kinds and kind != "cc":
                break
            if kind == "subject" and (subject := without_prefix(match[2])) and not is_empty_subject(subject):
                kept.append(subject)
            kinds.add(kind)
        index += 1
    return index, len(kinds)


def _attribution(lines: list[str], index: int, depth: int) -> int:
    """How many lines the announcement of a quotation takes that begins here; 0 if none does."""
    text = ""
    for span in range(1, 4):
        if index + span > len(lines):
            return 0
        own, line = _unquoted(lines[index + span - 1])
        if own != depth or not line.strip() or len(line) > 200:
            return 0
        text = f"{text} {line}"
        if line.rstrip().endswith((":", ":")):
            if _WROTE.search(text.lower()) and (_ADDRESS.search(text) or _TIME.search(text)):
                return span
            quoted = _is_quoted(lines, index + span, depth)
            return span if quoted and _ADDRESS.search(text) and _TIME.search(text) else 0
    return 0


def _is_sure(announcement: str) -> bool:
    """Whether an announcement has a sender and a time, as mail programs write it, not as a person tells what somebody wrote."""
    return bool(_ADDRESS.search(announcement) or _DAY.search(announcement.lower())) and bool(_TIME.search(announcement))
