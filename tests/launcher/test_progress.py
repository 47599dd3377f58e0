"""What a terminal shows while runs on Kubernetes are followed."""

import time
from collections.abc import Iterator

import pytest

from tests.flink.rest_api import Flink
from tests.launcher.conftest import NAME, Launcher
from tests.progress.conftest import view  # noqa: F401 - a fixture
from tests.progress.recording import Shown


@pytest.fixture
def slow(launcher: Launcher) -> Iterator[Launcher]:
    """Runs take a second, and score 7 rows."""
    launcher.kubernetes.config_maps["pcc-config"]["launcher.poll_interval"] = "0.1"

    def create(name: str) -> None:
        launcher.kubernetes.job(name, "RUNNING")
        launcher.kubernetes.flink = Flink(counters={"rows_scored": 7}).paths()
        time.sleep(1.0)
        launcher.publish(name)
        launcher.kubernetes.job(name, "FINISHED")

    launcher.kubernetes.on_create = create
    return launcher


def test_followed_run_shows_rows_and_state(slow: Launcher, view: Shown) -> None:  # noqa: F811
    assert slow.submit("--wait") == 0

    followed = view.ended(NAME)
    assert (followed.done, followed.unit, followed.note) == (7, "rows scored", "FINISHED")


def test_days_on_kubernetes_are_counted(slow: Launcher, view: Shown) -> None:  # noqa: F811
    words = ["--from", "20261120", "--to", "20261122", "--parallel", "2"]
    assert slow.call("backfill", "--on-kubernetes", *words) == 0

    days = view.ended("backfill")
    assert (days.done, days.total, days.unit) == (3, 3, "days")
