"""What tells a customer's own words from furniture: who speaks, and what a privacy request asks for.

The rules of the other modules say what looks like furniture; these say when it may not be removed after all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from itertools import islice

from beam_pcc.features.cleaning import stems

PLACEHOLDER = "\ue0f0"
"""Stands for what was redacted while a text is cleaned."""

NEUTRAL = "xx"
"""What is left of it in a cleaned text."""

MAX_SENTENCE = 700
"""Characters. A longer sentence is nobody's footer, and is not examined: the time stays linear."""

SENTENCE_END = r"([.!?])(?<![Aa]rt\.)(?<!\b[Nn][or]\.)(?<!\b[A-Za-z]\.)[ \t]+(?=\S)"
"""A pattern; its group ends where the sentence does. Abbreviations that stand before numbers and names are no ends."""
_SENTENCE_END = re.compile(SENTENCE_END)

_PIECE = re.compile(r"\\.|.", re.DOTALL)
"""Of a pattern."""

_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

_FIRST_PERSON = re.compile(
    r"\b(?:i|my|me|mine|myself|ich|mir|mich|mein\w{0,2}|je|j['’]|moi|mon|ma|mes|m['’]|yo|mi|mis|mí|conmigo|io|mio|mia|mij|mijn|ik)\b"
    r"|\b[jm]['’]"
)
_REQUEST = re.compile(
    r"\b(?:delet|eras|remov|forget|wip(?:e|ing)\b|purg|opt(?:ing)?[ -]?out|withdraw|revok|object\b|objection|rectif|correct|"
    r"access|cop(?:y|ies)\b|export|personal|privacy|private|data\b|gdpr|ccpa|account|consent|"
    r"daten|dsgvo|auskunft|einwillig|konto|l[öo]sch|entfern|widerruf|widersprech|widerspruch|bericht?ig|kopie|vergess|"
    r"donn[ée]es|rgpd|compte|supprim|effac|retir|oppos|rectifi|acc[èe]s|consentement|oubli|"
    r"datos|cuenta|elimin|borr|suprim|supresi|oposici|acceso|olvid|consentimiento|revoc|"
    r"cancell|dati\b|verwijder|gegevens|usu[ńn]|dane\b|dados|apag)"
)
_OWN_REQUEST = re.compile(
    r"\b(?:delet|eras|wip(?:e|ing)\b|forget|withdraw|revok|opt(?:ing)?[ -]?out|object\b|rectif|stop s|personal (?:data|information|details)|my (?:data|details|records?|file|account)|cop(?:y|ies) of|gdpr|ccpa|"
    r"l[öo]sch|auskunft|widerruf|widersprech|berichtig|personenbezogen|meine[rn]? (?:daten|konto|person)|dsgvo|"
    r"supprim|effac|retir|oppos|mes donn|mon (?:compte|dossier)|donn[ée]es personn|l'acc[èe]s|rgpd|"
    r"elimin|borr|suprim|supresi|oposici|mis datos|mi cuenta|datos|solicit)"
)
_COMMAND = re.compile(
    r"\b(?:delete|erase|remove|wipe|forget|lösch\w+|entfern\w+|supprimez|supprimer|effacez|effacer|eliminen|borren|borrar|supriman|verwijder)\b.*"
    r"\b(?:data|information|accounts?|records?|details|us|daten|konto|angaben|uns|données|compte|informations|nous|datos|cuenta|información|gegevens)\b"
)
_GREETING = re.compile(
    r"\W*(?:hi|hello|hey|dear|good (?:morning|day|afternoon|evening)|to whom it may concern|hallo|liebe[rs]?|sehr geehrte\w*|"
    r"guten (?:tag|morgen|abend)|moin|servus|bonjour|bonsoir|madame|monsieur|ch[eè]re?s?|hola|buen[oa]s (?:d[ií]as|tardes|noches)|"
    r"estimad\w+|(?:kind |best |warm )?regards|thanks?(?: you)?|sincerely|yours|cheers|mfg|lg|vg|mit freundlichen gr[üu](?:ß|ss)en|"
    r"(?:viele|beste|freundliche|liebe) gr[üu](?:ß|ss)e|danke|cordialement|bien [àa] vous|merci|salutations|"
    r"saludos(?: cordiales)?|un saludo|atentamente|gracias)\b[^.!?:]{0,60}$"
)
_POINTS_TO_THREAD = re.compile(
    r"\b(?:below|beneath|attached thread|forward(?:ed|ing)?|fwd|fyi|earlier (?:mail|e-?mail|message)|previous (?:mail|e-?mail|message)|"
    r"unten|untenstehend\w*|nachfolgend\w*|weitergeleitet\w*|weiterleit\w+|zur info\w*|zk|zkn|vorherige\w*|"
    r"ci-?dessous|ci-apr[èe]s|plus bas|transf[ée]r\w+|pour info\w*|pr[ée]c[ée]dent\w*|"
    r"abajo|a continuaci[óo]n|reenv\w+|anterior\w*|para su informaci[óo]n)\b"
)


_ORDINARY = b"abcdefghijklmnopqrstuvwxyz .,'!?\n"


def signs(text: str) -> str:
    """The characters of a text but lower-case letters of ASCII, spaces and the commonest signs: few, and quick to look through."""
    return text.encode("utf-8", "surrogatepass").translate(None, _ORDINARY).decode("utf-8", "surrogatepass")


def count(text: str, up_to: int) -> int:
    """The words of a text, but no more than `up_to` are counted. Two characters of a script without spaces are one."""
    if _at_least(up_to).match(text):
        return up_to
    words = len(_WORD.findall(text))
    if text.isascii():
        return words
    return min(up_to, words + len(list(islice(_CJK.finditer(text), 2 * up_to))) // 2)


@functools.cache  # the numbers that the rules ask for
def _at_least(number: int) -> re.Pattern[str]:
    """A pattern of a beginning with that many words."""
    return re.compile(rf"[\W_]*[^\W_]+(?:[\W_]+[^\W_]+){{{number - 1}}}")


def sentences(line: str, end: re.Pattern[str] = _SENTENCE_END) -> list[str]:
    """The parts of a line between ends, whose last group ends where a part does."""
    parts: list[str] = []
    start = 0
    for found in end.finditer(line):
        parts.append(line[start : found.end(found.lastindex or 0)])
        start = found.end()
    parts.append(line[start:])
    return parts


def says_something(lines: list[str]) -> bool:
    """Whether the lines have at least three words beside greetings."""
    return count("\n".join(line for line in lines if not is_greeting(line)), 3) >= 3


def is_greeting(line: str) -> bool:
    """Whether a line only opens or closes a letter."""
    return len(line) <= 100 and _GREETING.match(line.lower()) is not None


def points_to_thread(text: str) -> bool:
    """Whether a short text sends the reader to what stands below it."""
    lower = text.lower()
    if stems.POINTERS.isdisjoint(stems.found(lower)) or count(text, 26) > 25:
        return False
    return _POINTS_TO_THREAD.search(lower) is not None


def speaks_of_self(lower: str) -> bool:
    """Whether a lower-case text has a first person singular."""
    return _FIRST_PERSON.search(lower) is not None


def may_ask(lower: str) -> bool:
    """Whether a lower-case text has a word that privacy requests are made of."""
    return _REQUEST.search(lower) is not None


@functools.lru_cache(maxsize=1_024)  # the lines of a desk's answers come again and again
def is_request(line: str) -> bool:
    """Whether a line of an earlier message may be the customer's own request after all."""
    lower = line.lower()
    return (_OWN_REQUEST.search(lower) is not None and speaks_of_self(lower)) or _COMMAND.search(lower) is not None


def any_of(pattern: str) -> re.Pattern[str]:
    r"""Compile alternatives of which `search` only asks whether one fits.

    Those that begin with the same assertion, `\b` or `^`, share one test of it: a search takes a third of the time.
    """
    alternatives = _alternatives(pattern)
    groups = []
    for assertion in ("\\b", "^"):
        rest = [one.removeprefix(assertion) for one in alternatives if one.startswith(assertion)]
        groups += [f"{assertion}(?:{'|'.join(rest)})"] if rest else []
    return re.compile("|".join([*groups, *(one for one in alternatives if not one.startswith(("\\b", "^")))]))


def _alternatives(pattern: str) -> list[str]:
    """The alternatives of a pattern that stand in no group."""
    alternatives = [""]
    depth, in_set = 0, False
    for piece in _PIECE.findall(pattern):
        if in_set:
            in_set = piece != "]"
        elif piece == "|" and depth == 0:
            alternatives.append("")
            continue
        else:
            in_set = piece == "["
            depth += (piece == "(") - (piece == ")")
        alternatives[-1] += piece
    return alternatives


def has_any(text: str, parts: Iterable[str]) -> bool:
    """Whether one of the parts is in the text."""
    for part in parts:  # noqa: SIM110  # any() of a generator takes twice the time
        if part in text:
            return True
    return False
