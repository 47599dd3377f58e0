"""The launcher of the CronJob as a container, with a stand-in API server, and an operator that runs real pods."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.containers.conftest import Day
from tests.containers.operator import Deployment
from tests.containers.pods import ContainerExit, Pod, wait_until
from tests.launcher.fake_api import Kubernetes, running
from tests.manifests import rendered

# One worker of pytest-xdist runs all of them: image, network and emulators are created once.
pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("containers")]
NAME = "pcc-20261120"


@dataclasses.dataclass
class Cluster:
    """A namespace whose operator makes the pods of what launchers create in it."""

    day: Day
    folder: Path
    kubernetes: Kubernetes
    stack: ExitStack
    deployments: list[Deployment] = dataclasses.field(default_factory=list)

    def operate(self, name: str) -> None:
        """What the operator does for a new FlinkDeployment: make its pods, and tell its job's state until the end."""
        resource = self.kubernetes.deployments[name]
        run = self.stack.enter_context(self.day.deployed({**resource, "metadata": {**resource["metadata"]}}))
        self.deployments.append(run)
        self.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING", lifecycleState="UPGRADING")
        run.start()
        state = ""
        while state not in ("FINISHED", "FAILED") and not self.kubernetes.over.is_set():
            now = run.job()
            if now and now != state:
                state = now
                self.kubernetes.job(name, state)
            time.sleep(0.5)

    @contextmanager
    def launcher(self) -> Iterator[Pod]:
        """A pod of the CronJob's Job, for this day, that is not started again when it ends."""
        spec = rendered.one("dev", "CronJob", "pcc-daily")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        args = [a for a in container["args"] if not a.startswith(("--partition", "--metrics_linger"))]
        container = {**container, "args": [*args, f"--partition={self.day.date:%Y%m%d}", "--metrics_linger=1"]}
        environment = {**self.day.around.environment, "KUBECONFIG": "/emulators/kubeconfig"}
        around = dataclasses.replace(
            self.day.around,
            environment=environment,
            mounts={**self.day.mounts, self.folder / "kubeconfig": "/emulators/kubeconfig"},
            fields={"metadata.labels['batch.kubernetes.io/controller-uid']": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        )
        host = self.day.network.host()
        spec = {**spec, "containers": [container]}
        pod = Pod(f"launcher-{uuid4().hex[:6]}", spec, host, self.folder / uuid4().hex, around, restart=False)
        try:
            pod.start()
            yield pod
        finally:
            pod.close()

    def ended(self, launcher: Pod) -> ContainerExit:
        exits: list[ContainerExit] = wait_until(lambda: launcher.ended, 300, "the launcher's end", [launcher])
        return exits[0]


@pytest.fixture
def cluster(day: Day, tmp_path: Path) -> Iterator[Cluster]:
    config = day.config("dev")
    template = {
        "flinkdeployment.yaml": rendered.one("dev", "ConfigMap", "pcc-template")["data"]["flinkdeployment.yaml"]
    }
    kubernetes = Kubernetes({"pcc-config": config, "pcc-template": template})
    with ExitStack() as stack:
        with day.network.inside():
            context = running(kubernetes, tmp_path / "kubeconfig", day.network.address)
            stack.enter_context(context)
        (tmp_path / "kubeconfig").chmod(0o644)
        cluster = Cluster(day, tmp_path, kubernetes, stack)
        kubernetes.on_create = cluster.operate
        yield cluster


def monitoring(cluster: Cluster) -> dict[str, Any]:
    (row,) = cluster.day.monitoring()
    return row


def test_launcher_follows_its_run_to_the_end(cluster: Cluster) -> None:
    with cluster.launcher() as launcher:
        ended = cluster.ended(launcher)
    assert ended.code == 0, ended.log
    assert "partition 20261120: published" in ended.log
    assert "WARNING" not in ended.log  # a healthy start
    assert monitoring(cluster)["status"] == "success"


def test_stopped_launcher_is_replaced_by_another(cluster: Cluster) -> None:
    with cluster.launcher() as launcher:
        wait_until(lambda: f"{NAME}: RUNNING" in launcher.logs("launcher"), 240, "the job", [launcher])
        asked = time.monotonic()
        launcher.kill("launcher", "TERM")
        stopped = cluster.ended(launcher)
        took = time.monotonic() - asked
    assert stopped.code == 4
    assert "it goes on" in stopped.log.splitlines()[-1]
    assert took < 15  # two seconds by design, and whatever podman takes to see it on a busy machine
    (run,) = wait_until(lambda: cluster.deployments, 60, "the pods")
    run.wait_for("FINISHED")
    wait_until(
        lambda: cluster.kubernetes.deployments[NAME]["status"]["jobStatus"]["state"] == "FINISHED", 60, "the state"
    )
    with cluster.launcher() as another:
        ended = cluster.ended(another)
    assert ended.code == 0, ended.log
    assert "partition 20261120: published" in ended.log
    assert monitoring(cluster)["status"] == "success"
