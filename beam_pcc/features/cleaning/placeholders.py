"""Maps what redaction left, in any tool's form, to one form, and drops tokens that are no words."""

from __future__ import annotations

import functools
import re

from beam_pcc.features.cleaning import words
from beam_pcc.features.cleaning.words import MAX_SENTENCE, NEUTRAL, PLACEHOLDER, has_any, may_ask, sentences

_WHAT = frozenset(
    "name names firstname lastname surname forename person persons people per email mail phone tel telephone mobile cell fax address street city town "
    "location loc gpe place zip postcode country date dob birth birthday time iban bic card credit bank account number no nr id ids ssn passport licence license url ip org organisation "
    "organization company employer customer client user username login password order details pii pi phi personal data info information sender recipient agent "
    "vorname nachname familienname telefon telefonnummer handynummer rufnummer anschrift adresse straße ort stadt plz land datum geburtsdatum firma unternehmen kunde kundennummer kundennr "
    "bestellnummer konto kontonummer steuernummer ausweis benutzer personenbezogen daten "
    "nom noms prénom prenom personne courriel adresse téléphone ville pays société entreprise client numéro numero commande compte naissance identifiant donnée données "
    "nombre nombres apellido apellidos persona correo electrónico teléfono móvil dirección ciudad país fecha nacimiento empresa cliente número pedido cuenta dni nif nie dato datos personales".split()
)
_GONE = frozenset(
    "redacted removed masked hidden anonymised anonymized pseudonymised pseudonymized withheld deleted censored scrubbed obfuscated private filtered blocked sanitized sanitised suppressed omitted "
    "geschwärzt geschwaerzt entfernt anonymisiert pseudonymisiert maskiert unkenntlich verborgen gelöscht ausgeblendet zensiert unkenntlichgemacht "
    "masqué masquée supprimé supprimée anonymisé anonymisée pseudonymisé caviardé caviardée biffé biffée occulté occultée effacé effacée censuré retiré "
    "eliminado eliminada suprimido suprimida oculto oculta ocultado anonimizado anonimizada tachado tachada censurado censurada borrado borrada seudonimizado rimosso oscurato verwijderd".split()
)
_FILL = frozenset(
    "contact of the a your my full first last e the for by was and or de del la le du des d l el der die das und et y s".split()
)
# Begins with a set of characters, so that a search skips what is none of them.
_NAMED = re.compile(
    r"[\[<({](?:(?<=\[)\[?|(?<=<)<?|(?<=\{)\{{0,2}|(?<=\())[ \t]?([^\W\d_][^\[\]<>(){}\n]{0,40}?)[ \t]?/?(?:\]{1,2}|>{1,2}|\}{1,3}|\))"
)
_UPPER = re.compile(r"[A-Z][A-Z0-9ÄÖÜÉÈÇÑ_ -]{0,38}(?:[:#-]\d+)?")
_TAG = re.compile(r"<([A-Z][A-Z0-9]{1,20}(?:_[A-Z0-9]+){0,4})>")
_MARKED = re.compile(r"([#%$@_~|]{1,2})([^\W\d_][\w. -]{1,30}?)\1(?!\w)")
_BARE = re.compile(
    r"\b(?:REDACTED|ANONYMI[SZ]ED|WITHHELD|GESCHWÄRZT|GESCHWAERZT|ANONYMISIERT|UNKENNTLICH|CAVIARDÉE?|ANONYMISÉE?|MASQUÉE?|"
    r"ANONIMIZAD[OA]|CENSURAD[OA]|TACHAD[OA])(?:_[A-Z0-9]+){0,4}\b|\b([A-Z]{2,20}(?:_[A-Z0-9]{1,20}){1,4}|[A-Z]{3,12}\d{1,3})\b"
)
_END = r"(?=[\s.,;:!?)@]|$)"
_MASKS = (
    (("####",), re.compile(r"#{4,}(?:[@.-]+#+)*"), PLACEHOLDER),
    (("**",), re.compile(r"\b\w{0,3}\*{2,}[\w*]{0,20}@[\w*.-]{1,40}|\b[A-ZÄÖÜÉ]\*{2,}"), PLACEHOLDER),
    (
        ("**",),
        re.compile(
            rf"\*{{2,}}(?:[-./ ]\*{{2,}}){{1,5}}(?:[-./ ]?\d{{2,4}}\b)?|\*{{3,}}(?:(?<=[^\s*a-z]\*\*\*)|(?<=[^\n*] \*\*\*)){_END}|\*{{4,}}{_END}|\*{{3,}}[ -]?\d{{2,4}}\b"
        ),
        PLACEHOLDER,
    ),
    (("XX",), re.compile(r"\bX{4,}\b|\bX{2,}(?:[-./ ]X{2,}){1,5}\b|\bXXX\b"), PLACEHOLDER),
    (("xxx",), re.compile(r"\bx{4,}\b|\bx{3,}(?:[-./]x{2,}){1,5}\b"), PLACEHOLDER),
    (("Xxx", "xXX"), re.compile(r"\b[Xx]{4,}\b"), PLACEHOLDER),
    (("[..", "[…", "[X", "[x", "[-", "[_", "[*"), re.compile(r"\[(?:\.{3}|…|[*xX_-]{2,})\]"), PLACEHOLDER),
    (("__",), re.compile(r" (?<=[^\n_] )_{3,}(?![_\w])"), f" {PLACEHOLDER}"),
    (tuple(2 * block for block in "█■▇▓░▒◼⬛▮"), re.compile(r"[█■▇▓░▒◼⬛▮]{2,}"), PLACEHOLDER),
    (("●●●", "•••", "∙∙∙"), re.compile(r"[●•∙]{3,}"), PLACEHOLDER),
)
"""Words of which a text with a mask has one, the mask, and what stands for it."""
_MASK_SIGNS = (
    "##",
    "**",
    "XX",
    "xx",
    "Xx",
    "__",
    "[.",
    "[-",
    "[…",
    "██",
    "■■",
    "▇▇",
    "▓▓",
    "░░",
    "▒▒",
    "◼◼",
    "⬛⬛",
    "▮▮",
    "●●",
    "••",
    "∙∙",
)
_OF_MASKS = frozenset("#*X_[█■▇▓░▒◼⬛▮●•∙")
_HTML_NAMES = frozenset(
    [
        "HTML",
        "HEAD",
        "BODY",
        "DIV",
        "SPAN",
        "TABLE",
        "TBODY",
        "THEAD",
        "TR",
        "TD",
        "TH",
        "UL",
        "OL",
        "LI",
        "DL",
        "DT",
        "DD",
        "BR",
        "HR",
        "IMG",
        "FONT",
        "CENTER",
        "BLOCKQUOTE",
        "PRE",
        "CODE",
        "EM",
        "STRONG",
        "SMALL",
        "BIG",
        "SUB",
        "SUP",
        "TT",
        "STYLE",
        "SCRIPT",
        "META",
        "LINK",
        "TITLE",
        "BASE",
        "FORM",
        "INPUT",
        "BUTTON",
        "H1",
        "H2",
        "H3",
        "H4",
        "H5",
        "H6",
        "SECTION",
    ]
)
_RUN = re.compile(rf"{PLACEHOLDER}(?:[ \t,;:@.()<>\[\]|/-]*{PLACEHOLDER})+")
_BANNER = re.compile(r"EXT(?:ERN(?:AL|E)?)?\b|CAUTION|WARNING|SPAM|TICKET|CASE\b.*\d|URGENT|SECURE|ENCRYPTED|IMPORTANT")

_DATA_URL = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,60}[;,][^\s\"'<>)]*")
_ADDRESS = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"']*")
_LONG = re.compile(r"[A-Za-z0-9+/=_%&?~#.:-]{40,}")  # _MIN_LONG
_MIN_LONG = 40
_MAX_ADDRESS = 60
_LINKED = re.compile(
    rf"[\[(<]\s*(?:(?:https?|cid|mailto|image|tel):[^\s\])>]*|{PLACEHOLDER}?\.(?:png|gif|jpe?g))\s*[\])>]", re.I
)


def neutral(text: str) -> str:
    """The text with PLACEHOLDER for each name of what was redacted, and for each mask."""
    signs = words.signs(text)
    if not signs and "xx" not in text:
        return text
    if "[" in signs or "<" in signs or "{" in signs or "(" in signs:
        text = _NAMED.sub(_name, text)
        if "$" in text:
            text = text.replace(f"${PLACEHOLDER}", PLACEHOLDER)
        signs = words.signs(text)
    if (len(signs) >= _MIN_BARE and has_any(signs, _BARE_STEMS)) or ("_" in signs and _UNDERSCORED.search(text)):
        text = _BARE.sub(_bare, text)
    if not _OF_MARKS.isdisjoint(signs) and has_any(text, _MARKS) and _MARK.search(text):
        text = _MARKED.sub(_marked, text)
    if ("xx" in text or "Xx" in text or not _OF_MASKS.isdisjoint(signs)) and has_any(text, _MASK_SIGNS):
        for keys, pattern, form in _MASKS:
            if has_any(text, keys):
                text = pattern.sub(form, text)
    return text


def neutral_tags(text: str) -> str:
    """Markup with PLACEHOLDER for tags that are names of what was redacted: a parser would drop them."""
    return _TAG.sub(_tag, text) if "<" in text else text


_BARE_STEMS = (
    "REDACT", "ANON", "WITHHELD", "GESCHW", "UNKENNT", "CAVIARD", "MASQU", "CENSURAD", "TACHAD", "PERSON", "NAME", "EMAIL", "PHONE",
)  # fmt: skip
_MIN_BARE = 4
_UNDERSCORED = re.compile(r"_(?<=[A-Z]_)[A-Z0-9]")
_MARKS = ("#", "%", "$", "@@", "_", "~", "|")
_OF_MARKS = frozenset("#%$@_~|")
_MARK = re.compile(r"[#%$@_~|][^\W\d_][\w. -]{1,30}?[#%$@_~|]")


def _name(match: re.Match[str]) -> str:
    whole, name = match.group(), match[1]
    opening, shut = whole[0], whole[-1]
    if (opening == "<" and name in _HTML_NAMES) or (opening == "{" and match.string[max(0, match.start() - 1)] == "/"):
        return whole
    upper = _UPPER.fullmatch(name)
    if upper and "_" in name and name.isupper():
        return PLACEHOLDER
    kind = _kind(name)
    if opening == "(":
        return PLACEHOLDER if (kind == "gone" and shut == ")") or name.lower() in _IN_PARENTHESES else whole
    if opening == "{" and whole.startswith("{{") and whole.endswith("}}"):
        return PLACEHOLDER
    if kind and (shut == _SHUT[opening]):
        return PLACEHOLDER
    if not upper or opening != "[" or len(name) < 2 or name.count(" ") > 2 or _BANNER.match(name):
        return whole
    return whole if may_ask(name.lower()) else PLACEHOLDER


_SHUT = {"[": "]", "<": ">", "{": "}"}
_IN_PARENTHESES = ("name", "email", "phone", "address")
_WORDS = re.compile(r"[^\W\d_]+")
_LONG_NUMBER = re.compile(r"\d{3}")  # that of a ticket


@functools.lru_cache(maxsize=1_024)  # the same names again and again
def _kind(name: str) -> str | None:
    """Whether words say that something was redacted ("gone"), or what it was ("what")."""
    parts = _WORDS.findall(name.lower())
    if not parts or len(parts) > 5 or _LONG_NUMBER.search(name):
        return None
    says_gone = says_what = False
    for word in parts:
        if word in _GONE:
            says_gone = True
        elif word in _WHAT:
            says_what = True
        elif word not in _FILL:
            return None
    return "gone" if says_gone else "what" if says_what else None


def _tag(match: re.Match[str]) -> str:
    name = match[1]
    if name in _HTML_NAMES:
        return match.group()
    return PLACEHOLDER if "_" in name or _kind(name) or not may_ask(name.lower()) else match.group()


def _bare(match: re.Match[str]) -> str:
    return PLACEHOLDER if match[1] is None or _kind(match[1]) else match.group()


def _marked(match: re.Match[str]) -> str:
    return PLACEHOLDER if _kind(match[2]) else match.group()


_INTRODUCTION = (
    _WHAT
    | _FILL
    | frozenset(
        "hi hello hey dear team sir madam sirs good morning afternoon evening support i am im this it is are at under on from with to me mine we our and & reach call ring text write contact you can any time anytime by best or also here below regards "
        "kind warm thanks thank sincerely yours faithfully truly cheers born living live lives resident based registered called "
        "hallo liebes liebe lieber sehr geehrte damen herren guten tag team ich bin heiße heisse mein meine meiner unter mit aus von lautet geboren am im erreichen anrufen rufen schreiben sie mich gruß grüße gruss grüsse "
        "freundlichen viele beste mfg lg vg danke vielen dank hier ist wohne wohnhaft in nr "
        "bonjour bonsoir madame monsieur je suis m appelle mon ma mes est sont à au par avec joindre appeler écrire vous pouvez me né née habite cordialement merci salutations bien sincères "
        "hola buenos buenas días tardes estimados estimado señores soy llamo mi mis es son con en al puede pueden localizarme contactarme llamarme escribirme llamar nacido nacida vivo saludos cordiales atentamente gracias un no".split()
    )
)


def without_introductions(text: str) -> str:
    """The text without sentences that only say who writes, all of it redacted: they ask for nothing."""
    if PLACEHOLDER not in text:
        return text
    kept: list[str] = []
    for line in text.split("\n"):
        if PLACEHOLDER in line:
            own = [one for one in sentences(line) if one and not _is_introduction(one)]
            if own:
                kept.append(" ".join(own))
        else:
            kept.append(line)
    return "\n".join(kept)


def _is_introduction(sentence: str) -> bool:
    if PLACEHOLDER not in sentence or len(sentence) > MAX_SENTENCE or "?" in sentence:
        return False
    return all(word in _INTRODUCTION for word in _WORDS.findall(sentence.lower().replace("’", "'")))


def final(text: str) -> str:
    """The text with the neutral form for PLACEHOLDER, once for several beside each other."""
    if PLACEHOLDER not in text:
        return text
    text = _RUN.sub(PLACEHOLDER, text)
    return text.replace(PLACEHOLDER, NEUTRAL)


def without_tokens(text: str) -> str:
    """The text without data: URLs, targets of links, tracking links and other tokens that are too long for words."""
    if "data:" in text:
        text = _DATA_URL.sub(" ", text)
    if "://" in text or (":" in text and ("cid:" in text or "mailto:" in text or "image:" in text or "tel:" in text)):
        text = _LINKED.sub(" ", text)
    if "://" in text or "www." in text:
        text = _ADDRESS.sub(_address, text)
    if len(text) >= _MIN_LONG and max(map(len, text.split()), default=0) >= _MIN_LONG:
        text = _LONG.sub(_token, text)
    return text


def _address(match: re.Match[str]) -> str:
    address = match.group()
    return address if len(address) <= _MAX_ADDRESS else address.split("?")[0][:_MAX_ADDRESS].rsplit("/", 1)[0]


def _token(match: re.Match[str]) -> str:
    token = match.group()
    if token.startswith(("http", "ftp", "www")):
        return token
    digits = sum(character.isdigit() for character in token)
    return " " if digits >= 4 and digits * 12 >= len(token) else token
