"""What is logged on stderr, and how, by the flags that every command takes."""

import json
import logging
import subprocess
import sys

import pytest

from beam_pcc.cli.logging_flags import Logging, take
from beam_pcc.errors import ConfigurationError


@pytest.mark.parametrize(
    ("words", "log"),
    [
        ([], Logging()),
        (["-q"], Logging(logging.WARNING)),
        (["--quiet"], Logging(logging.WARNING)),
        (["-v"], Logging(logging.DEBUG)),
        (["--debug"], Logging(logging.DEBUG, debug=True)),
        (["--log_format", "json"], Logging(json=True)),
        (["--log-format=json"], Logging(json=True)),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_flags_are_taken_wherever_they_stand(words: list[str], log: Logging, place: int) -> None:
    command = ["models", "list"]

    assert take([*command[:place], *words, *command[place:]]) == (log, command)


def test_words_after_two_dashes_are_left() -> None:
    words = ["tables", "query", "--", "-q"]

    assert take(words) == (Logging(), words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-q", "-v"], "exclude each other"),
        (["-q", "--debug"], "exclude each other"),
        (["--log_format", "xml"], "--log_format xml is none of text, json"),
        (["--log_format"], "is none of text, json"),
    ],
)
def test_contradictory_flags_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        take(words)


def printed(flags: list[str]) -> list[str]:
    """The lines on stderr of a command that logs at each level and fails."""
    code = (
        "import sys\nfrom beam_pcc.cli import main as cli\nfrom beam_pcc.cli import report\n"
        "from beam_pcc.errors import RunError\nfrom beam_pcc.terminal import logger\n"
        "def act(flags):\n"
        "    log = logger('beam_pcc.cli.report')\n"
        "    log.debug('details'); log.info('progress'); log.warning('two\\nlines')\n"
        "    raise RunError('it failed')\n"
        "report._report = act\n"
        "sys.exit(cli.main(['report', '--warehouse', 'w.duckdb', *sys.argv[1:]]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr.splitlines()


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        ([], ["progress", "two lines", "it failed"]),
        (["-q"], ["two lines", "it failed"]),
        (["-v"], ["details", "progress", "two lines", "it failed"]),
    ],
    ids=["default", "quiet", "verbose"],
)
def test_level_decides_which_messages_are_logged(flags: list[str], messages: list[str]) -> None:
    assert [message in line for message, line in zip(messages, printed(flags), strict=True)] == [True] * len(messages)


def test_json_log_is_an_object_for_each_line() -> None:
    lines = [json.loads(line) for line in printed(["--log_format", "json"])]

    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "progress"),
        ("WARNING", "two lines"),
        ("ERROR", "it failed"),
    ]
    assert all(set(line) == {"time", "level", "logger", "message"} for line in lines)


def test_json_log_with_debug_has_the_traceback() -> None:
    lines = [json.loads(line) for line in printed(["--log_format", "json", "--debug"])]

    assert any("Traceback" in line.get("traceback", "") for line in lines)
