"""The pool of Python workers beside a TaskManager: `python -m beam_pcc.flink.worker_pool --port 50000 --boot FILE`.

Flink's runner requests a worker for each slot through Beam's ExternalWorkerPool service. Unlike Beam's own
`worker_pool_main`, this pool:

- listens on the loopback address only, since its callers can start processes;
- exits with a one-line error when a worker dies that Flink waits for, so that the container restarts;
- stops within two seconds of SIGTERM, also as the first process of a container.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from beam_pcc.config.threads import worker_environment

HOST = "127.0.0.1"
_POLL_INTERVAL = 0.2  # seconds
_GRACE_PERIOD = 5.0  # seconds for Flink to stop a worker whose process has ended already
_STOP_TIMEOUT = 1.0  # seconds between SIGTERM and SIGKILL; stopping the pool may take two
_MEMORY_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class PoolError(Exception):
    """The pool must end; the message gives the reason in one line."""


@dataclass
class Worker:
    """A worker that Flink requested: its process, and the control endpoint where Flink waits for it."""

    name: str
    process: subprocess.Popen[bytes]
    control: str
    ended_at: float | None = None


@dataclass
class Pool:
    """The workers of one TaskManager. Thread-safe: gRPC's threads start and stop workers, the main thread watches.

    Attributes:
        boot: Beam's `boot` program; None starts workers without it and without pipeline options.
        slots: How many workers share the cores; None gives each one core.
    """

    boot: str | None = None
    slots: int | None = None
    _workers: dict[str, Worker] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, request: Any) -> None:
        """Start the worker of a StartWorkerRequest. Raises OSError if the program cannot be run."""
        with self._lock:
            process = subprocess.Popen(
                self._command(request), stdin=subprocess.DEVNULL, env=worker_environment(self.slots)
            )
            worker = Worker(str(request.worker_id), process, str(request.control_endpoint.url))
            self._workers[worker.name] = worker
        _say(f"worker {worker.name}: started as process {process.pid}")

    def stop(self, name: str) -> None:
        """End a worker. Ignores an unknown name."""
        with self._lock:
            worker = self._workers.pop(name, None)
        if worker is not None:
            _terminate([worker])

    def stop_all(self) -> None:
        """End every worker."""
        with self._lock:
            workers = list(self._workers.values())
            self._workers.clear()
        _terminate(workers)

    def check(self) -> None:
        """Check every worker once. Raises PoolError if one has died that Flink still waits for."""
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            code = worker.process.poll()
            if code is None:
                continue
            worker.ended_at = worker.ended_at or time.monotonic()
            if code == 0 or not _listens(worker.control):  # Flink does not wait for it: it is done, or Flink is gone
                self.stop(worker.name)
            elif time.monotonic() - worker.ended_at > _GRACE_PERIOD:
                raise PoolError(f"worker {worker.name} {_exit(code)}, and Flink waits for it; its output is above")

    def reap(self) -> None:
        """Reap ended processes that are not workers: the first process of a container inherits orphans."""
        with self._lock, contextlib.suppress(ChildProcessError):
            workers = {worker.process.pid for worker in self._workers.values()}
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in workers:
                    return  # `check` collects it
                os.waitpid(ended.si_pid, os.WNOHANG)

    def _command(self, request: Any) -> list[str]:
        endpoints = ("logging", "artifact", "provision", "control")
        if self.boot:
            urls = {name: getattr(request, f"{name}_endpoint").url for name in endpoints}
            return [self.boot, f"--id={request.worker_id}", *(f"--{n}_endpoint={url}" for n, url in urls.items())]
        program = (
            "import sys; from apache_beam.runners.worker.sdk_worker import SdkHarness; "
            "SdkHarness(sys.argv[1], worker_id=sys.argv[2], state_cache_size=0, data_buffer_time_limit_ms=-1).run()"
        )
        return [sys.executable, "-c", program, request.control_endpoint.url, request.worker_id]


def serve(pool: Pool, port: int) -> Any:
    """Start the service on the loopback address; returns the gRPC server.

    Raises:
        PoolError: The port is in use.
    """
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2 as messages
    from apache_beam.portability.api import beam_fn_api_pb2_grpc as services
    from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

    class Service(services.BeamFnExternalWorkerPoolServicer):
        """Implements Beam's ExternalWorkerPool."""

        def StartWorker(self, request: Any, context: object) -> Any:  # noqa: ARG002, N802 - Beam's name
            """Start a worker; Flink reports the error in the response."""
            try:
                pool.start(request)
            except OSError as error:
                return messages.StartWorkerResponse(error=f"the worker could not be started: {error}")
            return messages.StartWorkerResponse()

        def StopWorker(self, request: Any, context: object) -> Any:  # noqa: ARG002, N802 - Beam's name
            """Stop a worker."""
            pool.stop(str(request.worker_id))
            return messages.StopWorkerResponse()

    options = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)]
    server = grpc.server(shared_unbounded_instance(), options=options)
    services.add_BeamFnExternalWorkerPoolServicer_to_server(Service(), server)
    try:
        bound = server.add_insecure_port(f"{HOST}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise PoolError(f"port {port} of {HOST} is in use by another program")
    server.start()
    _say(f"waiting for Flink at {HOST}:{bound}")
    return server


def run(port: int, boot: str | None, slots: int | None = None) -> NoReturn:
    """Serve until a signal or a failure ends the process: exit code 0 after a signal, 1 after a failure."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        _say(f"stopping: {signal.Signals(number).name}")
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)  # the first process of a container ignores signals without a handler
    pool, code = Pool(boot, slots), 0
    try:
        _require_writable(Path.cwd(), "the working directory, where Beam's boot program writes a file")
        _require_writable(Path(tempfile.gettempdir()), "the folder of temporary files")
        if boot and not os.access(boot, os.X_OK):
            raise PoolError(f"--boot {boot} is not a program")
        serve(pool, port)
        _watch(pool, stopping, in_container=os.getpid() == 1)
    except PoolError as error:
        _say(f"beam-pcc: the pool of Python workers ends: {error}")
        code = 1
    pool.stop_all()
    os._exit(code)  # without waiting for gRPC's threads


def _watch(pool: Pool, stopping: threading.Event, *, in_container: bool) -> None:
    kills = _out_of_memory_kills()
    while not stopping.wait(_POLL_INTERVAL):
        # Beam's boot program would restart the worker, which would run out of memory again.
        if in_container and _out_of_memory_kills() > kills:
            raise PoolError(f"a worker was killed: out of memory{_memory_limit()}; give the container more")
        pool.check()
        if in_container:
            pool.reap()


def _require_writable(folder: Path, what: str) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PoolError(f"{folder} cannot be written ({error.strerror}); it is {what}") from None


def _listens(address: str) -> bool:
    """Whether something accepts connections at HOST:PORT, here the TaskManager of a worker."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or HOST, int(port)), 1.0).close()
    except (OSError, ValueError):
        return False
    return True


def _exit(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _terminate(workers: list[Worker]) -> None:
    """Terminate workers and their descendants; kill those that do not end."""
    pids = [pid for worker in workers for pid in _process_tree(worker.process.pid)]
    for pid in pids:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while any(w.process.poll() is None for w in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in pids:
        if pid not in {w.process.pid for w in workers if w.process.poll() is not None}:
            _send(pid, signal.SIGKILL)
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_STOP_TIMEOUT)


def _process_tree(pid: int) -> list[int]:
    """A process and its descendants, parents first. Empty if it does not exist."""
    parents = dict(_parents())
    tree = [pid] if pid in parents else []
    for ancestor in tree:
        tree += [child for child, parent in parents.items() if parent == ancestor]
    return tree


def _parents() -> Iterator[tuple[int, int]]:
    """Process id and parent id of every visible process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold anything; the parent is the second field after it.
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _out_of_memory_kills() -> int:
    """How many processes of this container the kernel has killed for lack of memory (cgroup v1 and v2)."""
    for path in _MEMORY_EVENTS:
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return 0


def _memory_limit() -> str:
    for path in _MEMORY_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limit = int(path.read_text())
            if limit < 1 << 50:  # larger values mean that there is no limit
                return f" (the limit is {limit / (1 << 20):,.0f} MiB)"
    return ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> NoReturn:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pcc.flink.worker_pool", description="Serve Python workers to the TaskManager beside it."
    )
    parser.add_argument("--port", type=int, required=True, help=f"where to listen, on {HOST} only")
    parser.add_argument("--boot", metavar="FILE", help="Beam's boot program (default: start workers without it)")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="task slots, whose workers share the cores (default: one core for each)"
    )
    flags = parser.parse_args()
    run(flags.port, flags.boot, flags.slots)


if __name__ == "__main__":
    main()
