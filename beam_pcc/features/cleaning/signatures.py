"""Removes signatures: what stands after `--` and looks like a name, a post or an address, and the notes of mobile mail programs."""

from __future__ import annotations

import re

from beam_pcc.features.cleaning.words import PLACEHOLDER, is_greeting, may_ask, speaks_of_self

_DELIMITER = re.compile(r"\s*(?:--|—|–|-- -|_{2,}|-{3,}|\*{3,})\s*$")
_MAX_CONTACT = 160
_CONTACT = re.compile(
    rf"@|https?://|www\.|[|•·]|{PLACEHOLDER}|\+?\(?\d[\d ()/.-]{{6,}}|"
    r"\b(?:ltd|limited|inc|llc|gmbh|ag|kg|ug|plc|corp|group|sarl|sas|s\.l|s\.a|b\.v|gbr|e\.v)\b|"
    r"\b(?:tel|telefon|phone|fax|mobile?|mobil|cell|direct|téléphone|tél|teléfono|móvil|handy)\b\W{0,3}[\d+:(]|\b[tmfew]\b\W{0,3}[\d+:]|"
    r"\b(?:manager|director|officer|engineer|assistant|head of|ceo|cto|cfo|coo|consultant|president|accountant|founder|partner|leiter(?:in)?|geschäftsführer(?:in)?|"
    r"vertrieb|referent(?:in)?|sachbearbeiter(?:in)?|abteilung|directeur|directrice|responsable|chargée?|gérante?|gerente|jef[ea]|departamento|directora?|"
    r"street|road|avenue|straße|str\.|rue|calle|avenida)\b"
)
_PARTICLES = frozenset(
    ("von", "van", "de", "der", "den", "la", "le", "del", "di", "da", "dos", "and", "&", "und", "y", "et", "of", "zu")
)
_QUOTE_MARKS = "\"“”„«‹'‘*_~"

_DEVICE = (
    r"(?:iphone|ipad|ipod|android|samsung|galaxy|huawei|xiaomi|pixel|oneplus|sony|nokia|blackberry|windows|outlook|yahoo|gmail|gmx|web\.de|t-online|"
    r"mail|mailbird|proton|protonmail|thunderbird|mobile|mobil|smartphone|handy|phone|telephone|telefon|mobiltelefon|téléphone|portable|móvil|teléfono|tablet|device|gerät|ios|app|aol|orange|sfr|spark)"
)
_FILLER = r"(?:from|my|meinem|mon|mi|for|the|via|with|using|a|an|der|dem|die|pour|para|von|mit|desde|depuis|de|sur|on|auf|en|mobile|mail|email|e-mail|&|und|and|\d{1,4}|[a-z]{0,3}\d{1,3}\w{0,2}|10|11|pro|max|plus|ultra|5g|smart|phone|handy|verizon|at|t|lite|free)"
_SENT_FROM = re.compile(
    rf"\W*(?:sent|gesendet|envoyé|enviado|inviato|verzonden|enviada|skickat|sendt|wysłan[eo]|get|holen sie sich|téléchargez|obtenha|obtén|obtener|diese (?:nachricht|e-?mail) wurde|von)"
    rf"(?:[\s.,®™:-]+(?:{_DEVICE}|{_FILLER}|da|dal|mijn|min|z|meu|moje|from|geschickt|gesendet|versendet|verschickt|wurde|sent|outlook)){{1,12}}\W*(?:<\S*>|\(?https?://\S*)?\W*$"
)
_FREE_OF_VIRUS = re.compile(r"\W*(?:virus-?free|virenfrei|garanti sans virus|libre de virus|sans virus)\b.{0,60}$")


def without_signature(lines: list[str]) -> list[str]:
    """The lines without those of signatures; a line that may be more than that is kept."""
    kept: list[str] = []
    in_signature = False  # after a delimiter
    for line in lines:
        bare = line.strip()
        if not bare:
            kept.append(line)
            continue
        if _DELIMITER.match(bare):
            in_signature = True
            continue
        lower = bare.lower()
        if len(lower) <= 120 and (_SENT_FROM.match(lower) or _FREE_OF_VIRUS.match(lower)):
            continue
        if in_signature and is_contact(bare, lower):
            continue
        kept.append(line)
    return kept


def is_contact(line: str, lower: str) -> bool:
    """Whether a line is a name, a post, an address, a number, or a motto in quotation marks; if it may be a request, it is not."""
    if len(line) > _MAX_CONTACT or may_ask(lower) or speaks_of_self(lower):
        return False
    words = line.split()
    if is_greeting(line):
        return True
    if line[0] in _QUOTE_MARKS and (line[-1] in _QUOTE_MARKS or " - " in line or "–" in line or "—" in line):
        return True
    if (len(words) <= 5 and line[-1] not in ".!?") or len(words) <= 2:
        names = [word for word in words if word not in _PARTICLES]
        if (
            names
            and all(word[0].isupper() or not word[0].isalpha() for word in names)
            and not (line.isupper() and len(words) > 3)
        ):
            return True
    return len(words) <= 12 and line[-1] not in "!?" and _CONTACT.search(lower) is not None


def has_trigger(lower: str) -> bool:
    """Whether a text may have a signature."""
    return (
        "--" in lower or "—\n" in lower or "__" in lower or "***" in lower or "sent from" in lower or "gesendet" in lower
        or "envoyé" in lower or "enviad" in lower or "get outlook" in lower or "virus" in lower or "outlook" in lower
        or "inviato" in lower or "verzonden" in lower or "–\n" in lower or "geschickt" in lower or "iphone" in lower
    )  # fmt: skip
