"""Splitting texts into sentences and windows: nothing is lost, everything is bounded, and short texts stay whole."""

import json
from itertools import pairwise

import numpy as np
import pytest
from apache_beam.ml.inference.base import PredictionResult
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features.windows import WindowLimits, place, sentences, split
from beam_pcc.models.scoring import Scores
from beam_pcc.pipeline import transforms
from beam_pcc.progress import counts
from tests.inputs import cases

LIMITS = WindowLimits()
LONG = " ".join(f"The parcel number {n} has not arrived and I called about it." for n in range(30))
MARKS = ".!?\n \u3002\uff01-*\"')x中"


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(st.text(st.sampled_from(MARKS), max_size=600) | st.text(max_size=600))
def test_sentences_together_are_the_text(text: str) -> None:
    assert squeezed("".join(sentences(text))) == squeezed(text)


@given(st.text(st.sampled_from(MARKS), max_size=1500) | st.text(max_size=1500))
def test_windows_together_are_the_text(text: str) -> None:
    """A text of this length needs no more windows than it may have."""
    assert squeezed("".join(window.text for window in split(text, LIMITS))) == squeezed(text)


@settings(max_examples=50)
@given(st.text(st.sampled_from(MARKS), min_size=1, max_size=12), st.integers(1, 5_000))
def test_windows_are_few_and_in_order(unit: str, times: int) -> None:
    windows = split(unit * times, LIMITS)
    assert 1 <= len(windows) <= LIMITS.most
    assert all(one.last < other.first for one, other in pairwise(windows))
    assert windows[0].first == 1
    assert windows[-1].last == windows[-1].sentences


@settings(max_examples=50)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), st.integers(1, 3_000))
def test_no_window_is_without_a_letter_or_digit(unit: str, times: int) -> None:
    windows = split(unit * times, LIMITS)
    assert len(windows) == 1 or all(any(c.isalnum() or c == "_" for c in one.text) for one in windows)


@pytest.mark.parametrize("text", ["Where is it?", "One. Two. Three.", "x" * LIMITS.whole, "删除我的数据。" * 9])
def test_short_text_is_one_window_as_it_is(text: str) -> None:
    (window,) = split(text, LIMITS)
    assert (window.text, place(window)) == (text, None)


def test_text_of_a_model_without_windows_is_whole() -> None:
    assert [window.text for window in split(LONG, None)] == [LONG]


def test_request_after_a_complaint_has_its_own_window() -> None:
    request = "Please delete everything that you have stored about me."
    windows = split(f"{LONG} {request}", LIMITS)
    assert request in windows[-1].text
    assert len(windows[-1].text) < 2 * LIMITS.characters
    assert place(windows[-1]) == f"sentences {windows[-1].first}-31 of 31"


def test_longer_text_than_the_limit_has_larger_windows() -> None:
    windows = split(LONG * 3, LIMITS)
    assert len(windows) == LIMITS.most
    assert sum(len(window.text) for window in windows) >= len(LONG) * 3 - LIMITS.most


def test_far_longer_text_keeps_beginning_and_end() -> None:
    windows = split(" ".join([LONG] * 60), LIMITS)
    assert len(windows) == LIMITS.most
    assert windows[0].first == 1
    assert windows[-1].last == windows[-1].sentences == 1800
    assert max(len(window.text) for window in windows) < 5 * LIMITS.characters
    scored = sum(window.last - window.first + 1 for window in windows)
    assert place(windows[0]) == f"sentences 1-{windows[0].last} of 1800, {1800 - scored} of them not scored"


def test_text_without_punctuation_or_spaces_is_cut() -> None:
    windows = split("delete" * 200, LIMITS)
    assert len(windows) > 5
    assert max(len(window.text) for window in windows) <= 2 * LIMITS.characters


@pytest.mark.parametrize(
    "unit", ["a. ", ".", "-\n", '." ', "- ", "!)", "。", "中", "1. ", '" ', "\n", " a" + " " * 300]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """Quadratic time would take minutes, and run into the timeout of the tests."""
    text = (unit * 100_000)[:100_000]
    assert 1 <= len(split(text, LIMITS)) <= LIMITS.most


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Hello there. Is it ok? Yes!", 3),
        ("Dr. Smith paid 3.50 to example.com, e.g. by card.", 1),
        ("Nach Art. 15 DSGVO, z.B. per Post. Danke.", 2),
        ("I said no. Please stop.", 2),
        ("Visitor: hi\nVisitor: delete it\nBot: thanks", 3),
        ("This line of a mail was wrapped by the program that\nsent it, as many do. Bye.", 2),
        ("削除してください。よろしく。", 2),
        ("Hola. ¿Dónde está? ¡Gracias!", 3),
        ('He said "it is gone." Then nothing.', 2),
        ("Hello.\n-----\nBye.", 2),
    ],
)
def test_sentences_are_counted_as_people_do(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@pytest.mark.parametrize(
    "change",
    [
        {"characters": 0},
        {"whole": 10},
        {"most": 1},
        {"most": 10_000},
        {"discount": -1},
        {"discount": float("nan")},
        {"version": 2},
    ],
)
def test_limits_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="windows"):
        WindowLimits.from_json({**LIMITS.to_json(), **change})


def test_limits_survive_json() -> None:
    limits = WindowLimits(100, 300, 8, 0.35)
    assert WindowLimits.from_json(json.loads(json.dumps(limits.to_json()))) == limits


def test_messages_with_sentences_left_out_are_counted() -> None:
    long = split("Where is my parcel? " * 1_800, LIMITS)
    short = split("Where is my parcel? " * 20, LIMITS)
    scores = Scores(np.array([[0.9, 0.1]] * 3), places=(place(long[0]), place(short[0]), None))
    step = transforms._Label(("NOT_PC", "PC"), threshold=0.5, review_band=0.1)
    step.setup()
    step.start_bundle()
    with counts.following():
        list(step.process(PredictionResult(cases(3), scores)))
        list(step.finish_bundle())
        assert counts.now()["partly_scored"] == 1
