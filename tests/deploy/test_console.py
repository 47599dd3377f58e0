"""Commands of other programs: how they are printed, and how their output is handled."""

import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.deploy.console import Console, command_line
from beam_pcc.errors import ConfigurationError, RunError

CONSOLE = Console(lambda line: None, lambda line: None)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_printed_command_is_the_command(words: list[str]) -> None:
    assert shlex.split(command_line(words, powershell=False)) == words


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--overlay=dev", "--overlay=dev"),
        ("a b", "'a b'"),
        ("it's", "'it''s'"),
        ("$(id)", "'$(id)'"),
        ("a;b", "'a;b'"),
        ("@args", "'@args'"),
        ("x@sha256:0", "x@sha256:0"),
        ("a,b", "'a,b'"),
        ("", "''"),
    ],
)
def test_command_is_quoted_for_powershell(word: str, shown: str) -> None:
    assert command_line(["kubectl", word], powershell=True) == f"kubectl {shown}"


def test_long_error_keeps_its_end() -> None:
    code = "import sys; sys.exit('begin ' + 'x' * 5000 + '\\x1b[31m the cause')"
    result = CONSOLE.ask(sys.executable, "-c", code)

    assert not result.succeeded
    assert result.error.isprintable()
    assert result.error.endswith("[31m the cause")
    assert len(result.error) < 500


def test_binary_output_is_no_error() -> None:
    result = CONSOLE.ask(sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes([255, 65]))")

    assert result.output == "\ufffdA"


def test_pipe_fails_if_first_program_fails() -> None:
    with pytest.raises(RunError, match="ended with exit code 3"):
        CONSOLE.pipe([sys.executable, "-c", "raise SystemExit(3)"], [sys.executable, "-c", "input"])


def test_missing_program_is_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no-such-program is not found; install it"):
        CONSOLE.ask("no-such-program")
