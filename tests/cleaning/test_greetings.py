"""Greetings go with the names beside them; a request in their place stays."""

import pytest

from beam_pcc.features import cleaning
from tests.cleaning import phrases

PHRASES = phrases.read("greetings")
MESSAGE = "my parcel has not arrived"


@pytest.mark.parametrize("opening", PHRASES["openings"])
@pytest.mark.parametrize("closing", PHRASES["closings"])
def test_greeting_goes(opening: str, closing: str) -> None:
    assert cleaning.clean([f"{opening} {MESSAGE}{closing}"])[0].rstrip(".") == MESSAGE


@pytest.mark.parametrize("text", PHRASES["kept"])
def test_what_says_more_stays(text: str) -> None:
    assert cleaning.clean([text]) == [text]
