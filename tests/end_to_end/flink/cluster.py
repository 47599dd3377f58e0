"""A real Flink for the tests, started by flink/cluster.sh on free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.ports import free_ports

ROOT = Path(__file__).parent.parent.parent.parent
SCRIPT = ROOT / "flink/cluster.sh"
SLOTS = 2
_POOL_SECONDS = 15  # how long a TaskManager waits for the pool of workers, which is there before it; 60 by default
T = TypeVar("T")


def require_tools() -> None:
    """Skip the test, in one line, where Java or Maven is missing; fail it with CI=true."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found, so the tests on a real Flink are left out"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call flink/cluster.sh with this test's Python."""
    command = [str(a) for a in (SCRIPT, *arguments)]
    options = f"-Dbeampcc.pool.seconds={_POOL_SECONDS}"
    environment = {**os.environ, "PYTHON": sys.executable, "FLINK_ENV_JAVA_OPTS_TM": options}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def _is_gone(pid: int) -> bool:
    """Whether the process has ended; it may still be a zombie."""
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return not ps.stdout.strip() or ps.stdout.startswith("Z")


def wait_for(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """Wait for a true result of `condition`, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return value


def _scrape(port: int) -> str:
    """The metrics of a Prometheus endpoint; retried if the server closes a new connection."""

    def fetch() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except ConnectionError:
            return ""

    return wait_for(fetch, 5.0)


@dataclass(frozen=True)
class Cluster:
    """Where it listens, and what can be done to it."""

    folder: Path
    first_port: int
    metrics: bool = True

    @property
    def port(self) -> int:
        return self.first_port

    @property
    def worker_port(self) -> int:
        return self.first_port + 2

    @property
    def ports(self) -> list[object]:
        first = self.first_port
        return [
            *("--dir", self.folder, "--port", first, "--rpc-port", first + 1),
            *("--worker-port", first + 2),
            *(("--metrics-port", first + 3) if self.metrics else ()),
        ]

    def up(self) -> None:
        """Start it, or what of it is dead."""
        ended = script("up", "--slots", SLOTS, *self.ports)
        assert ended.returncode == 0, ended.stderr

    def down(self) -> None:
        assert script("down", "--dir", self.folder).returncode == 0

    @property
    def flags(self) -> list[str]:
        return [
            *("--runner", "FlinkRunner", "--flink_master", f"127.0.0.1:{self.port}"),
            *("--environment_config", f"localhost:{self.worker_port}"),
        ]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> dict[str, str]:
        """Id of each job to its state, newest last."""
        jobs = sorted(self.get("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
        return {job["jid"]: job["state"] for job in jobs}

    def running(self) -> str:
        """The job that runs now, once there is one."""
        return wait_for(lambda: next((job for job, state in self.jobs().items() if state == "RUNNING"), ""))

    def counter(self, name: str) -> int:
        """A Beam counter from the TaskManager's and JobManager's Prometheus endpoints, summed over its slots."""
        total = 0.0
        for port in (self.first_port + 3, self.first_port + 4):
            for line in _scrape(port).splitlines():
                if line.startswith(f"flink_taskmanager_job_task_operator_pcc_{name}{{"):
                    total += float(line.rpartition(" ")[2])
        return int(total)

    def pid(self, part: str) -> int:
        """Process (and session) of jobmanager, taskmanager or workers."""
        return int((self.folder / f"{part}.pid").read_text().split()[0])

    def kill(self, part: str) -> None:
        """Kill -9 the part and all that it started."""
        pid = self.pid(part)
        for process in self._session(part):
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: _is_gone(pid))  # a large one takes a moment, and counts as alive meanwhile

    def python_workers(self) -> list[int]:
        """Processes of Beam's Python workers now."""
        return self._session("workers", "-f", "sdk_worker_main")

    def listening(self) -> dict[str, set[str]]:
        """Of each part, the addresses at which it listens, its Python workers included."""
        if shutil.which("ss") is None:
            pytest.skip("ss, of the package iproute2, is not found")
        command = ["ss", "--listening", "--tcp", "--numeric", "--processes", "--no-header"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        addresses: dict[str, set[str]] = {}
        for part in ("jobmanager", "taskmanager", "workers"):
            owners = tuple(f"pid={process}," for process in self._session(part))
            own = (line.split() for line in lines if any(owner in line for owner in owners))
            addresses[part] = {fields[3].rpartition(":")[0].strip("[]").removeprefix("::ffff:") for fields in own}
        return addresses

    def _session(self, part: str, *more: str) -> list[int]:
        command = ["pgrep", "-s", str(self.pid(part)), *more]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(pid) for pid in result.stdout.split()]


@contextmanager
def running(folder: Path, *, metrics: bool = True) -> Iterator[Cluster]:
    """A session cluster until the context ends; skips the test where it cannot be."""
    require_tools()
    cluster = Cluster(folder, free_ports(5), metrics)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.down()
