"""Lengths of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.config.durations import in_words, parse_duration
from beam_pcc.config.settings import Source
from beam_pcc.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7_200), ("30m", 1_800), ("90s", 90), ("1h30m", 5_400), ("45", 45), ("0", 0)]
)
def test_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2 h", "2d", "-1h", "1.5h", "30m1h", "٢h", "2H", "1e3"])
def test_other_text_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@given(st.integers(0, 10_000_000))
def test_words_of_a_duration_are_read_back(seconds: int) -> None:
    assert parse_duration(in_words(seconds)) == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is None or seconds >= 0


def test_wait_that_is_no_duration_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--wait_for_source soon is no length of time: write 90s"):
        Source("sample://1", wait_for_source="soon")
