"""Whatever is in a value, what a person reads of it is one printable line: on the terminal, in a log, in an error."""

import io
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pcc import terminal
from beam_pcc.cli import main as cli
from beam_pcc.errors import SourceError

ROOT = Path(__file__).parent.parent
CONTROLS = [
    "two\nlines",
    "\r\x1b[2K\x1b[1A beam-pcc: published",
    "\x1b]0;title\x07\x1b[31mred",
    "\x9b31m\x85next",
    "\u202egnp.exe\u2066x\u2069\u200b",
    "\u2028line\u2029paragraph",
]
# Each on its own: invalid text, a NUL, a very long line, formats.
OTHERS = [
    "\ud800\udfff",
    "\x00\x08\x7f",
    "x" * 50_000,
    "%s %d %(message)s {0} {x}",
]
HOSTILE = [*CONTROLS, *OTHERS]
hostile = st.text(max_size=50) | st.sampled_from(HOSTILE)


def safe(text: str, lines: int) -> None:
    assert len(text.splitlines()) == lines, text
    assert text.replace("\n", "").isprintable()
    assert max(map(len, text.splitlines()), default=0) < 5_000


@pytest.fixture
def logged() -> tuple[Callable[..., None], io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(terminal.LineFormatter("%(levelname)s %(message)s", traces=False))

    def log(message: str, *arguments: object, **more: object) -> None:
        record = logging.LogRecord("x", logging.WARNING, "f", 1, message, arguments, None)
        if more:
            record.exc_info = sys.exc_info()
        stream.seek(0)
        stream.truncate()
        handler.handle(record)

    return log, stream


@given(value=hostile)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_log_line_is_one_line(logged: tuple[Callable[..., None], io.StringIO], value: str) -> None:
    log, stream = logged
    log("staged files of %s stay behind: %s", value, value)
    safe(stream.getvalue(), 1)


def test_a_traceback_is_logged_with_debug_only(logged: tuple[Callable[..., None], io.StringIO]) -> None:
    log, stream = logged
    try:
        raise ValueError("a\nb")
    except ValueError:
        log("it failed", exc_info=True)
    safe(stream.getvalue(), 1)

    formatter = terminal.LineFormatter("%(message)s", traces=True)
    try:
        raise ValueError("a\n\x1b[31mb")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", (), sys.exc_info())
    text = formatter.format(record)
    assert "Traceback" in text
    assert text.replace("\n", "").isprintable()


@given(value=hostile)
def test_log_record_of_a_worker_is_one_line(value: str) -> None:
    """Beam's own handlers, in processes that we do not start."""
    records: list[logging.LogRecord] = []
    log = terminal.logger("beam_pcc.test")
    log.propagate = False
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log.handlers = [handler]
    log.warning("staged files of %s stay behind", value)
    safe(records[0].getMessage(), 1)


@given(value=hostile)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_say_prints_a_line_for_each_argument(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with terminal.guarded():
        terminal.say(value, value)
        terminal.complain(value)
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert err.count("\n") == 1
    assert (out + err).replace("\n", "").isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_can_show_it(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    with terminal.guarded():
        print("é … \ud800 \u202e 人")  # noqa: T201
    assert raw.getvalue().decode(encoding).isprintable() or b"\n" in raw.getvalue()


@given(value=hostile)
def test_an_error_is_one_line(value: str) -> None:
    safe(str(SourceError(f"{value} cannot be read: {value}")), 1)


RUN = ["run", "--partition", "20261120", "--source", "sample://5", "--warehouse", "w.duckdb", "--models", "m"]
COMMANDS: list[list[str]] = [
    ["run", "--partition", "20261120", "--source", "{}", "--warehouse", "w.duckdb", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "{}.parquet", "--warehouse", "w.duckdb", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "sample://{}", "--warehouse", "w.duckdb", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "bq://{}", "--warehouse", "w.duckdb", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "sample://5", "--warehouse", "{}", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "sample://5", "--warehouse", "bq://{}", "--models", "m"],
    ["run", "--partition", "20261120", "--source", "sample://5", "--warehouse", "w.duckdb", "--models", "{}"],
    [*RUN, "--model_version", "{}"],
    [*RUN, "--text_column", "{}"],
    [*RUN, "--run_id", "{}"],
    [*RUN, "--model_public_key", "{}"],
    ["run", "--partition", "{}", "--source", "sample://5", "--warehouse", "w.duckdb", "--models", "m"],
    ["run", "--{}", "x"],
    ["run", "--batch_rows", "{}"],
    ["backfill", "--from", "{}", "--to", "{}"],
    ["tables", "query", "--warehouse", "{}", "SELECT 1"],
    ["tables", "query", "--warehouse", "{}.duckdb", "SELECT 1"],
    ["report", "--warehouse", "{}.duckdb"],
    ["report", "--warehouse", "{}"],
    ["train", "--data", "{}.jsonl", "--models", "m"],
    ["train", "--data", "{}.parquet", "--models", "m", "--text_column", "t"],
    ["train", "--data", "x", "--models", "m", "--text_column", "{}"],
    ["sample", "--output", "x", "--messages", "{}"],
    ["models", "list", "--models", "{}"],
    ["models", "verify", "--models", "m", "{}"],
    ["{}"],
]


@pytest.mark.parametrize(
    "value", ["".join(CONTROLS), *OTHERS], ids=["controls", "surrogates", "nul", "long", "formats"]
)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_is_wrong_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    value: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    try:
        code = cli.main([word.replace("{}", value) for word in command])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    assert code in (1, 2)
    assert "unexpected" not in err
    assert out == ""
    lines = err.splitlines()
    assert lines[-1].startswith("beam-pcc: ")
    assert sum(line.startswith("beam-pcc: ") for line in lines) == 1
    safe(err, 1)


def test_a_hostile_file_name_in_an_ascii_terminal(tmp_path: Path) -> None:
    """In a process of its own, as the environment decides the encoding."""
    name = b"caf\xe9 \xff \xe2\x80\xae\n.duckdb"
    ended = subprocess.run(
        [sys.executable, "-m", "beam_pcc", "tables", "query", "--warehouse", name, "SELECT 1"],
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert ended.stdout == b""
    assert ended.stderr.startswith(b"beam-pcc: --warehouse ")
    assert ended.stderr.count(b"\n") == 1
    assert ended.stderr.decode("ascii").strip().isprintable()


def test_a_document_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(f"key: {'x' * 10_000}\nother: \x1b[2K1\n")
    assert capsys.readouterr().out == f"key: {'x' * 10_000}\nother:  [2K1\n"


def test_only_a_newline_ends_a_line_of_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show("a\u2028b\x0bc\nd")
    assert capsys.readouterr().out == "a b c\nd\n"


def test_nothing_but_the_terminal_prints() -> None:
    printing = {
        path.relative_to(ROOT / "beam_pcc").as_posix()
        for path in (ROOT / "beam_pcc").rglob("*.py")
        if re.search(r"(?<![\w.])print\(|logging\.getLogger\(__name__\)", path.read_text())
    }
    # The pool of workers is a program of its own, that prints its own words only.
    assert printing == {"terminal.py", "flink/worker_pool.py"}
