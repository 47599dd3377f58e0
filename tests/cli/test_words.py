"""An unknown command or flag is the first error, and the message names what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cli import main as cli
from beam_pcc.cli.words import checked
from beam_pcc.errors import ConfigurationError
from tests.cli.commands import COMMANDS, LEAVES


def fails(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of a command line that is wrong."""
    assert cli.main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("beam-pcc: ")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run --partiton 20261120", "unknown argument --partiton: did you mean --partition?"),
        ("run --partiton=20261120", "unknown argument --partiton: did you mean --partition?"),
        ("run --part 20261120", "unknown argument --part: did you mean --partition?"),
        ("run --drect_num_workers 2", "unknown argument --drect_num_workers: did you mean --direct_num_workers?"),
        ("submit --max_pis 1", "unknown argument --max_pis: did you mean --max_psi?"),
        ("tables query --warehous w", "unknown argument --warehous: did you mean --warehouse?"),
        ("models list --colour", "unknown argument --colour: see beam-pcc models list --help"),
        ("run -x", "unknown argument -x: see beam-pcc run --help"),
    ],
)
def test_unknown_flag_is_reported_before_missing_ones(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(command, capsys) == message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run --keep 3", "beam-pcc run has no such flag; beam-pcc backfill, beam-pcc submit have"),
        ("report --private_key k", "beam-pcc report has no such flag; beam-pcc models sign has"),
        ("--private_key k models sign", "it is a flag of beam-pcc models sign; write it after the command"),
        ("models --private_key k sign", "it is a flag of beam-pcc models sign; write it after the command"),
    ],
)
def test_flag_of_another_command_names_that_command(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(command, capsys).partition(": ")[2] == message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("modles list", "unknown command modles: did you mean beam-pcc models?"),
        ("models lst --models m", "unknown command lst: did you mean beam-pcc models list?"),
        ("promote v20261120_020000", "unknown command promote: did you mean beam-pcc models promote?"),
        ("back --from 20261101", "unknown command back: did you mean beam-pcc backfill?"),
        ("xyzzy", "unknown command xyzzy: see beam-pcc --help"),
        ("tables xyzzy", "unknown command xyzzy: see beam-pcc tables --help"),
    ],
)
def test_unknown_command_names_the_nearest(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(command, capsys) == message


def test_error_shows_no_value_of_an_unknown_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert "secret" not in fails("run --tokn=secret", capsys)


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        (["run", "--dry-run"], ["run", "--dry_run"]),
        (["run", "--batch-rows=5"], ["run", "--batch_rows=5"]),
        (["run", "--direct-num-workers", "2"], ["run", "--direct_num_workers", "2"]),
        (["submit", "--model-version", "v"], ["submit", "--model_version", "v"]),
        (["backfill", "--on_kubernetes"], ["backfill", "--on-kubernetes"]),
    ],
)
def test_dashes_and_underscores_are_the_same_in_a_flag(words: list[str], spelled: list[str]) -> None:
    assert checked(cli._parser(), words) == spelled


@pytest.mark.parametrize(
    "words",
    [
        ["tables", "query", "--warehouse", "w.duckdb", "--", "--comment"],
        ["tables", "query", "--warehouse", "w.duckdb", "-- a comment\nSELECT 1"],
        ["tables", "query", "--warehouse", "w.duckdb", "--comment\nSELECT 1"],
        ["train", "--seed", "-1"],
        ["run", "--source=a b"],
        ["run", "--what", "--help"],
    ],
)
def test_what_is_no_flag_is_left_alone(words: list[str]) -> None:
    assert checked(cli._parser(), words) == words


@given(st.sampled_from(sorted(LEAVES)), st.text(st.characters(codec="ascii"), max_size=12))
def test_any_word_is_kept_or_refused_in_one_line(command: tuple[str, ...], word: str) -> None:
    words = [*command, word]
    message = ""
    try:
        kept = checked(cli._parser(), words)
    except ConfigurationError as error:
        message, kept = str(error), words

    assert len(kept) == len(words)
    assert not message or message.startswith("unknown argument -")


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_declared_flag_is_known(words: tuple[str, ...]) -> None:
    flags = [
        flag for action in COMMANDS[words]._actions for flag in action.option_strings if flag not in ("-h", "--help")
    ]

    assert checked(cli._parser(), [*words, *flags]) == [*words, *flags]
