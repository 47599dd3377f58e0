"""Forms: what they write around a message goes; requests in any of their fields stay."""

import pytest

from beam_pcc.features import cleaning
from tests.cleaning import phrases

PHRASES = phrases.read("fields")
FORMS = {form["name"]: (form["message"], form["text"]) for form in PHRASES["form"]}


@pytest.mark.parametrize("form", FORMS)
def test_form_goes(form: str) -> None:
    message, shape = FORMS[form]
    assert cleaning.clean([shape.replace("{}", message)]) == [message]


@pytest.mark.parametrize("box", PHRASES["boxes"])
@pytest.mark.parametrize("form", ["a contact form", "a German form", "a form with technical data", "a table of text"])
def test_request_in_a_field_stays(form: str, box: str) -> None:
    message, shape = FORMS[form]
    for text in (f"{shape}\n{box}", f"{box}\n{shape}"):
        [cleaned] = cleaning.clean([text.replace("{}", message)])
        assert message in cleaned
        assert box.split(": ")[-1] in cleaned or box in cleaned


def test_menu_of_a_form_without_words_stays() -> None:
    text = "Name: J. Doe\nE-mail: j@example.org\nTopic: Privacy"
    assert "Privacy" in cleaning.clean([text])[0]


@pytest.mark.parametrize("letter", PHRASES["letters"])
def test_letter_with_colons_is_no_form(letter: str) -> None:
    assert cleaning.clean([letter]) == [letter]
