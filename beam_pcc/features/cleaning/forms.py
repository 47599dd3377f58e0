"""Removes what desks and chats write around a message: prefixes of subjects, time stamps, speakers."""

from __future__ import annotations

import re

from beam_pcc.features.cleaning.words import may_ask, speaks_of_self

_SUBJECT = re.compile(r"\s*(?:subject|betreff|objet|asunto|oggetto|onderwerp|assunto)\s*:\s*", re.IGNORECASE)
_PREFIX = re.compile(
    r"\s*(?:(?:re|aw|wg|fw|fwd|tr|rv|res|sv|vs|antw|ant|réf|rif|enc|i)(?:\s?\[\d{1,3}\]|\s?\(\d{1,3}\))?\s?:|"
    r"[\[(](?:ticket|case|request|vorgang|anfrage|demande|caso|incident|ref|id|sr|support|#)[^\])\n]{0,40}[\])]|"
    r"\[#?[A-Z]{0,5}-?\d{3,}\]|(?:ticket|case|vorgang|incident)\s?(?:id|no\.?|nr\.?|number)?\s?[:#]\s?#?[\w-]*\d[\w-]*\s?[:|-]?)\s*",
    re.IGNORECASE,
)
_MAX_PREFIXES = 8
_EMPTY_SUBJECT = re.compile(
    r"\W*(?:(?:your|my|new|a|ihre|meine|neue|eine|votre|ma|une|nouvelle|su|mi|una|nueva) )?(?:support |customer |service )?"
    r"(?:request|inquiry|enquiry|question|query|message|e-?mail|mail|ticket|case|contact(?: form| us)?|feedback|help|support|hello|hi|no subject|untitled|"
    r"anfrage|frage|nachricht|kontakt(?:formular|anfrage)?|hilfe|hallo|anliegen|kein betreff|ohne betreff|demande|aide|bonjour|formulaire de contact|sans objet|"
    r"solicitud|consulta|pregunta|mensaje|ayuda|hola|contacto|formulario de contacto|sin asunto)(?: (?:form|support|service|received|#?\d+))?\W*",
    re.IGNORECASE,
)

_STAMP = re.compile(
    r"[\[(<]?\s*(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?[\sT]+(?:at |um |à |a las )?)?\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\.?)?(?:\s?(?:UTC|GMT|CET|CEST))?\s*[\])>]?\s*[-–|:]?\s*"
)
_OF_STAMPS = frozenset("0123456789[(<")
_SPEAKER = re.compile(r"\s*([^\W_][^:\n|]{0,29}?)\s*(?:\(\d{1,2}:\d{2}[^)]{0,10}\))?\s*[:|]\s+(.*)$")
_AGENTS = re.compile(
    r"(?:chat ?bot|bot|agent|support|system|assistant|operator|virtual assistant|advisor|automated|auto-?reply|customer (?:care|service|support)|"
    r"mitarbeiter(?:in)?|berater(?:in)?|kundenservice|assistent(?:in)?|conseill(?:er|ère)|assistante?|service client|agente|asistente|soporte)"
    r"(?:\s[\w'-]{1,15}\.?)?"
)
_EVENT = re.compile(
    r"\W*(?:(?:[\w'-]{1,20}\s){0,4}(?:has |have |ist |hat |a |ha |s'est )?(?:joined|left|entered|connected|disconnected|ended|started|closed|opened|beigetreten|verlassen|beendet|gestartet|rejoint|quitté|terminé|unido|salido|finalizado)"
    r"(?: (?:the|this|dem|den|das|le|la|el|al|to|bei)?\s?(?:chat|conversation|room|session|gespräch|unterhaltung|conversación|sala))?|"
    r"(?:chat|conversation|transcript|live ?chat|chat ?verlauf|transcription|conversación|gespräch)\b(?: transcript| log| id| session)?\s?(?:started|ended|closed|with|on|from|gestartet|beendet|vom|mit|démarrée?|iniciad[oa]|terminé)?\b.{0,60}|(?:started|ended) (?:on|at) .{0,60})\W*$",
    re.IGNORECASE,
)


def without_prefix(line: str) -> str:
    """A first line without the marks that desks and mail programs put before a subject."""
    subject = _SUBJECT.match(line)
    rest = line[subject.end() :] if subject else line
    for _ in range(_MAX_PREFIXES):
        prefix = _PREFIX.match(rest)
        if not prefix:
            break
        rest = rest[prefix.end() :]
    return "" if rest != line and is_empty_subject(rest) else rest


def is_empty_subject(subject: str) -> bool:
    """Whether a subject only says that somebody writes."""
    return len(subject) <= 60 and _EMPTY_SUBJECT.fullmatch(subject) is not None


def without_chat(lines: list[str]) -> list[str]:
    """The lines of a chat without time stamps, events, labels of speakers, and what bots and agents said."""
    lines = [line.lstrip() for line in lines]
    stamps = [_STAMP.match(line) if line[:1] in _OF_STAMPS else None for line in lines]
    if sum(stamp is not None for stamp in stamps) < 2:
        return lines
    kept: list[str] = []
    for line, stamp in zip(lines, stamps, strict=True):
        rest = line[stamp.end() :] if stamp else line
        if len(rest) <= 120 and _EVENT.match(rest) and not may_ask(rest.lower()) and not speaks_of_self(rest.lower()):
            continue
        speaker = _SPEAKER.match(rest) if stamp else None
        if speaker:
            name = speaker[1].lower()
            if _AGENTS.fullmatch(name):
                continue
            if len(name.split()) <= 3 and not may_ask(name):
                rest = speaker[2]
        kept.append(rest)
    return kept
