"""Removes what desks, chats and web forms write around a message: prefixes of subjects, time stamps, speakers, fields."""

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

_STAMP = re.compile(
    r"\s*[\[(<]?\s*(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?[\sT]+(?:at |um |à |a las )?)?\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\.?)?(?:\s?(?:UTC|GMT|CET|CEST))?\s*[\])>]?\s*[-–|:]?\s*"
)
_SPEAKER = re.compile(r"\s*([^\W_][^:\n|]{0,29}?)\s*(?:\(\d{1,2}:\d{2}[^)]{0,10}\))?\s*[:|]\s+(.*)$")
_AGENTS = re.compile(
    r"(?:chat ?bot|bot|agent|support|system|assistant|operator|virtual assistant|advisor|automated|auto-?reply|customer (?:care|service|support)|"
    r"mitarbeiter(?:in)?|berater(?:in)?|kundenservice|assistent(?:in)?|conseill(?:er|ère)|assistante?|service client|agente|asistente|soporte)"
    r"(?:\s[\w'-]{1,15}\.?)?"
)
_EVENT = re.compile(
    r"\W*(?:(?:[\w'-]{1,20}\s){0,4}(?:has |have |ist |hat |a |ha |s'est )?(?:joined|left|entered|connected|disconnected|ended|started|closed|opened|beigetreten|verlassen|beendet|gestartet|rejoint|quitté|terminé|unido|salido|finalizado)"
    r"(?: (?:the|this|dem|den|das|le|la|el|al|to|bei)?\s?(?:chat|conversation|room|session|gespräch|unterhaltung|conversación|sala))?|"
    r"(?:chat|conversation|transcript|live ?chat|chat ?verlauf|transcription|conversación|gespräch)\b(?: transcript| log| id| session)?\s?(?:started|ended|closed|with|on|from|gestartet|beendet|vom|mit|démarrée?|iniciad[oa]|terminé)?\b.{0,60})\W*$",
    re.IGNORECASE,
)

_FIELD = re.compile(r"\s{0,4}[*_]{0,2}([^\W\d_][^:\n]{0,38}?)[*_]{0,2}\s?:[*_]{0,2}\s*(.*)$")
_CONTACT_FIELDS = frozenset(
    [
        "name",
        "your name",
        "full name",
        "first name",
        "last name",
        "surname",
        "forename",
        "title",
        "salutation",
        "company",
        "organisation",
        "organization",
        "email",
        "e-mail",
        "email address",
        "e-mail address",
        "your email",
        "phone",
        "phone number",
        "telephone",
        "tel",
        "mobile",
        "address",
        "city",
        "town",
        "postcode",
        "zip",
        "zip code",
        "country",
        "customer number",
        "customer id",
        "customer no",
        "order number",
        "order id",
        "order no",
        "order",
        "reference",
        "ticket",
        "ticket id",
        "ip",
        "ip address",
        "user agent",
        "browser",
        "page",
        "page url",
        "url",
        "submitted",
        "submitted on",
        "submitted at",
        "date",
        "time",
        "language",
        "locale",
        "form",
        "source",
        "status",
        "priority",
        "channel",
        "department",
        "category",
        "vorname",
        "nachname",
        "anrede",
        "firma",
        "e-mail-adresse",
        "mail",
        "telefon",
        "telefonnummer",
        "adresse",
        "straße",
        "ort",
        "plz",
        "land",
        "kundennummer",
        "bestellnummer",
        "datum",
        "uhrzeit",
        "sprache",
        "kategorie",
        "nom",
        "prénom",
        "nom complet",
        "civilité",
        "société",
        "courriel",
        "adresse e-mail",
        "adresse mail",
        "téléphone",
        "ville",
        "code postal",
        "pays",
        "numéro de client",
        "numéro de commande",
        "date d'envoi",
        "nombre",
        "apellidos",
        "apellido",
        "empresa",
        "correo",
        "correo electrónico",
        "teléfono",
        "dirección",
        "ciudad",
        "código postal",
        "país",
        "número de cliente",
        "número de pedido",
        "fecha",
        "idioma",
    ]
)
_MESSAGE_FIELDS = frozenset(
    [
        "message",
        "your message",
        "comment",
        "comments",
        "question",
        "your question",
        "enquiry",
        "inquiry",
        "description",
        "details",
        "body",
        "text",
        "nachricht",
        "ihre nachricht",
        "anfrage",
        "ihre anfrage",
        "mitteilung",
        "kommentar",
        "beschreibung",
        "frage",
        "votre message",
        "commentaire",
        "demande",
        "votre demande",
        "mensaje",
        "su mensaje",
        "tu mensaje",
        "comentario",
        "comentarios",
        "consulta",
        "descripción",
        "subject",
        "betreff",
        "objet",
        "asunto",
        "sujet",
        "topic",
        "thema",
        "reason",
        "anliegen",
        "motif",
        "motivo",
    ]
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
    return rest


def without_chat(lines: list[str]) -> list[str]:
    """The lines of a chat without time stamps, events, labels of speakers, and what bots and agents said."""
    stamps = [_STAMP.match(line) if line[:1] in "0123456789[(< " else None for line in lines]
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


def without_fields(lines: list[str]) -> list[str]:
    """The lines of a form without contact data and without the label of the message."""
    fields = [_FIELD.match(line) if ":" in line else None for line in lines]
    labels = [field[1].strip().lower() if field else "" for field in fields]
    contacts = sum(label in _CONTACT_FIELDS for label in labels)
    if contacts < 2:
        return lines
    kept: list[str] = []
    for line, field, label in zip(lines, fields, labels, strict=True):
        if field and label in _CONTACT_FIELDS and len(field[2]) <= 120 and len(field[2].split()) <= 8:
            value = field[2].lower()
            if not may_ask(value) and not speaks_of_self(value):
                continue
        kept.append(field[2] if field and label in _MESSAGE_FIELDS else line)
    return kept
