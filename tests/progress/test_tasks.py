"""Tasks that are under way: which one is shown, what it counts, and how it ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from beam_pcc import progress
from beam_pcc.progress import tasks, views
from beam_pcc.progress.counting import Counts
from beam_pcc.progress.views import Mode
from tests.progress.recording import Shown


def tickers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_units_of_several_threads_are_added(view: Shown) -> None:
    def count(step: progress.Task) -> None:
        for _ in range(1_000):
            step.advance(3)

    with progress.task("counting", unit="rows") as step, ThreadPoolExecutor(4) as threads:
        list(threads.map(count, [step] * 4))

    assert view.ends[0].done == 12_000


def test_done_is_never_more_than_the_total(view: Shown) -> None:
    with progress.task("counting", total=10, unit="rows") as step:
        step.advance(11)

    assert view.ends[0].done == 10


def test_total_may_become_known_later(view: Shown) -> None:
    with progress.task("counting", unit="rows") as step:
        step.update(5, total=10)

    assert view.ends[0][2:4] == (5, 10)


def test_innermost_task_is_shown_with_the_item_it_belongs_to(view: Shown) -> None:
    with progress.task("backfill", total=3, unit="days") as days:
        days.advance()
        days.enter("20261121")
        with progress.task("scoring"), progress.task("checking"):
            assert view.until(lambda shown: shown.task == "checking").item == "20261121 (2 of 3)"
        view.until(lambda shown: shown.task == "backfill")


def test_task_of_another_thread_belongs_to_that_of_the_main_thread(view: Shown) -> None:
    """Beam publishes in a thread of its own."""
    release = threading.Event()

    def publish() -> None:
        with progress.task("publishing"):
            release.wait(10)

    with progress.task("scoring"):
        thread = threading.Thread(target=publish)
        thread.start()
        view.until(lambda shown: shown.task == "publishing")
        release.set()
        thread.join()
        view.until(lambda shown: shown.task == "scoring")


def test_of_tasks_beside_each_other_their_common_one_is_shown(view: Shown) -> None:
    """Days that run on Kubernetes at a time."""
    barrier, release = threading.Barrier(3), threading.Event()

    def follow() -> None:
        with progress.task("one day"):
            barrier.wait()
            release.wait(10)

    with progress.task("backfill"), ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(follow)
        barrier.wait()
        view.until(lambda shown: shown.task == "backfill")
        release.set()


def test_measured_task_is_asked_when_it_is_shown(view: Shown) -> None:
    done = progress.Measured(0)
    with progress.task("scoring", total=100, unit="rows", measure=lambda: done):
        assert not view.until(lambda shown: True).is_counted
        done = progress.Measured(40, "2 rejected")
        shown = view.until(lambda shown: shown.is_counted)

    assert (shown.done, shown.note) == (40, "2 rejected")


def test_failed_task_is_not_shown_at_its_end(view: Shown) -> None:
    with pytest.raises(ValueError, match="broken"), progress.task("scoring"):
        raise ValueError("broken")

    assert view.ends == []
    assert view.cleared


def test_task_names_a_function(view: Shown) -> None:
    @progress.task("reading")
    def read(n: int) -> int:
        return n

    assert (read(1), read(2)) == (1, 2)
    assert [end.task for end in view.ends] == ["reading", "reading"]


def test_rate_is_of_the_time_since_counting_began(view: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run begins to count when its workers have started: the time before says nothing of the time that is left."""
    now = 100.0
    monkeypatch.setattr(tasks.time, "monotonic", lambda: now)
    step = progress.Task("scoring", 1_000, "rows")
    now = 110.0
    assert step.snapshot().rate == 0
    step.advance(10)
    assert step.snapshot().rate == 0
    step.advance(200)
    now = 112.0

    assert step.snapshot().rate == 100
    assert step.snapshot(ended=True).rate == 210 / 12


def test_nothing_runs_where_nothing_is_shown() -> None:
    with progress.shown(Mode.NONE), progress.task("scoring"):
        assert tickers() == []


def test_thread_ends_with_the_last_task(view: Shown) -> None:
    with progress.task("scoring"):
        assert len(tickers()) == 1

    assert tickers() == []


def test_task_that_outlives_its_command_is_forgotten() -> None:
    with progress.shown(Mode.LINES):
        left = progress.task("publishing")
        left.__enter__()

    for thread in tickers():
        thread.join(5)
    assert tickers() == []
    left.__exit__(None, None, None)
    assert tasks._board._tasks == []


def test_time_begins_anew_without_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a program that calls run_partition for one day after the other."""
    lines: list[str] = []
    monkeypatch.setattr(tasks.LinesView, "interval", 0.005)
    monkeypatch.setattr(views, "_LINES_EVERY", 0.05)
    monkeypatch.setattr(
        views._log,
        "info",
        lambda *given, extra: lines.append(extra["progress"]["task"] * (not extra["progress"]["ended"])),
    )
    for name, seconds in (("first day", 0.3), ("second day", 0.15)):
        with progress.task(name):
            time.sleep(seconds)

    assert {"first day", "second day"} <= set(lines)


def test_counts_of_several_threads_are_added() -> None:
    counts = Counts()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: counts.add("rows_scored", 5), range(400)))

    assert counts.now() == {"rows_scored": 2_000}


def test_counts_begin_at_zero_for_each_run() -> None:
    counts = Counts()
    counts.add("rows_scored", 5)
    with counts.following():
        assert (counts.followed, counts.now()) == (True, {})
    assert not counts.followed
