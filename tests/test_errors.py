"""What a person reads of a failure: one line, with the words of whoever knew, and the right exit code."""

import pickle
import re
from typing import NoReturn

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc import errors
from beam_pcc.errors import ConfigurationError, ModelError, PccError, RunError, SourceError, WarehouseError, one_line
from beam_pcc.errors.messages import from_runner, safe_description
from beam_pcc.pipeline.options import beam_options

MODES = {
    "threads": ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    "one thread": ["--direct_num_workers=1"],
}


def failure_of_a_run(error: Exception, mode: list[str]) -> PccError:
    """What is made of `error` when a step of a real run raises it."""

    def fail(_: int) -> NoReturn:
        raise error

    pipeline = beam.Pipeline(options=beam_options(mode))
    _ = pipeline | beam.Create([1]) | "Step" >> beam.Map(fail)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - a runner raises what it likes
        pipeline.run().wait_until_finish()
    return from_runner(raised.value)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize("kind", [SourceError, WarehouseError, ModelError])
def test_own_error_of_a_run_keeps_class_and_message(kind: type[PccError], mode: list[str]) -> None:
    found = failure_of_a_run(kind("a.parquet: what [is] wrong; do this"), mode)

    assert type(found) is kind
    assert str(found) == "a.parquet: what [is] wrong; do this"


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_foreign_error_of_a_run_is_one_line_with_its_type(mode: list[str]) -> None:
    found = failure_of_a_run(ZeroDivisionError("a secret\nof a row"), mode)

    assert type(found) is RunError
    assert str(found).startswith("the run stopped: ")
    assert "ZeroDivisionError" in str(found)
    assert "secret" not in str(found)
    assert "\n" not in str(found)
    assert "while running" not in str(found)
    assert str(found).endswith("; see the whole trace with --debug")


TRACE = """Error from worker:
Traceback (most recent call last):
  File "steps.py", line 1, in process
ValueError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "files.py", line 2, in _read
beam_pcc.errors.SourceError: day.parquet cannot be read [while running 'Read/ReadRows']
"""


def test_own_error_is_extracted_from_a_traceback() -> None:
    found = from_runner(RuntimeError(TRACE))

    assert type(found) is SourceError
    assert str(found) == "day.parquet cannot be read"


def test_of_several_errors_of_ours_the_last_one_counts() -> None:
    later = TRACE + "\nbeam_pcc.errors.WarehouseError: the disk is full\n"
    assert str(from_runner(RuntimeError(later))) == "the disk is full"
    assert type(from_runner(RuntimeError(later))) is WarehouseError


def test_own_error_of_an_unknown_class_is_a_run_error() -> None:
    found = from_runner(RuntimeError("beam_pcc.errors.LaterError: something new"))

    assert type(found) is RunError
    assert "something new" in str(found)


def test_traceback_without_own_error_gives_the_last_error() -> None:
    text = (
        "java.lang.RuntimeError: outer\n  at X\nValueError: first\n  at Y\nduckdb.IOException: the disk is full\n  at Z"
    )
    assert str(from_runner(RuntimeError(text))).startswith("the run stopped: duckdb.IOException: the disk is full; see")


def test_error_without_traceback_is_named_by_type() -> None:
    assert str(from_runner(OSError("no space"))).startswith("the run stopped: OSError: no space; see")


@given(st.text())
def test_any_runner_error_is_one_short_line(text: str) -> None:
    found = from_runner(RuntimeError(text))

    assert type(found) is RunError
    assert str(found).isprintable()
    assert len(str(found)) < 400


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)

    assert len(line) <= limit
    assert line.isprintable()
    assert line == line.strip()


def test_one_line_keeps_what_fits_and_marks_what_is_cut() -> None:
    assert one_line("as it is") == "as it is"
    assert one_line("two\nlines\tand \x1b[31mcolour\x00") == "two lines and [31mcolour"
    assert one_line("0123456789", 5) == "0123…"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ConfigurationError, 2), (ModelError, 2), (RunError, 1), (SourceError, 1), (WarehouseError, 1), (PccError, 1)],
)
def test_each_error_knows_its_exit_code(kind: type[PccError], code: int) -> None:
    assert kind("x").exit_code == code


def test_the_exit_codes_differ() -> None:
    codes = {errors.EXIT_PUBLISHED, errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_REFUSED}
    assert codes == {0, 1, 2, 3}


def test_error_from_a_worker_keeps_its_message() -> None:
    sent = pickle.loads(pickle.dumps(SourceError("day.parquet is gone")))

    assert type(sent) is SourceError
    assert str(sent) == "day.parquet is gone"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), "OSError: No space left on device"),
        (PermissionError(13, "Permission denied"), "PermissionError: Permission denied"),
        (MemoryError("of 8 GiB"), "MemoryError: of 8 GiB"),
        (ValueError("could not convert 'a secret'"), "ValueError"),
        (KeyError("a secret"), "KeyError"),
        (UnicodeDecodeError("utf-8", b"a secret", 0, 1, "bad"), "UnicodeDecodeError"),
    ],
)
def test_foreign_message_is_shown_if_it_quotes_no_row(error: Exception, words: str) -> None:
    assert safe_description(error) == words


def test_foreign_error_names_the_place_in_our_code() -> None:
    with pytest.raises(TypeError) as raised:
        errors.one_line(None, "x")  # type: ignore[arg-type]
    assert re.fullmatch(r"TypeError in errors/__init__\.py line \d+", safe_description(raised.value))


@given(st.text(), st.text())
def test_error_message_is_one_printable_line(start: str, end: str) -> None:
    said = str(RunError(f"{start}{end}"))
    assert said.isprintable()
    assert str(RunError(said)) == said


@given(st.characters(categories=["L"]), st.integers(2_000, 100_000))
def test_a_long_value_is_cut_and_the_advice_stays(letter: str, length: int) -> None:
    said = str(RunError(f"--source {letter * length} is not there; check the path"))
    assert len(said) < 700
    assert said.startswith("--source ")
    assert said.endswith("; check the path")
