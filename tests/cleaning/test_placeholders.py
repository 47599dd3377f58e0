"""What redaction left, in the form of any tool or person, becomes one form; sentences of nothing else go."""

import pytest

from beam_pcc.features import cleaning
from beam_pcc.features.cleaning.placeholders import NEUTRAL

FORMS = [
    "[REDACTED]",
    "<REDACTED>",
    "(redacted)",
    "{REDACTED}",
    "REDACTED",
    "REDACTED_EMAIL",
    "[REDACTED EMAIL]",
    "[REDACTED: EMAIL]",
    "[PERSON_1]",
    "[PERSON 1]",
    "PERSON_1",
    "PERSON1",
    "[Name]",
    "[name removed]",
    "[EMAIL REMOVED]",
    "[e-mail address]",
    "<name>",
    "<email>",
    "<<NAME>>",
    "{{email}}",
    "{name}",
    "${name}",
    "%NAME%",
    "#EMAIL#",
    "__NAME__",
    "@@NAME@@",
    "$NAME$",
    "****",
    "***",
    "j***@e***.com",
    "XXXX",
    "xxx-xxx-xxxx",
    "XX.XX.XXXX",
    "███",
    "░░░",
    "●●●●",
    "••••",
    "______",
    "<NAME/>",
    "[***]",
    "[...]",
    "[xxx]",
    "[NOM]",
    "[PRÉNOM]",
    "[Prénom]",
    "[geschwärzt]",
    "[anonymisiert]",
    "[unkenntlich]",
    "[entfernt]",
    "[Kundennummer]",
    "[KUNDENNUMMER]",
    "[supprimé]",
    "[caviardé]",
    "[masqué]",
    "[tachado]",
    "[eliminado]",
    "[DATO PERSONAL]",
    "GESCHWÄRZT",
    "[NAME_REDACTED]",
    "[[NAME]]",
    "[NAME:1]",
    "<PERSON>",
    "<EMAIL_ADDRESS>",
    "########",
    "[PHONE_NUMBER]",
    "[your name]",
    "[Adresse E-Mail]",
    "[date of birth]",
    "[DOB]",
    "[LOCATION-2]",
    "{{ customer.name }}",
    "**** **** **** 1234",
    "***-**-1234",
    "[Name geschwärzt]",
    "[nom masqué]",
    "[nombre eliminado]",
    "[personal data removed]",
    "J*** D***",
    "CAVIARDÉ",
    "EMAIL_ADDRESS",
    "[private]",
    "<ADDRESS>",
    "[ADDRESS]",
    "[ Name ]",
    "[DELETED]",
    "<NAME_3>",
    "(NAME)",
    "[MEDICAL_ID]",
    "[ID]",
    "[IBAN]",
]
KEPT = [
    "I said (please) do it",
    "**Important** note on this",
    "see [1] and [a] for it",
    "[Delete My Account]",
    "[Forget me]",
    "what the f*** is this",
    "the [blue] one of them",
    "x < 3 and y > 2 are fine",
    "snake_case_word and ERR_CONNECTION_RESET in it",
    "GET /users/{id}/orders fails",
    "#hashtag and #other tags",
    "100% of 20% is it",
    "costs $5 and $6 today",
    "A4 paper and MP3 player XR45",
    "love you xxx",
    "[x] I want to order it",
    "[ ] no thanks to that",
    "Erase [everything], please",
]
INTRODUCTIONS = [
    "Hello, my name is [REDACTED], my email is [REDACTED] and my phone is [REDACTED].",
    "Dear team, I am ######## (########@########, order ########).",
    "Guten Tag, mein Name ist [NAME], Kundennummer [GESCHWÄRZT].",
    "Bonjour, je suis [NOM], mon numéro de client est [NUMÉRO].",
    "Hola, soy [NOMBRE] y mi correo es [CORREO].",
    "[PERSON] [PHONE]\n",
]


@pytest.mark.parametrize("form", FORMS)
def test_placeholder_becomes_neutral(form: str) -> None:
    [cleaned] = cleaning.clean([f"Dear team, parcel {form} of {form} did not arrive at all."])
    assert cleaned == f"Dear team, parcel {NEUTRAL} of {NEUTRAL} did not arrive at all."


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_placeholder_stays(text: str) -> None:
    assert cleaning.clean([text]) == [text]


@pytest.mark.parametrize("introduction", INTRODUCTIONS)
def test_redacted_introduction_goes(introduction: str) -> None:
    assert cleaning.clean([f"{introduction} Where is my parcel?"]) == ["Where is my parcel?"]


@pytest.mark.parametrize(
    "text", ["My new address is [REDACTED].", "Delete [NAME].", "Is [NAME] your name?", "I am [NAME] and want a copy."]
)
def test_sentence_that_says_more_stays(text: str) -> None:
    assert cleaning.clean([f"Hello. {text} Thanks."]) == [
        f"Hello. {text} Thanks.".replace("[REDACTED]", NEUTRAL).replace("[NAME]", NEUTRAL)
    ]
