"""Removes what a web form writes around a message: labels, contact data, choices of menus, boxes that were ticked.

A form is told by its shape: several lines or segments of a short label, a sign and a value. A ticked box that is a
request of its own ("Delete my account: yes") stays, and so does a choice that names one ("Request: erasure").
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from beam_pcc.features.cleaning.words import PLACEHOLDER, count, may_ask, speaks_of_self

_MAX_LABEL = 130
_MAX_FREE_LABEL = 40
_FIELD = re.compile(
    rf"[\s*_]{{0,6}}([^\W\d_][^:=|\n→]{{0,{_MAX_LABEL}}}?)[*_\s]{{0,3}}(:(?=[*_]{{0,2}}(?:\s|$|[^\W\d]))|=|\||->|→)(?!//)[*_]{{0,2}}\s*(.*)$"
)
_KEY = r"[^\W\d_][\w.-]{0,39}"
_PAIR = re.compile(rf"({_KEY})([=:])([^;|&]*)$")
_PAIRS = re.compile(rf"{_KEY}[=:][^;|&=]*(?:[;|&]\s?{_KEY}[=:][^;|&=]*)+[;|&]?$")
_SPACED_PAIRS = re.compile(rf"{_KEY}=\S*(?: {_KEY}=\S*)+$")
_TAG = re.compile(r"\[\w{2,20}\] (?=[^\W\d_][\w.-]{0,39}=)")
_WORDS = re.compile(r"[^\W\d_]+")

_ABOUT = frozenset(
    "name names firstname lastname surname forename fullname salutation title company organisation organization email mail phone telephone tel mobile cell address street city town state postcode zip country customer client "
    "account order reference ref ticket id ip agent browser page url uri link referrer submitted date time timestamp language lang locale form source status priority channel rating stars score type version device platform os newsletter "
    "attachments attachment files callback sent from powered remote credit utm campaign number no nr "
    "vorname nachname familienname anrede firma unternehmen telefon telefonnummer handy adresse anschrift straße hausnummer ort stadt plz postleitzahl land kundennummer kundennr bestellnummer bestellung vertragsnummer datum uhrzeit zeit sprache formular seite quelle status priorität kanal bewertung anhang anhänge rückruf "
    "nom prénom civilité société courriel téléphone ville pays numéro client commande langue formulaire note canal pièces jointes rappel envoi code postal complet "
    "nombre apellidos apellido empresa correo electrónico teléfono móvil dirección ciudad país código cliente pedido fecha hora idioma formulario valoración adjuntos número".split()
)
_FILL = frozenset(
    "vor und optional required pflichtfeld obligatoire your my the of a an or and e on at in de del d la le les l du des der die das ihr ihre ihren meine mein su sus tu votre vos mon ma mi mis preferred contact best full first last postal data web user per by für zur zum n y et".split()
)
_MESSAGE = re.compile(
    r"\b(?:message|comments?|questions?|enquiry|inquiry|description|details|body|text|content|how (?:can|may) we help|what can we do|what happened|tell us|your request|additional information|remarks|subject|"
    r"nachricht|freitext|anliegen|anfrage|mitteilung|kommentar|beschreibung|frage|bemerkung\w*|wie können wir|was ist passiert|betreff|"
    r"commentaires?|demande|texte|votre message|précisions|comment pouvons-nous|objet|sujet|"
    r"mensaje|texto|comentarios?|consulta|descripción|pregunta|asunto|detalles?|cómo podemos|en qué podemos|was können wir|que pouvons-nous|nachrichtentext|msg)\b"
)
_MENU = re.compile(
    r"\b(?:category|topic|department|area|reason|purpose|theme|queue|team|regarding|concerning|(?:request|enquiry|inquiry|case|ticket) type|(?:type|kind|nature) of (?:\w+ )?(?:request|enquiry|inquiry|question)|worum geht es|art (?:der|ihrer) anfrage|anfrageart|type de (?:demande|question)|nature de la demande|tipo de (?:solicitud|consulta)|bereich|kategorie|thema|abteilung|rubrik|themenbereich|motif|catégorie|service|rubrique|thème|motivo|categoría|departamento|área|tema|"
    r"\w+ (?:chosen|selected)|gewählt\w*|ausgewählt\w*|choisie?|sélectionnée?|elegid[oa]|seleccionad[oa])\b"
)
_CHOICE = re.compile(
    r"\W*(?:yes|no|true|false|0|1|on|off|y|n|none|given|not given|accepted|agreed|checked|unchecked|ticked|confirmed|granted|declined|denied|read|"
    r"ja|nein|akzeptiert|zugestimmt|erteilt|nicht erteilt|angekreuzt|gelesen|gesetzt|bestätigt|keine?|oui|non|coch[ée]e?|accept[ée]e?|donnée?|aucune?|lue?|"
    r"sí|si|aceptad[oa]|marcad[oa]|leíd[oa]|conforme|ningun[oa]|x|✓|✔|☑|☒|☐)\W*",
)  # fmt: skip
_POSITIVE = re.compile(r"\W*(?:\[[x✓]\]|[☑☒✓✔]|(?:yes|ja|oui|sí|si)\b)", re.IGNORECASE)
_CONSENT = re.compile(
    r"\b(?:agree\w*|consent\w*|privacy|gdpr|terms|accept\w*|permission|datenschutz\w*|einwillig\w*|zustimm\w*|dsgvo|agb|einverst\w*|consentement|accord|accept\w*|rgpd|conditions|cgv|politique|confidentialité|"
    r"aceptaci\w*|acepto|consentimiento|consiento|lopd\w*|privacidad|condiciones)\b"
)
_ASKS = re.compile(
    r"delet|eras|remov|forget|withdraw|revok|object|opt[ _-]?out|do not (?:sell|share)|unsubscribe|stop|access|(?:copy|export)\b.{0,30}\b(?:data|information|record|account)|rectif|correct|portab|"
    r"lösch|loesch|entfern|widerruf|widersprech|widerspruch|auskunft|bericht?ig|kopie meiner|daten.{0,20}(?:export|kopie)|"
    r"supprim|suppress|effac|retir|oppos|accès|rectif|copie de (?:mes|vos) données|oubli|"
    r"elimin|borr|suprim|supresi|oposici|oponer|revoc|acceso|copia de (?:mis|sus) datos|olvid"
)
_KEEPS = re.compile(
    r"\b(?:keep|store|share|sell|behalten|speicher\w*|aufbewahr\w*|weitergeb\w*|weitergabe|conserv\w*|garder|partag\w*|guard\w*|compart\w*|ceder|vend\w*)\b"
)
_MAY_BE_REVOKED = re.compile(
    r"\b(?:(?:i|you|we) (?:can|may) (?:withdraw|revoke) (?:this|it|my|the|your)|(?:withdrawal|revocation) (?:is )?(?:possible )?|can be (?:withdrawn|revoked)|(?:kann|können) .{0,40}widerrufen|widerruf\w* (?:ist )?jederzeit|jederzeit widerruf\w*|"
    r"(?:je|vous) p(?:eux|ouvez) .{0,20}retirer|peut être retirée?|puedo (?:retirar|revocar)\w*|puede (?:retirar|revocar)\w*)\b[^.;]*"
)
_TAKEN_BACK = re.compile(
    r"\?|\b(?:not|n't|never|no longer|withdraw\w*|revok\w*|but|however|delete|erase|remove|stop|without|please|nicht|kein\w*|widerruf\w*|aber|lösch\w*|entfern\w*|bitte|"
    r"pas|jamais|retir\w*|révoqu\w*|mais|supprim\w*|effac\w*|veuillez|nunca|revoc\w*|pero|elimin\w*|borr\w*|suprim\w*)\b"
)
_HEADING = re.compile(
    r"\W*(?:(?:new|neue[rs]?|nouvelle?|nuev[oa]) (?:entry|submission|message|request|enquiry|anfrage|nachricht|eintrag|demande|message|solicitud|mensaje|consulta)\b.{0,60}|"
    r"(?:support |service |customer )?(?:request|ticket|case|enquiry|anfrage|vorgang|demande|solicitud|consulta)\W{0,3}(?:(?:no|nr|n)[°º.]?\W?)?#?\d{2,}.{0,30}|<?-+ ?(?:end|ende|fin) (?:of|des|du|del|de)\b.{0,20}|field \| (?:answer|value)|"
    r"(?:.{0,40}\W)?(?:contact (?:us|form)|(?:new|form) submission|contact(?:form)?ulier|kontakt(?:formular|anfrage)|neue kontaktanfrage|formulaire (?:de contact|web)|formulario (?:de contacto|web))(?:\W.{0,40})?)"
)


class _Field(NamedTuple):
    label: str
    """In lower case."""
    value: str
    is_key: bool
    """Whether the label is an identifier, as programs write it."""


def without_fields(lines: list[str]) -> list[str]:
    """The lines of a form without contact data, choices and labels; others as they are."""
    fields = [_fields(line) for line in lines]
    points = 0
    for found in fields:
        points += sum(_is_of_forms(field) for field in found)
    if points < 2:
        return lines
    has_message = any(
        _is_message(field.label) and count(field.value, 3) >= 3 for found in fields for field in found
    ) or any(not found and count(line, 5) >= 5 for line, found in zip(lines, fields, strict=True))
    kept: list[str] = []
    for line, found in zip(lines, fields, strict=True):
        if len(found) <= 1 and len(line) <= 100 and _HEADING.fullmatch(line.lower()) and not _ASKS.search(line.lower()):
            continue
        if not found:
            kept.append(line)
            continue
        left = [
            one for field in found if (one := _left(field, line if len(found) == 1 else None, has_message=has_message))
        ]
        if left:
            kept.append(" ".join(left))
    return kept


def may_have_fields(text: str) -> bool:
    """Whether a text may be a form: cheap to ask."""
    return ":" in text or "=" in text or " | " in text or "->" in text or "→" in text


def _fields(line: str) -> list[_Field]:
    if not may_have_fields(line):
        return []
    bare = line.strip()
    if bare[:1] == "[" and (tag := _TAG.match(bare)):
        bare = bare[tag.end() :]
    if len(bare) <= 400 and "://" not in bare:
        if (";" in bare or "|" in bare or "&" in bare) and _PAIRS.match(bare):
            pairs = [_PAIR.match(one.strip()) for one in re.split(r"[;|&]", bare) if one.strip()]
            if all(pairs):
                return [_Field(_label(pair[1]), pair[3].strip(), True) for pair in pairs if pair]
        if "=" in bare and _SPACED_PAIRS.match(bare):
            return [_Field(_label(one.partition("=")[0]), one.partition("=")[2], True) for one in bare.split(" ")]
    match = _FIELD.match(bare)
    if not match:
        return []
    label, sign, value = match.groups()
    is_key = " " not in label and (sign == "=" or bare[match.end(2) : match.end(2) + 1] not in ("", " ", "*"))
    return [_Field(_label(label), value.strip(" |"), is_key)]


def _label(label: str) -> str:
    return label.lower().replace("_", " ").replace("’", "'").strip(" *-.\t")


@functools.lru_cache(maxsize=1_024)
def _is_label(label: str) -> bool:
    """Whether what stands before a colon is the label of a message, and not its beginning."""
    if may_ask(label) or count(label, 8) > 7:
        return False
    return "?" in label or (count(label, 6) <= 5 and not (speaks_of_self(label) and count(label, 3) > 2))


@functools.lru_cache(maxsize=1_024)  # forms have the same labels
def _is_message(label: str) -> bool:
    return _MESSAGE.search(label) is not None


@functools.lru_cache(maxsize=1_024)
def _is_menu(label: str) -> bool:
    return _MENU.search(label) is not None


@functools.lru_cache(maxsize=1_024)
def _is_contact(label: str) -> bool:
    words = _WORDS.findall(label)
    return (
        bool(words)
        and len(words) <= 5
        and any(word in _ABOUT for word in words)
        and all(word in _ABOUT or word in _FILL for word in words)
    )


def _is_of_forms(field: _Field) -> bool:
    """Whether a field is one that letters do not have."""
    value = field.value.lower()
    if field.value and not field.value.replace(PLACEHOLDER, "").strip(" .,;*@#-"):
        return True
    if len(field.label) > _MAX_FREE_LABEL and not _CHOICE.fullmatch(value):
        return False
    return bool(
        _is_contact(field.label)
        or _CHOICE.fullmatch(value)
        or (field.is_key and count(field.label, 4) <= 3)
        or _is_menu(field.label)
    )


def _left(field: _Field, line: str | None, *, has_message: bool) -> str:
    """What of a field is the customer's; `line` is the whole line if it has no other field."""
    label, value = field.label, field.value.lower()
    whole = line if line is not None else f"{label}: {field.value}"
    if not value.replace(PLACEHOLDER, "").strip(" .,;*@#-_"):
        return whole if may_ask(label) and not (_is_message(label) or _is_menu(label) or _is_contact(label)) else ""
    if _CHOICE.fullmatch(value):
        is_negative = (
            re.match(
                r"\W*(?:no|false|0|off|n|none|not|declined|denied|unchecked|nein|nicht|keine?|non|aucune?|ningun[oa]|☐)\b",
                value,
            )
            is not None
        )
        if is_negative:
            return whole if _KEEPS.search(label) and may_ask(label) else ""
        return whole if _ASKS.search(_MAY_BE_REVOKED.sub(" ", label)) else ""
    if _POSITIVE.match(value) and _CONSENT.search(f"{label} {value}"):
        return whole if _TAKEN_BACK.search(_MAY_BE_REVOKED.sub(" ", f"{label} {value}")) else ""
    if _is_contact(label) and len(value) <= 120 and count(value, 9) <= 8:
        return whole if may_ask(value) or speaks_of_self(value) else ""
    if _is_menu(label) and len(label) <= _MAX_FREE_LABEL and count(value, 7) <= 6:
        return "" if has_message and not _ASKS.search(value) and not speaks_of_self(_without_own_data(value)) else whole
    if _is_message(label) and _is_label(label):
        return field.value
    if field.is_key and count(value, 3) <= 2 and not may_ask(value):
        return ""
    return whole


def without_right_to_revoke(lower: str) -> str:
    """A lower-case text without what says that a consent can be taken back, as boxes do."""
    return _MAY_BE_REVOKED.sub(" ", lower)


def is_contact(name: str, value: str) -> bool:
    """Whether a field is about the sender, and holds no request."""
    lower = value.lower()
    return _is_contact(_label(name)) and count(lower, 9) <= 8 and not may_ask(lower) and not speaks_of_self(lower)


def _without_own_data(value: str) -> str:
    """A choice without "my data": menus name topics so."""
    return re.sub(r"\b(?:my|meine|mes|mon|ma|mis|mi) (?=\w+)", " ", value)
