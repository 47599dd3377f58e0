"""Requests to an overloaded, broken or silent API server are retried until the launcher loses sight of the run."""

import time

import pytest

from beam_pcc.kubernetes import cluster_api
from tests.launcher.conftest import NAME, Launcher
from tests.launcher.fake_api import CORE, CUT, FLINK, SILENT, Fault

EVERY_REQUEST = (f"GET {CORE}/configmaps", f"POST {FLINK}", f"GET {FLINK}/{NAME}", f"GET {FLINK}?watch")
OPTIONAL = (f"GET {CORE}/pods", f"GET {CORE}/events")


@pytest.fixture
def impatient(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    monkeypatch.setattr(cluster_api, "RETRY_TIMEOUT", 1.5)
    monkeypatch.setattr(cluster_api, "_OPTIONAL_TIMEOUT", 0.3)
    monkeypatch.setattr(cluster_api, "_WATCH_GRACE", 0.2)
    return launcher


@pytest.mark.parametrize("status", [429, 500, 503, CUT])
def test_any_request_is_retried_after_transient_error(launcher: Launcher, status: int) -> None:
    launcher.kubernetes.faults += [Fault(request, status) for request in (*EVERY_REQUEST, *OPTIONAL)]
    assert launcher.submit("--wait") == 0
    assert all(fault.times == 0 for fault in launcher.kubernetes.faults)


def test_retry_after_header_is_respected(launcher: Launcher) -> None:
    launcher.kubernetes.faults.append(Fault(f"POST {FLINK}", 429, "TooManyRequests", retry_after=2))
    created: list[float] = []
    create = launcher.kubernetes.create
    launcher.kubernetes.create = lambda body: created.append(time.monotonic()) or create(body)  # type: ignore[method-assign,func-returns-value]
    started = time.monotonic()

    assert launcher.submit() == 0
    assert created[0] - started >= 2


@pytest.mark.parametrize("status", [SILENT, CUT, 503])
@pytest.mark.parametrize("request_", [f"GET {CORE}/configmaps", f"POST {FLINK}", f"GET {FLINK}/{NAME}"])
def test_api_server_that_stays_away_is_exit_code_4(impatient: Launcher, request_: str, status: int) -> None:
    impatient.kubernetes.faults.append(Fault(request_, status, times=99))

    assert impatient.submit("--wait") == 4
    assert "a run that was created goes on" in impatient.errors
    assert impatient.warehouse.runs(9) == []


def test_silent_server_during_watch_is_exit_code_4(impatient: Launcher) -> None:
    def falls_silent(name: str) -> None:
        impatient.kubernetes.job(name, "RUNNING")
        impatient.kubernetes.faults.append(Fault("", SILENT, times=999))

    impatient.kubernetes.on_create = falls_silent
    assert impatient.submit("--wait") == 4
    assert impatient.warehouse.runs(9) == []
    assert NAME in impatient.kubernetes.deployments


@pytest.mark.parametrize("status", [SILENT, CUT, 403, 503])
def test_unlisted_pods_and_events_do_not_end_run(impatient: Launcher, status: int) -> None:
    impatient.kubernetes.faults += [Fault(request, status, times=999) for request in OPTIONAL]
    assert impatient.submit("--wait") == 0


def test_silent_watch_does_not_end_run(impatient: Launcher) -> None:
    impatient.kubernetes.faults.append(Fault(f"GET {FLINK}?watch", SILENT, times=999))
    assert impatient.submit("--wait") == 0


def test_revoked_permission_is_not_a_failed_run(launcher: Launcher) -> None:
    def forbidden(name: str) -> None:
        launcher.kubernetes.faults.append(Fault(f"GET {FLINK}/{name}", 403, "Forbidden", times=99))
        launcher.kubernetes.job(name, "RUNNING")

    launcher.kubernetes.on_create = forbidden
    assert launcher.submit("--wait") == 4
    assert "may go on: Kubernetes refused" in launcher.errors


def test_run_that_cannot_be_deleted_is_not_failed(impatient: Launcher) -> None:
    impatient.kubernetes.config_maps["pcc-config"]["launcher.timeout"] = "1"
    impatient.kubernetes.on_create = lambda name: impatient.kubernetes.job(name, "RUNNING")
    impatient.kubernetes.faults.append(Fault(f"DELETE {FLINK}", 503, times=99))

    assert impatient.submit("--wait") == 4
    assert "was given up, but may go on" in impatient.errors
    assert impatient.warehouse.runs(9) == []


def test_backfill_that_loses_sight_is_exit_code_4(impatient: Launcher) -> None:
    impatient.kubernetes.faults.append(Fault(f"GET {FLINK}/pcc-20261119", 503, times=99))

    assert impatient.call("backfill", "--on-kubernetes", "--from=20261119", "--to=20261120") == 4
    lines = sorted(line.split()[:2] for line in impatient.stdout.splitlines() if line.startswith("202611"))
    assert lines == [["20261119", "unknown"], ["20261120", "published"]]


def test_metrics_of_a_lost_run_have_no_exit_code() -> None:
    import datetime as dt

    from beam_pcc.errors import LostSightError
    from beam_pcc.kubernetes.metrics import serving

    with pytest.raises(LostSightError), serving(0, 60.0, dt.date(2026, 11, 20)) as figures:
        raise LostSightError("the API server is silent")
    assert "pcc_run_exit_code" not in figures.text()
    assert 'pcc_run_active{partition="20261120"} 1' in figures.text()
