"""docker-compose.yml, run: its emulators, its cluster with a read-only root, and its run of yesterday."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import Compose, composed
from tests.containers.network import Network
from tests.containers.pods import wait_until

CLUSTER = ("jobmanager", "pod", "taskmanager", "workers")


@pytest.fixture
def services(network: Network, image: str, tmp_path: Path) -> Iterator[Compose]:
    with composed(network, tmp_path, image) as made:
        yield made


def start(services: Compose) -> None:
    for service in CLUSTER:
        services.start(service)


def publish(services: Compose) -> subprocess.CompletedProcess[str]:
    ended = services.run("run")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
    assert ": published" in ended.stdout
    return ended


def test_the_file_publishes_yesterday(services: Compose) -> None:
    start(services)
    assert {address for address, port in services.hosts["pod"].listening() if port == 50000} == {"127.0.0.1"}
    publish(services)


@pytest.mark.parametrize("victim", ["taskmanager", "workers"])
def test_a_service_that_is_killed_starts_again(services: Compose, victim: str) -> None:
    start(services)

    def kill() -> None:
        wait_until(lambda: "started as process" in services.logs("workers"), 240, "a Python worker")
        services.kill(victim)
        codes.append(services.restart(victim))

    codes: list[int] = []
    killing = threading.Thread(target=kill)
    killing.start()
    publish(services)
    killing.join()
    assert codes == [137]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("--memory=250m", "out of memory"), ("--workdir=/opt/flink", "/opt/flink cannot be written")],
)
def test_workers_that_cannot_start_say_why(services: Compose, fault: str, words: str) -> None:
    services.more["workers"] = [fault, "--memory-swap=250m"] if "memory" in fault else [fault]
    start_without_workers = CLUSTER[:-1]
    for service in start_without_workers:
        services.start(service)
    if "memory" in fault:
        services.start("workers")
        running = threading.Thread(target=services.run, args=("run",))
        running.start()
        code = services.restart("workers")
        assert code == 1 or code == 137
        services.more["workers"] = []
        wait_until(lambda: services.job() == "FAILED", 300, "the end of the job")
        running.join(120)
    else:
        with pytest.raises(AssertionError, match="workers ended"):
            services.start("workers")
    assert words in services.logs("workers")
