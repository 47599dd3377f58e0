"""Removes the greeting that opens a message and the one that closes it, with the names beside them: nobody asks for anything there.

Measured on data/evaluation: with them a short message is judged by its manners.
"""

from __future__ import annotations

import re

from beam_pcc.features.cleaning.words import NEUTRAL, count, has_any, may_ask

_NAME = r"(?-i:[A-ZÄÖÜÉÈÁÍÓÚÑ][\w.'’-]*)"
_OPENING = re.compile(
    r"\W*(?:hi|hello|hey|dear|good (?:morning|day|afternoon|evening)|morning|to whom it may concern|hallo|liebe[rs]?|sehr geehrte\w*|guten (?:tag|morgen|abend)|moin|servus|"
    r"bonjour|bonsoir|madame|monsieur|ch[eè]re?s?|hola|buen[oa]s (?:d[ií]as|tardes|noches)|estimad\w+)\b"
    rf"(?:[ ,]+(?:sirs?|madam|or|and|team|there|all|everyone|again|it['’]s me|customer|support|service|und|oder|damen|herren|frau|herr|liebes|zusammen|ihr|et|messieurs|madame|monsieur|à tous|señor\w*|equipo|a todos|y)\b){{0,6}}"
    rf"(?:[ ,]+{_NAME}){{0,3}}[ ]*[,.!:;\n–-]+\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:(?:(?:with )?(?:kind(?:est)?|best|warm|many) )?(?:regards|wishes)|many thanks|thanks?(?: you)?|sincerely|yours(?: faithfully| sincerely| truly)?|cheers|mfg|lg|vg|"
    r"mit (?:freundlichen|besten) gr[üu](?:ß|ss)en|(?:viele |beste |freundliche |liebe |schöne )?gr[üu](?:ß|ss)e?|(?:vielen |besten )?dank(?:e)?|"
    r"(?:bien )?cordialement|bien [àa] vous|merci|(?:mes )?(?:meilleures |sincères )?salutations|(?:un )?saludos?(?: cordiales| cordial)?|atentamente|(?:muchas )?gracias)\b"
    rf"(?:[\s,.!&]+(?:(?:so|very|much|a|lot|in|advance|and|again|all|best|kind|regards|im|voraus|euch|ihnen|dir|und|freundliche|gr[üu](?:ß|ss)e?|beaucoup|d['’]avance|infiniment|de antemano|y|saludos|{NEUTRAL})\b|{_NAME})){{0,6}}[\s.!,]*$",
    re.IGNORECASE,
)
_MAX_CLOSING = 120
_FIRST = frozenset(
    "hi hello hey dear good morning to hallo liebe lieber liebes sehr guten moin servus bonjour bonsoir madame monsieur chère cher chers chères chere cheres hola buenos buenas estimado estimada estimados estimadas".split()
)
_LAST = ("regards", "wishes", "thank", "sincerely", "yours", "cheers", "mfg", "lg", "vg", "grüß", "grüss", "gruß", "gruss", "dank", "cordialement", "bien ", "merci", "salutation", "saludo", "atentamente", "gracias")  # fmt: skip
_LAST_WORDS = frozenset(
    "regards wishes thanks thank you sincerely yours faithfully truly cheers mfg lg vg dank danke cordialement vous merci salutations saludo saludos cordiales cordial atentamente gracias "
    f"so very much a lot in advance and again all best kind im voraus euch ihnen dir und freundliche gruss grusse grussen beaucoup infiniment antemano y {NEUTRAL}".split()
)
"""Those of _CLOSING in ASCII. Most messages end with another."""
_WORD = re.compile(r"[^\W\d_]+")


def without_greetings(text: str) -> str:
    """The text without its greetings; the text itself if fewer than three words were left."""
    start, end = 0, len(text)
    word = _WORD.search(text, 0, 40)
    if word and word[0].lower() in _FIRST and not text[:80].isupper() and (opening := _OPENING.match(text)):
        start = 0 if may_ask(opening[0].lower()) else opening.end()
    tail = text[-_MAX_CLOSING:]
    if _may_end_a_closing(tail) and has_any(tail.lower(), _LAST):
        closing = _CLOSING.search(text, max(start, end - _MAX_CLOSING))
        if closing and not may_ask(closing[0].lower()):
            end = closing.start()
    if start == 0 and end == len(text):
        return text
    left = text[start:end].strip()
    return left if count(left, 3) >= 3 else text


def _may_end_a_closing(text: str) -> bool:
    """Whether a text ends with a word of a closing, a name, or what is not only letters; cheap to ask."""
    word = text.rsplit(None, 1)[-1].rstrip(".!,") if text else ""
    return word in _LAST_WORDS or not (word.isascii() and word.isalpha() and word.islower())
