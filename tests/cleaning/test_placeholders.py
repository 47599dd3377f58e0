"""What redaction left, in the form of any tool or person, becomes one form; sentences of nothing else go."""

import pytest

from beam_pcc.features import cleaning
from beam_pcc.features.cleaning.words import NEUTRAL
from tests.cleaning import phrases

PHRASES = phrases.read("placeholders")


@pytest.mark.parametrize("form", PHRASES["forms"])
def test_placeholder_becomes_neutral(form: str) -> None:
    [cleaned] = cleaning.clean([f"The parcel {form} of {form} did not arrive at all."])
    assert cleaned == f"The parcel {NEUTRAL} of {NEUTRAL} did not arrive at all."


@pytest.mark.parametrize("text", PHRASES["kept"])
def test_what_is_no_placeholder_stays(text: str) -> None:
    assert cleaning.clean([text]) == [text]


@pytest.mark.parametrize("introduction", PHRASES["introductions"])
def test_redacted_introduction_goes(introduction: str) -> None:
    assert cleaning.clean([f"{introduction} Where is my parcel?"]) == ["Where is my parcel?"]


@pytest.mark.parametrize("text", PHRASES["sentences"])
def test_sentence_that_says_more_stays(text: str) -> None:
    assert cleaning.clean([f"The box is here. {text} So be it."]) == [
        f"The box is here. {text} So be it.".replace("[REDACTED]", NEUTRAL).replace("[NAME]", NEUTRAL)
    ]
