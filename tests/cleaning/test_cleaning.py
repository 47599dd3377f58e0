"""The cleaning of any text: never blank, of a known version, in linear time."""

import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError
from beam_pcc.features import cleaning
from tests.messages import HOSTILE, any_text

PIECES = [
    ">", "> ", "<", "<p>", "<div>", "</div>", "<!--", "-->", "<style>", "</style>", "<b", "&lt;", "&#", "&amp;", " ", "\n", "\n\n", "\t", "-", "--\n",
    "_", "#", "*", "X", "X-", "[", "]", "[[", "{{", "}}", "{", '{"a":', "(", "=", "=\n", "=E2", "=3D", "\\n", "%", "a", "Aa", "1", "1:", "10:02 ",
    "On ", "On Fri, 20 Nov 2026 at 10:02 ", "wrote:\n", "From: a\n", "From: a@b.c\nSent: 1\nTo: b\nSubject: c\n", "-----Original Message-----\n",
    "---------- Forwarded message ---------\n", "##- above this line -##\n", "this message ", "if you are not ", "privacy ", "confidential ", "unsubscribe | ", "Re: ",
    "[Ticket#1] ", "Name: a\n", "http://", "www.", "data:a/b;", "data:", "@", ".", ". ", "?", ":", ": ", "|", " | ", "é", "Ã", "â€™", "\u200b", "\u00a0", "а", "aа", "漢", "🎉",
    "Sent from my ", "sent from iphone ", "please delete ", "delete the copies of the ", "i agree ", "the e-mail ", "Diese Nachricht ", "> On a wrote:\n", "(", "<PERSON>", "\ue0f0",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_cleaned(text: str) -> None:
    assert cleaning.clean([text])[0].strip()


@settings(deadline=None)
@given(st.one_of(any_text, st.lists(st.sampled_from(PIECES), max_size=60).map("".join)))
@example("<style>only</style>")
@example("<!-- only")
@example("--\n--")
@example("Sent from my iPhone")
@example("Unsubscribe")
@example(":\r")
def test_a_text_never_becomes_blank(text: str) -> None:
    [cleaned] = cleaning.clean([text])
    assert bool(cleaned.strip()) == bool(text.strip())


@pytest.mark.parametrize("text", ["", " \n", "<p>\n\n  Hello  &amp; bye"])
def test_version_0_changes_nothing(text: str) -> None:
    assert cleaning.clean([text], version=0) == [text]


@pytest.mark.parametrize("version", [-1, cleaning.VERSION + 1, True, "1", None])
def test_unknown_version_is_an_error(version: object) -> None:
    with pytest.raises(ValueError, match="is not known to this release"):
        cleaning.clean([], version)  # type: ignore[arg-type]


def test_missing_library_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)

    with pytest.raises(ConfigurationError, match="needs the extra text"):
        cleaning.clean([])


@pytest.mark.parametrize("step", ["encodings.decode", "furniture.without_furniture", "threads.without_history"])
def test_step_that_raises_costs_its_message_only(
    step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module, name = step.split(".")
    real = getattr(getattr(cleaning, module), name)

    def broken(what: object, *more: object) -> object:
        if "secret" in str(what):
            raise RuntimeError("secret")
        return real(what, *more)

    monkeypatch.setattr(getattr(cleaning, module), name, broken)
    text = "secret:  thing &amp; more\n> a\n-- \nb"

    assert cleaning.clean([text, "Hello,  there", text]) == [text, "Hello, there", text]
    assert "could not be cleaned (RuntimeError)" in caplog.text
    assert "secret" not in caplog.text


def test_fault_of_the_machine_is_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str) -> str:
        raise MemoryError

    monkeypatch.setattr(cleaning.encodings, "decode", full)
    with pytest.raises(MemoryError):
        cleaning.clean(["Hello"])


def seconds(text: str) -> float:
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        cleaning.clean([text])
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_time_is_linear(piece: str) -> None:
    """Four times the text takes about four times the time: sixteen would be quadratic."""
    short, long = (
        seconds("Hello. " + piece * (characters // len(piece)) + " end.") for characters in (25_000, 100_000)
    )
    assert long < 8 * short + 0.05
