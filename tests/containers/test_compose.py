"""Runs docker-compose.yml: its emulators, its cluster with a read-only root, and its run of yesterday."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.containers.compose import Compose, composed
from tests.containers.network import Network
from tests.containers.pods import wait_until

# One worker of pytest-xdist runs all of them: image, network and emulators are created once.
pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("containers")]
CLUSTER = ("jobmanager", "pod", "taskmanager", "workers")


@pytest.fixture(scope="module")
def emulated(network: Network, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The emulators, filled."""
    with composed(network, tmp_path_factory.mktemp("compose"), image) as services:
        yield services


@pytest.fixture
def services(emulated: Compose) -> Iterator[Compose]:
    """The same, and a cluster for the test to start."""
    yield emulated
    emulated.remove(*CLUSTER, "run")


def start(services: Compose) -> None:
    for service in CLUSTER:
        services.start(service)


def publish(services: Compose) -> subprocess.CompletedProcess[str]:
    ended = services.run("run")
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
    assert ": published" in ended.stdout
    return ended


def test_compose_file_publishes_yesterday(services: Compose) -> None:
    start(services)
    assert {address for address, port in services.hosts["pod"].listening() if port == 50000} == {"127.0.0.1"}
    publish(services)


@pytest.mark.parametrize("victim", ["taskmanager", "workers"])
def test_killed_service_restarts(services: Compose, victim: str) -> None:
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


def test_workers_without_writable_folder_report_it(services: Compose) -> None:
    services.more["workers"] = ["--workdir=/opt/flink"]  # as it was shipped once
    for service in CLUSTER[:-1]:
        services.start(service)
    with pytest.raises(AssertionError, match="/opt/flink cannot be written"):
        services.start("workers")
