"""How progress looks, and when it is shown."""

import io
import json
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from beam_pcc import terminal
from beam_pcc.progress import views
from beam_pcc.progress.views import BarView, LinesView, Mode, Snapshot, bar, chosen_mode, clock, line


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environment", "redraws"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True),  # the bar has no colour
        (True, {"TERM": "xterm", "CI": "false"}, True),
        (True, {"TERM": "xterm", "CI": "true"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_line_is_redrawn_at_a_terminal_of_a_person(
    is_terminal: bool, environment: dict[str, str], redraws: bool
) -> None:
    assert terminal.can_redraw(Stream(is_terminal=is_terminal), environment) is redraws


@pytest.mark.parametrize(
    ("quiet", "json_lines", "can_redraw", "mode"),
    [
        (False, False, True, Mode.BAR),
        (False, False, False, Mode.LINES),
        (False, True, True, Mode.LINES),
        (True, False, True, Mode.NONE),
        (True, True, False, Mode.NONE),
    ],
)
def test_mode_follows_from_flags_and_terminal(quiet: bool, json_lines: bool, can_redraw: bool, mode: Mode) -> None:
    assert chosen_mode(quiet=quiet, json_lines=json_lines, can_redraw=can_redraw) is mode


snapshots = st.builds(
    Snapshot,
    task=st.text(max_size=60),
    item=st.text(max_size=20),
    done=st.integers(0, 10**9),
    total=st.none() | st.integers(0, 10**9),
    unit=st.sampled_from(["", "rows", "bytes"]),
    seconds=st.floats(0, 10**6),
    rate=st.just(0.0) | st.floats(1e-3, 10**9),
    note=st.text(max_size=20),
    is_counted=st.booleans(),
).map(lambda one: one if one.total is None else one._replace(done=min(one.done, one.total)))


@given(snapshots, st.integers(1, 200), st.booleans())
def test_bar_is_one_printable_line_that_fits(snapshot: Snapshot, columns: int, plain: bool) -> None:
    text = bar(snapshot, columns, plain=plain)

    assert text.isprintable()
    assert disp_len(text) <= max(columns, 1)


@given(snapshots)
def test_line_is_one_printable_line(snapshot: Snapshot) -> None:
    assert terminal.printable(line(snapshot)).isprintable()


HALF = Snapshot("scoring", "", 100_000, 200_000, "rows", 20.0, 5_000.0, "12 rejected")


def test_bar_says_how_much_and_how_long() -> None:
    assert bar(HALF, 90).startswith("scoring:  50%|██")
    assert bar(HALF, 90).endswith("| 100,000/200,000 rows [0:20<0:20, 5,000/s, 12 rejected]")


@pytest.mark.parametrize(
    ("columns", "end"),
    [(90, "12 rejected]"), (70, "rows [0:20<0:20]"), (48, "| 100,000/200,000 rows"), (26, "|"), (18, "scoring:  50%")],
)
def test_narrow_bar_leaves_out_the_least(columns: int, end: str) -> None:
    assert bar(HALF, columns).endswith(end)


def test_bar_is_100_percent_only_at_the_end() -> None:
    assert " 99%|" in bar(HALF._replace(done=199_999), 90)
    assert "100%|" in bar(HALF._replace(done=200_000), 90)


@pytest.mark.parametrize(
    ("snapshot", "shown"),
    [
        (HALF._replace(total=None, note=""), "scoring: 100,000 rows [0:20, 5,000/s]"),
        (HALF._replace(is_counted=False, note=""), "scoring 200,000 rows [0:20]"),
        (Snapshot("checking the model", "", 0, None, "", 3.0), "checking the model [0:03]"),
        (Snapshot("downloading", "", 3 * 2**20, None, "bytes", 4.0, 2**20), "downloading: 3.0 MiB [0:04, 1.0 MiB/s]"),
        (Snapshot("exporting", "", 0, 0, "rows", 4.0), "exporting: 0 rows [0:04]"),
    ],
)
def test_task_without_a_total_has_no_bar(snapshot: Snapshot, shown: str) -> None:
    assert bar(snapshot, 90) == shown


@pytest.mark.parametrize(
    ("snapshot", "ended", "shown"),
    [
        (HALF, False, "scoring: 100,000 of 200,000 rows (50 %), 12 rejected, 5,000/s, after 0:20, 0:20 left"),
        (
            HALF._replace(item="20261120 (1 of 2)", note=""),
            False,
            "20261120 (1 of 2): scoring: 100,000 of 200,000 rows",
        ),
        (
            HALF._replace(done=200_000),
            True,
            "scoring: 200,000 of 200,000 rows (100 %), 12 rejected, 5,000/s, done in 0:20",
        ),
        (HALF._replace(is_counted=False, note=""), False, "scoring: 200,000 rows, after 0:20"),
        (
            Snapshot("fitting", "", 1, 5, "candidates", 90.0, 0.1),
            False,
            "fitting: 1 of 5 candidates (20 %), 10.0 s each, after 1:30, 0:40 left",
        ),
        (Snapshot("checking", "", 0, None, "", 61.0), False, "checking: after 1:01"),
    ],
)
def test_line_says_how_much_and_how_long(snapshot: Snapshot, ended: bool, shown: str) -> None:
    assert line(snapshot, ended=ended).startswith(shown)


@pytest.mark.parametrize(("seconds", "shown"), [(0.9, "0:00"), (61, "1:01"), (3_599, "59:59"), (90_061, "25:01:01")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    handler = Log()
    monkeypatch.setattr(views._log, "handlers", [handler])
    monkeypatch.setattr(views._log, "propagate", False)
    views._log.setLevel(logging.INFO)
    return handler


def shares(log: Log) -> list[int]:
    return [math.floor(100 * record.progress["done"] / record.progress["total"]) for record in log.records]  # type: ignore[attr-defined]


def follow(view: LinesView, seconds: int, done_at: float) -> None:
    """A task of so many seconds that is looked at every second."""
    for second in range(seconds):
        view.show("key", HALF._replace(done=int(200_000 * second / done_at), seconds=float(second)), float(second))


def test_short_command_logs_nothing(log: Log) -> None:
    view = LinesView()
    follow(view, 9, done_at=9)
    view.end("key", HALF._replace(seconds=9.0), 9.0)

    assert log.records == []


def test_lines_come_every_ten_seconds_at_most(log: Log) -> None:
    follow(LinesView(), 41, done_at=41)

    assert shares(log) == [24, 48, 73, 97]


def test_lines_of_a_slow_task_come_at_each_tenth(log: Log) -> None:
    follow(LinesView(), 300, done_at=400)

    assert shares(log) == [2, 12, 22, 32, 42, 52, 62, 72]


def test_line_comes_each_minute_however_little_was_done(log: Log) -> None:
    follow(LinesView(), 200, done_at=1e9)

    assert [record.progress["seconds"] for record in log.records] == [10.0, 70.0, 130.0, 190.0]  # type: ignore[attr-defined]


def test_next_task_is_logged_ten_seconds_later(log: Log) -> None:
    view = LinesView()
    view.show("first", HALF, 10.0)
    view.show("second", HALF, 11.0)
    view.show("second", HALF, 20.0)

    assert len(log.records) == 2


def test_end_of_a_long_task_is_logged(log: Log) -> None:
    view = LinesView()
    follow(view, 12, done_at=15)
    view.end("key", HALF._replace(done=200_000), 15.0)
    view.end("another", HALF._replace(seconds=3.0), 18.0)

    assert shares(log) == [66, 100]
    assert [record.progress["ended"] for record in log.records] == [False, True]  # type: ignore[attr-defined]


def test_task_that_logs_itself_has_no_lines(log: Log) -> None:
    view = LinesView()
    view.show("key", HALF._replace(is_logged=False), 100.0)
    view.end("key", HALF._replace(is_logged=False), 200.0)

    assert log.records == []


def test_figures_are_in_the_json_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "half", (), None)
    record.progress = HALF.fields(ended=False)
    fields = json.loads(terminal.JsonFormatter(traces=False).format(record))

    assert fields["message"] == "half"
    assert fields["progress"] == {
        "task": "scoring",
        "item": None,
        "done": 100_000,
        "total": 200_000,
        "unit": "rows",
        "seconds": 20.0,
        "note": "12 rejected",
        "ended": False,
    }


def test_bar_is_shown_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(terminal, "draw_status", drawn.append)
    view = BarView()
    view.show("key", HALF, 1.9)
    view.end("key", HALF, 1.9)
    assert drawn == []
    view.show("key", HALF, 2.0)

    assert len(drawn) == 1
