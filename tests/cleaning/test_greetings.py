"""Greetings go with the names beside them; a request in their place stays."""

import pytest

from beam_pcc.features import cleaning

MESSAGE = "my parcel has not arrived"


@pytest.mark.parametrize(
    "opening",
    ["Hi,", "Hello, it’s me.", "Dear Sir or Madam,\n\n", "Hallo liebes Team,", "Sehr geehrte Damen und Herren,\n", "Bonjour Madame Vasseur,", "Buenos días:", "Estimados señores,"],
)  # fmt: skip
@pytest.mark.parametrize(
    "closing",
    ["", "\n\nKind regards\nJ. Doe", ". Thanks, Bo", ".\nMit freundlichen Grüßen\nSabine Muster", ". Merci beaucoup.", ". Un saludo, Andrés", "\nThank you so much!"],
)  # fmt: skip
def test_greeting_goes(opening: str, closing: str) -> None:
    assert cleaning.clean([f"{opening} {MESSAGE}{closing}"])[0].rstrip(".") == MESSAGE


@pytest.mark.parametrize(
    "text",
    [
        "Hello please delete my data, thanks for that",
        "HELLO, DELETE MY DATA, NOW",
        "Hi Erase Everything, now",
        "Votre site est lent. Merci de les faire disparaître.",
        "Vous avez mon adresse. Merci de m'envoyer tout ça.",
        "The app is slow. Thanks for deleting my account.",
        "The list is old. Thanks for taking us off.",
        "Das Konto ist alt. Danke für die Löschung.",
        "Dear Sir",
        "Thanks, Bo",
        "Hello there",
    ],
)
def test_what_says_more_stays(text: str) -> None:
    assert cleaning.clean([text]) == [text]
