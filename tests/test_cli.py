"""What the command line promises before any work starts."""

import subprocess
import sys

import pytest

from beam_pcc import __version__
from beam_pcc.cli import main as cli
from tests.inputs import loaded_by_help


def test_help_imports_nothing_heavy() -> None:
    said, loaded = loaded_by_help(
        "run", "apache_beam", "sklearn", "scipy", "duckdb", "skops", "jinja2", "prometheus_client"
    )

    assert "--partition" in said
    assert loaded == []


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])

    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"beam-pcc {__version__}\n"


def test_no_command_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([])

    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("beam-pcc: ")
    assert "COMMAND" in line


@pytest.mark.parametrize(("flags", "traces"), [([], 0), (["--debug"], 1)], ids=["plain", "debug"])
def test_exception_in_a_beam_thread_is_shown_with_debug(flags: list[str], traces: int) -> None:
    code = (
        "import sys, threading\nfrom beam_pcc.cli import main as cli\n"
        "def main():\n"
        "    cli._log_to_stderr(cli.take(sys.argv)[0])\n"
        "    thread = threading.Thread(target=lambda: 1 / 0)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return 0\n"
        "cli.main = main\n"
        "cli.entry()"
    )
    ended = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, check=True)

    assert ended.stderr.count("Traceback") == traces
    assert bool(ended.stderr) == bool(traces)
