"""SIGTERM and Ctrl-C end a launcher at once: real processes with the fake API server, one of them as PID 1."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.launcher.conftest import NAME, Launcher
from tests.launcher.fake_api import CORE, FLINK, SILENT, Fault

SECONDS = 2.0


class Process:
    """A launcher process and its stderr."""

    def __init__(self, launcher: Launcher, *arguments: str, wrapped: tuple[str, ...] = ()) -> None:
        environment = {**os.environ, "KUBECONFIG": str(launcher.kubeconfig), "PYTHONUNBUFFERED": "1"}
        command = [*wrapped, sys.executable, "-m", "beam_pcc", *arguments]
        self._log = launcher.kubeconfig.with_name("stderr")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)

    @property
    def errors(self) -> str:
        return self._log.read_text()

    def wait_for(self, condition: Callable[[], object], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.02)

    def logs(self, pattern: str) -> Callable[[], object]:
        return lambda: re.search(pattern, self.errors)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, pid: int | None = None) -> int:
        """Send the signal; returns the exit code. Fails after two seconds."""
        os.kill(pid or self._process.pid, number)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def child(self) -> int:
        """The first child process; 0 without one."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0


@contextmanager
def started(launcher: Launcher, *arguments: str, wrapped: tuple[str, ...] = ()) -> Iterator[Process]:
    process = Process(launcher, *arguments, wrapped=wrapped)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def running(launcher: Launcher) -> Launcher:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    return launcher


SUBMIT = ("submit", "--partition=20261120", "--wait")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_launcher_in_watch_ends_at_once(running: Launcher, number: signal.Signals) -> None:
    with started(running, *SUBMIT) as process:
        process.wait_for(process.logs(f"{NAME}: RUNNING"))
        code = process.stop(number)

    assert code == 4
    assert "if the run was created it goes on" in process.errors
    assert "submit --partition 20261120 --wait --attach" in process.errors
    assert NAME in running.kubernetes.deployments
    assert running.warehouse.runs(9) == []


@pytest.mark.parametrize("request_", [f"GET {CORE}/configmaps", f"POST {FLINK}", f"GET {CORE}/pods"])
def test_launcher_in_silent_request_ends_at_once(running: Launcher, request_: str) -> None:
    running.kubernetes.faults.append(Fault(request_, SILENT))
    with started(running, *SUBMIT) as process:
        process.wait_for(lambda: any(one.startswith(request_) for one in running.kubernetes.requests))

        assert process.stop() == 4


def test_starting_launcher_ends_at_once(running: Launcher) -> None:
    with started(running, *SUBMIT) as process:
        # The imports take a second or more; beam_pcc.cli installs the handler first.
        process.wait_for(lambda: _catches(process, signal.SIGTERM))
        code = process.stop()

    assert code == 4
    assert not running.kubernetes.deployments


@pytest.mark.parametrize(("violations", "code"), [([], 0), (["40.0% of the rows rejected"], 3)])
def test_lingering_launcher_ends_with_exit_code_of_run(launcher: Launcher, violations: list[str], code: int) -> None:
    def ends(name: str) -> None:
        launcher.publish(name, *violations)
        launcher.kubernetes.job(name, "FINISHED")

    launcher.kubernetes.on_create = ends
    with started(launcher, *SUBMIT, "--metrics_port=0", "--metrics_linger=60") as process:
        process.wait_for(process.logs("figures stay at port"))

        assert process.stop() == code


def test_lingering_launcher_reports_why_run_failed(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "FAILED", error="a disk is full")
    with started(launcher, *SUBMIT, "--metrics_port=0", "--metrics_linger=60") as process:
        process.wait_for(process.logs("figures stay at port"))
        code = process.stop()

    assert code == 1
    assert "beam-pcc: a disk is full" in process.errors


def test_backfill_ends_at_once_with_all_its_days(running: Launcher) -> None:
    days = ("--from=20261119", "--to=20261121", "--parallel=2")
    with started(running, "backfill", "--on-kubernetes", *days) as process:
        process.wait_for(lambda: process.errors.count(": RUNNING") == 2)
        code = process.stop()

    assert code == 4
    assert "if the run was created it goes on" in process.errors
    assert len(running.kubernetes.deployments) == 2


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root may start a PID 1 of its own")
@pytest.mark.parametrize(("name", "code"), [("submit", 4), ("jobjar", 1)])
def test_pid_1_gets_sigterm(running: Launcher, tmp_path: Path, name: str, code: int) -> None:
    job_jar = ("jobjar", f"--output={tmp_path}/job.jar", "--partition=20261120", "--source=sample://1")
    more = (f"--warehouse={tmp_path}/other.duckdb", f"--models={tmp_path}/models")
    command = SUBMIT if name == "submit" else (*job_jar, *more)
    with started(running, *command, wrapped=("unshare", "--pid", "--fork", "--kill-child")) as process:
        process.wait_for(lambda: process.child and _catches(process, signal.SIGTERM, process.child))

        assert process.stop(pid=process.child) == code


def _status(process: Process, pid: int | None = None) -> dict[str, str]:
    lines = Path(f"/proc/{pid or process.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _catches(process: Process, number: signal.Signals, pid: int | None = None) -> bool:
    return bool(int(_status(process, pid)["SigCgt"], 16) >> (number - 1) & 1)
