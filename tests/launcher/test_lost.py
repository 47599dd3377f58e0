"""An API server that is overloaded, broken or silent is asked again, until sight of the run is lost."""

import time

import pytest

from beam_pcc.kubernetes import cluster_api
from tests.launcher.conftest import NAME, Launcher
from tests.launcher.fake_api import CORE, CUT, FLINK, SILENT, Fault

EVERY_REQUEST = (f"GET {CORE}/configmaps", f"POST {FLINK}", f"GET {FLINK}/{NAME}", f"GET {FLINK}?watch")
HINTS = (f"GET {CORE}/pods", f"GET {CORE}/events")


@pytest.fixture
def impatient(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    monkeypatch.setattr(cluster_api, "PATIENCE", 1.5)
    monkeypatch.setattr(cluster_api, "_HINT_SECONDS", 0.3)
    monkeypatch.setattr(cluster_api, "_WATCH_GRACE", 0.2)
    return launcher


@pytest.mark.parametrize("status", [429, 500, 503, CUT])
def test_a_transient_answer_to_any_request_is_asked_again(launcher: Launcher, status: int) -> None:
    launcher.kubernetes.faults += [Fault(request, status) for request in (*EVERY_REQUEST, *HINTS)]
    assert launcher.submit("--wait") == 0
    assert all(fault.times == 0 for fault in launcher.kubernetes.faults)


def test_retry_after_is_kept_to(launcher: Launcher) -> None:
    launcher.kubernetes.faults.append(Fault(f"POST {FLINK}", 429, "TooManyRequests", retry_after=2))
    seen: list[float] = []
    create = launcher.kubernetes.create
    launcher.kubernetes.create = lambda body: seen.append(time.monotonic()) or create(body)  # type: ignore[method-assign,func-returns-value]
    asked = time.monotonic()

    assert launcher.submit() == 0
    assert seen[0] - asked >= 2


@pytest.mark.parametrize("status", [SILENT, CUT, 503])
@pytest.mark.parametrize("request_", [f"GET {CORE}/configmaps", f"POST {FLINK}", f"GET {FLINK}/{NAME}"])
def test_an_answer_that_stays_out_is_exit_code_4(impatient: Launcher, request_: str, status: int) -> None:
    impatient.kubernetes.faults.append(Fault(request_, status, times=99))

    assert impatient.submit("--wait") == 4
    assert "a run that was created goes on" in impatient.errors
    assert impatient.warehouse.runs(9) == []


def test_a_server_that_falls_silent_while_it_is_followed_is_exit_code_4(impatient: Launcher) -> None:
    def falls_silent(name: str) -> None:
        impatient.kubernetes.job(name, "RUNNING")
        impatient.kubernetes.faults.append(Fault("", SILENT, times=999))

    impatient.kubernetes.on_create = falls_silent
    assert impatient.submit("--wait") == 4
    assert impatient.warehouse.runs(9) == []
    assert NAME in impatient.kubernetes.deployments


@pytest.mark.parametrize("status", [SILENT, CUT, 403, 503])
def test_pods_and_events_that_cannot_be_listed_end_nothing(impatient: Launcher, status: int) -> None:
    impatient.kubernetes.faults += [Fault(request, status, times=999) for request in HINTS]
    assert impatient.submit("--wait") == 0


def test_a_watch_that_stays_silent_ends_nothing(impatient: Launcher) -> None:
    impatient.kubernetes.faults.append(Fault(f"GET {FLINK}?watch", SILENT, times=999))
    assert impatient.submit("--wait") == 0


def test_a_right_that_is_lost_on_the_way_is_no_failed_run(launcher: Launcher) -> None:
    def forbidden(name: str) -> None:
        launcher.kubernetes.faults.append(Fault(f"GET {FLINK}/{name}", 403, "Forbidden", times=99))
        launcher.kubernetes.job(name, "RUNNING")

    launcher.kubernetes.on_create = forbidden
    assert launcher.submit("--wait") == 4
    assert "may go on: Kubernetes refused" in launcher.errors


def test_a_run_that_cannot_be_removed_is_not_called_failed(impatient: Launcher) -> None:
    impatient.kubernetes.config_maps["pcc-config"]["launcher.timeout"] = "1"
    impatient.kubernetes.on_create = lambda name: impatient.kubernetes.job(name, "RUNNING")
    impatient.kubernetes.faults.append(Fault(f"DELETE {FLINK}", 503, times=99))

    assert impatient.submit("--wait") == 4
    assert "was given up, but may go on" in impatient.errors
    assert impatient.warehouse.runs(9) == []


def test_a_backfill_that_loses_sight_of_a_day_is_exit_code_4(impatient: Launcher) -> None:
    impatient.kubernetes.faults.append(Fault(f"GET {FLINK}/pcc-20261119", 503, times=99))

    assert impatient.call("backfill", "--on-kubernetes", "--from=20261119", "--to=20261120") == 4
    lines = sorted(line.split()[:2] for line in impatient.said.splitlines() if line.startswith("202611"))
    assert lines == [["20261119", "unknown"], ["20261120", "published"]]


def test_the_figures_of_a_lost_run_say_nothing_of_its_end() -> None:
    import datetime as dt

    from beam_pcc.errors import LostSightError
    from beam_pcc.kubernetes.metrics import serving

    with pytest.raises(LostSightError), serving(0, 60.0, dt.date(2026, 11, 20)) as figures:
        raise LostSightError("the API server is silent")
    assert "pcc_run_exit_code" not in figures.text()
    assert 'pcc_run_active{partition="20261120"} 1' in figures.text()
