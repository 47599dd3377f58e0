"""Progress before a real terminal, and in a pipe."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.progress.terminals import ESCAPE, at_a_terminal

pytestmark = pytest.mark.end_to_end
# The action of `beam-pcc report`, which here counts to 50 in 0.5 s.
COUNTING = """
from beam_pcc import progress
from beam_pcc.cli import report
from beam_pcc.errors import RunError
from beam_pcc.terminal import logger, say
import time
def act(flags):
    log = logger("beam_pcc.cli.report")
    with progress.task("counting", total=50, unit="sheep") as step:
        for sheep in range(50):
            time.sleep(0.01)
            step.advance()
            if sheep == 25:
                {halfway}
    {after}
    return 0
report._report = act
"""
REPORT = ["report", "--warehouse", "w.duckdb"]


def counting(halfway: str = "pass", after: str = "say('counted')") -> str:
    return COUNTING.format(halfway=halfway, after=after)


def test_bar_grows_to_100_percent_and_goes(tmp_path: Path) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting())

    shares = [int(share) for share in re.findall(r"counting: +(\d+)%", "\n".join(ended.bars))]
    assert ended.code == 0
    assert len(set(shares)) > 10
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert "50/50 sheep" in ended.bars[-1]
    assert ended.screen == ["counted", ""]


@pytest.mark.parametrize("columns", [20, 60, 100])
def test_bar_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(), columns=columns)

    assert max(map(len, ended.bars)) < columns


def test_log_line_above_the_bar_is_whole(tmp_path: Path) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway="log.warning('half of them')"))

    assert len(ended.screen) == 3
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING half of them", ended.screen[0])
    assert ended.screen[1:] == ["counted", ""]
    assert "50/50 sheep" in ended.bars[-1]  # it goes on below


def test_bar_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    """A print of two parts, between which the bar would be drawn."""
    unfinished = "import sys; sys.stdout.write('one '); sys.stdout.flush(); time.sleep(0.1); print('line')"
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway=unfinished))

    assert ended.screen == ["one line", "counted", ""]


def test_ctrl_c_leaves_a_clean_line(tmp_path: Path) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway="time.sleep(60)"), press_ctrl_c_after="10/50")

    assert ended.code == 1
    assert ended.screen == ["beam-pcc: stopped", ""]


def test_error_leaves_a_clean_line(tmp_path: Path) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway="raise RunError('a wolf came')"))

    assert ended.code == 1
    assert ended.bars
    assert ended.screen == ["beam-pcc: a wolf came", ""]


def test_sigterm_leaves_a_clean_line(tmp_path: Path) -> None:
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway=stop))

    assert ended.code == 1
    assert ended.bars
    assert ended.screen == ["beam-pcc: stopped by SIGTERM", ""]


def test_task_of_a_thread_left_behind_is_shown_no_more(tmp_path: Path) -> None:
    """As of a run that is stopped while one of Beam's threads publishes."""
    thread = (
        "import threading\n"
        "    def publish():\n"
        "        with progress.task('left behind'):\n"
        "            time.sleep(60)\n"
        "    threading.Thread(target=publish, daemon=True).start()\n"
        "    time.sleep(0.2)\n"
        "    raise RunError('it failed')"
    )
    slow_end = "import logging; shutdown = logging.shutdown\nlogging.shutdown = lambda: (time.sleep(0.3), shutdown())"
    ended = at_a_terminal(REPORT, tmp_path, setup=f"{counting(after=thread)}\n{slow_end}")

    assert any("left behind" in bar for bar in ended.bars)
    assert ended.screen == ["beam-pcc: it failed", ""]


@pytest.mark.parametrize(
    ("words", "environment"),
    [(["-q"], {}), ([], {"TERM": "dumb"}), ([], {"CI": "true"}), (["--log_format", "json"], {})],
    ids=["quiet", "dumb", "ci", "json"],
)
def test_no_bar_where_none_is_wanted(tmp_path: Path, words: list[str], environment: dict[str, str]) -> None:
    ended = at_a_terminal([*REPORT, *words], tmp_path, setup=counting(), environment=environment)

    assert (ended.code, ended.output) == (0, "counted\r\n")


def test_bar_has_no_colour(tmp_path: Path) -> None:
    ended = at_a_terminal(REPORT, tmp_path, setup=counting())

    assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", ended.output)) == {"\x1b[K"}


def test_bar_in_ascii_where_the_terminal_has_no_more(tmp_path: Path) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(), environment=environment)

    assert ended.output.isascii()
    assert "#" in ended.bars[-1]
    assert "\\" not in ended.bars[-1]


def test_hostile_title_cannot_move_the_cursor(tmp_path: Path) -> None:
    hostile = "step.name = 'two\\nlines\\r\\x1b[2K\\x1b[1A\\x9b31m'; time.sleep(0.1)"
    ended = at_a_terminal(REPORT, tmp_path, setup=counting(halfway=hostile))

    assert any(bar.startswith("two lines  [2K [1A 31m: ") for bar in ended.bars)
    assert ended.screen == ["counted", ""]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for words in (
        ["sample", "--rows", "1000", "--labelled", "--output", "labelled.parquet"],
        ["train", "--data", "labelled.parquet", "--models", "models"],
    ):
        subprocess.run([sys.executable, "-m", "beam_pcc", *words], cwd=folder, check=True, capture_output=True)
    return folder / "models"


def run_words(models: Path, command: str = "run") -> list[str]:
    day = ["--partition", "20261120"] if command == "run" else ["--from", "20261120", "--to", "20261121"]
    places = ["--source", "sample://30000", "--models", str(models), "--warehouse", "w.duckdb"]
    return [command, *day, *places]


def test_run_shows_rows_of_those_counted_at_launch(tmp_path: Path, models: Path) -> None:
    result = tmp_path / "result.json"
    ended = at_a_terminal([*run_words(models), "--output", "json"], tmp_path, stdout=result)

    done = [int(rows.replace(",", "")) for rows in re.findall(r" ([\d,]+)/30,000 rows", "\n".join(ended.bars))]
    assert ended.code == 0
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert done[-1] == 30_000
    assert any("publishing" in bar for bar in ended.bars)
    assert ended.screen == [""]
    assert json.loads(result.read_text())["monitoring"]["source_rows"] == 30_000


def test_ctrl_c_in_a_run_leaves_one_line(tmp_path: Path, models: Path) -> None:
    ended = at_a_terminal(run_words(models), tmp_path, press_ctrl_c_after="/30,000 rows")

    assert ended.code == 1
    assert ended.screen == ["beam-pcc: stopped by SIGINT", ""]


def test_backfill_shows_which_day_of_how_many(tmp_path: Path, models: Path) -> None:
    ended = at_a_terminal(run_words(models, "backfill"), tmp_path)

    shown = "\n".join(ended.bars)
    assert "20261120 (1 of 2): scoring" in shown
    assert "20261121 (2 of 2): scoring" in shown
    assert [line[:19] for line in ended.screen] == ["20261120  published", "20261121  published", ""]


PIPED = """
from beam_pcc.progress import views
views._LINES_EVERY, views.LinesView.interval = 0.1, 0.02
"""


def piped(words: list[str], folder: Path, setup: str) -> subprocess.CompletedProcess[str]:
    program = f"{PIPED}\n{setup}\nfrom beam_pcc.cli import main\nmain.entry()"
    environment = {**os.environ, "TERM": "xterm"}
    return subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )


def test_lines_in_a_pipe_have_no_escape_codes(tmp_path: Path) -> None:
    ended = piped(REPORT, tmp_path, counting())

    lines = ended.stderr.splitlines()
    assert ended.stdout == "counted\n"
    assert 3 <= len(lines) <= 6
    assert not {ESCAPE, "\r"} & set(ended.stderr)
    assert all(re.match(r"\d\d:\d\d:\d\d INFO counting: \d+ of 50 sheep \(\d+ %\), ", line) for line in lines)
    assert "50 of 50 sheep (100 %), done in 0:0" in lines[-1]


def test_quiet_is_silent_in_a_pipe(tmp_path: Path) -> None:
    assert piped([*REPORT, "-q"], tmp_path, counting()).stderr == ""


def test_structured_lines_have_the_figures(tmp_path: Path) -> None:
    ended = piped([*REPORT, "--log_format", "json"], tmp_path, counting())

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    figures = [line["progress"] for line in lines]
    assert {line["logger"] for line in lines} == {"beam_pcc.progress"}
    assert {(one["task"], one["total"], one["unit"]) for one in figures} == {("counting", 50, "sheep")}
    assert [one["done"] for one in figures] == sorted(one["done"] for one in figures)
    assert [one["ended"] for one in figures] == [False] * (len(figures) - 1) + [True]
    assert figures[-1]["done"] == 50


def test_run_in_a_pipe_logs_how_far_it_is(tmp_path: Path, models: Path) -> None:
    ended = piped([*run_words(models), "--output", "json"], tmp_path, "")

    assert re.search(r"INFO scoring: [\d,]+ of 30,000 rows \(\d+ %\)", ended.stderr)
    assert "scoring: 30,000 of 30,000 rows (100 %), " in ended.stderr
    assert json.loads(ended.stdout)["status"] == "success"
