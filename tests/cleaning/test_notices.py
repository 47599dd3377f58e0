"""Notices below a message go in any wording; what looks like one and is a request stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features import cleaning
from beam_pcc.features.cleaning import stems
from tests.cleaning import phrases

MESSAGE = "The parcel has not arrived yet, where is it now?"
PHRASES = phrases.read("notices")
NOTICES: list[str] = PHRASES["notices"]
REQUESTS: list[str] = PHRASES["requests"]


@pytest.mark.parametrize("notice", NOTICES)
def test_notice_goes(notice: str) -> None:
    [cleaned] = cleaning.clean([f"{MESSAGE}\n\nJ. Doe\n{notice}"])
    assert cleaned.removesuffix("See our notice.").strip() in (MESSAGE, f"{MESSAGE}\n\nJ. Doe")


@pytest.mark.parametrize("request_", REQUESTS)
def test_request_that_looks_like_a_notice_stays(request_: str) -> None:
    for text in (f"Hello, this is about our order.\n\n{request_}", f"Hello there.\nJ. Doe\n--\n{request_}", request_):
        assert request_ in cleaning.clean([text])[0]


@settings(deadline=None, max_examples=200)
@given(
    before=st.lists(st.sampled_from(NOTICES), max_size=2),
    after=st.lists(st.sampled_from(NOTICES), max_size=2),
    request_=st.sampled_from(REQUESTS),
    between=st.sampled_from([" ", "\n", "\n\n"]),
)
def test_request_among_notices_stays(before: list[str], after: list[str], request_: str, between: str) -> None:
    [cleaned] = cleaning.clean([between.join([MESSAGE, *before, request_, *after])])
    assert request_.rstrip(".") in cleaned.replace("\n", " ")


def test_stems_are_no_longer_than_prefixes() -> None:
    """A longer stem would never be found."""
    assert max(map(len, stems.ALL)) <= stems.LENGTH
