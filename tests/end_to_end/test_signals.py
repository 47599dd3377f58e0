"""Ctrl-C and SIGTERM at any moment of a run and a backfill: one line, exit code 1, and no day after it."""

import contextlib
import datetime as dt
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beam_pcc.pipeline.launch import Launch, LaunchPlan
from beam_pcc.publishing.staging import StagingArea
from tests.end_to_end.conftest import Ended, Workspace

MOMENTS = int(os.environ.get("STOPS", "6"))
FIRST = dt.date(2026, 11, 18)
DAYS = ("--from", "20261118", "--to", "20261120")


def backfill(workspace: Workspace, *flags: object) -> Ended:
    return workspace.call("backfill", *DAYS, *workspace.flags("sample://300", *flags))


def send(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def query_interrupted() -> None:
    """As DuckDB answers a handler that raises in its query."""
    try:
        send()
    except BaseException:
        raise RuntimeError("Query interrupted") from None


def swallowed() -> None:
    with contextlib.suppress(BaseException):
        send()


def at_launch(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    plan = Launch.plan

    def stopped(self: Launch) -> LaunchPlan:
        happens()
        return plan(self)

    monkeypatch.setattr(Launch, "plan", stopped)


def at_clean_up(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    remove = StagingArea.remove

    def stopped(self: StagingArea) -> None:
        send(number)
        remove(self)

    monkeypatch.setattr(StagingArea, "remove", stopped)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A shell has what it starts in the background ignore Ctrl-C, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_until_caught(process: "subprocess.Popen[str]") -> None:
    """Python starts for a tenth of a second before any line of ours."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def days_run(workspace: Workspace) -> list[tuple[dt.date, str]]:
    return [(row["partition_date"], row["status"]) for row in workspace.monitoring()]


@pytest.mark.parametrize("happens", [send, query_interrupted], ids=["raised", "replaced"])
def test_backfill_ends_with_the_day_that_was_stopped(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> None:
    at_launch(monkeypatch, happens)

    ended = backfill(workspace)

    assert ended.code == 1
    assert ended.out.splitlines() == ["20261118  failed     stopped by SIGINT"]
    assert days_run(workspace) == [(FIRST, "failed")]


def test_backfill_ends_after_a_signal_that_a_library_swallowed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_launch(monkeypatch, swallowed)

    ended = backfill(workspace)

    assert ended.code == 1
    assert "stopped after partition 20261118 was published: stopped by SIGINT" in ended.out
    assert days_run(workspace) == [(FIRST, "success")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_stopped_in_its_clean_up_says_what_was_done(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    at_clean_up(monkeypatch, number)

    ended = workspace.run()

    assert ended.code == 1
    assert (
        ended.err.splitlines()[-1]
        == f"beam-pcc: stopped after partition 20261120 was published: stopped by {number.name}"
    )
    assert len(workspace.published()) > 400
    assert not list(workspace.folder.glob("*.staging/*"))


def test_dry_run_stopped_in_its_clean_up_claims_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    at_clean_up(monkeypatch, signal.SIGINT)

    ended = workspace.run("sample://300", "--dry_run")

    assert "stopped after partition 20261120 was scored, not published: stopped by SIGINT" in ended.err


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_backfill_stopped_at_any_moment_ends_with_one_line(workspace: Workspace, number: signal.Signals) -> None:
    """STOPS sets how many moments."""
    moments = random.Random(number)
    for _ in range(MOMENTS // 2):
        before = len(workspace.monitoring()) if workspace.warehouse.exists() else 0
        process = workspace.spawn("backfill", *DAYS, *workspace.flags("sample://300"))
        wait_until_caught(process)
        time.sleep(moments.uniform(0, 8))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        said = [line for line in (out + err).splitlines() if "stopped" in line]

        assert process.returncode == 1 or (process.returncode == 0 and not said)
        if process.returncode == 1:
            assert len(said) == 1, out + err
            assert said[0].endswith(f"stopped by {number.name}")
        assert "Traceback" not in err
        rows = workspace.monitoring()[before:] if workspace.warehouse.exists() else []
        assert [row["status"] for row in rows[:-1]] == ["success"] * (len(rows) - 1 if rows else 0)
