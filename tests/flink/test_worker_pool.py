"""The pool of Python workers as a separate process; a script replaces Beam's boot program, and the test plays Flink."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2 as messages
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services
from apache_beam.portability.api.org.apache.beam.model.pipeline.v1.endpoints_pb2 import ApiServiceDescriptor

from beam_pcc.config.threads import CORES_VARIABLE, available
from tests.ports import free_ports

pytestmark = pytest.mark.end_to_end  # real processes, and some of them are waited for
SLEEPS = "exec sleep 60"
FAILS = "echo cannot write pipeline_options.json >&2; exit 1"


@dataclass
class Pool:
    """The process, and where it listens."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def start_worker(self, name: str, control: str) -> str:
        """Request a worker, as Flink's runner does; returns the error in the response."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            grpc.channel_ready_future(channel).result(60)
            pool = services.BeamFnExternalWorkerPoolStub(channel)
            endpoint = ApiServiceDescriptor(url=control)
            request = messages.StartWorkerRequest(worker_id=name, control_endpoint=endpoint)
            return str(pool.StartWorker(request, timeout=30).error)

    def stop_worker(self, name: str) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            pool = services.BeamFnExternalWorkerPoolStub(channel)
            pool.StopWorker(messages.StopWorkerRequest(worker_id=name), timeout=30)

    def wait(self) -> int:
        return self.process.wait(60)

    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def running(folder: Path, boot: str, *, wrapper: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> Iterator[Pool]:
    """A pool whose boot program is this script."""
    program, log = folder / "boot", folder / "log"
    program.write_text(f"#!/bin/sh\n{boot}\n")
    program.chmod(0o755)
    port = free_ports(1)
    command = [
        *wrapper,
        sys.executable,
        "-m",
        "beam_pcc.flink.worker_pool",
        f"--port={port}",
        f"--boot={program}",
        *flags,
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True, cwd=folder)
    try:
        yield Pool(process, port, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def control() -> Iterator[str]:
    """The control address where Flink waits for its workers: a listening port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"localhost:{server.getsockname()[1]}"


def wait_for_port(pool: Pool) -> None:
    deadline = time.monotonic() + 60
    while "waiting for Flink" not in pool.output():
        assert pool.process.poll() is None, pool.output()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_pool_listens_on_loopback_only(tmp_path: Path) -> None:
    with running(tmp_path, SLEEPS) as pool:
        wait_for_port(pool)
        lines = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.splitlines()
        addresses = {line.split()[3] for line in lines if line.split()[3].endswith(f":{pool.port}")}
    assert addresses <= {f"127.0.0.1:{pool.port}", f"[::ffff:127.0.0.1]:{pool.port}"}
    assert addresses


def test_failing_boot_program_ends_pool(tmp_path: Path, control: str) -> None:
    with running(tmp_path, FAILS) as pool:
        assert pool.start_worker("1-1", control) == ""
        assert pool.wait() == 1
        *_, last = pool.output().splitlines()
    assert last.startswith("beam-pcc: the pool of Python workers ends: worker 1-1 ended with exit code 1")
    assert "cannot write pipeline_options.json" in pool.output()


def test_killed_boot_program_ends_pool(tmp_path: Path, control: str) -> None:
    with running(tmp_path, "kill -9 $$") as pool:
        pool.start_worker("1-1", control)
        assert pool.wait() == 1
    assert "was ended by SIGKILL" in pool.output()


def test_worker_without_flink_does_not_end_pool(tmp_path: Path) -> None:
    with running(tmp_path, FAILS) as pool:
        pool.start_worker("1-1", f"localhost:{free_ports(1)}")  # nobody listens there
        time.sleep(7)  # longer than the grace period
        assert pool.process.poll() is None


def test_finished_worker_does_not_end_pool(tmp_path: Path, control: str) -> None:
    with running(tmp_path, "exit 0") as pool:
        pool.start_worker("1-1", control)
        time.sleep(7)
        assert pool.process.poll() is None


@pytest.mark.parametrize(("flags", "cores"), [((), 1), (("--slots=1",), available()), (("--slots=1000",), 1)])
def test_worker_has_its_share_of_the_cores(tmp_path: Path, control: str, flags: tuple[str, ...], cores: int) -> None:
    with running(tmp_path, f'echo "cores: ${CORES_VARIABLE}"; exec sleep 60', flags=flags) as pool:
        assert pool.start_worker("1-1", control) == ""
        deadline = time.monotonic() + 60
        while "cores: " not in pool.output():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert f"cores: {cores}\n" in pool.output()


def test_stopped_worker_does_not_end_pool(tmp_path: Path, control: str) -> None:
    with running(tmp_path, "trap 'exit 3' TERM; sleep 60 & wait") as pool:
        pool.start_worker("1-1", control)
        pool.stop_worker("1-1")
        time.sleep(7)
        assert pool.process.poll() is None


def test_missing_boot_program_is_reported_to_flink(tmp_path: Path, control: str) -> None:
    with running(tmp_path, SLEEPS) as pool:
        wait_for_port(pool)
        (tmp_path / "boot").unlink()
        assert "could not be started" in pool.start_worker("1-1", control)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_pool_and_workers(tmp_path: Path, control: str, number: signal.Signals) -> None:
    """Also workers that ignore it, and their children in other process groups."""
    child = "trap '' TERM; setsid sleep 61 & echo $! >child; wait"
    with running(tmp_path, child) as pool:
        pool.start_worker("1-1", control)
        deadline = time.monotonic() + 30
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker = int((tmp_path / "child").read_text())
        asked = time.monotonic()
        pool.process.send_signal(number)
        assert pool.wait() == 0
        took = time.monotonic() - asked
        assert not alive(worker)
    assert took < 10  # two seconds by design; this machine may be busy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first of a namespace")
def test_first_process_of_container_stops(tmp_path: Path, control: str) -> None:
    with running(tmp_path, SLEEPS, wrapper=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")) as pool:
        pool.start_worker("1-1", control)
        inner = int(subprocess.run(["pgrep", "-P", str(pool.process.pid)], capture_output=True, text=True).stdout)
        os.kill(inner, signal.SIGTERM)
        assert pool.wait() == 0
    assert "stopping: SIGTERM" in pool.output()


def test_unwritable_folder_ends_pool(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "beam_pcc.flink.worker_pool", f"--port={free_ports(1)}"]
    done = subprocess.run(command, cwd="/proc", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "/proc cannot be written" in done.stderr
    assert "working directory" in done.stderr


def test_used_port_ends_pool(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "beam_pcc.flink.worker_pool", f"--port={port}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
