"""Plays the Flink operator: creates the pods of JobManager and TaskManagers from a FlinkDeployment.

It starts the containers as operator 1.15 does (`/docker-entrypoint.sh standalone-job ...`, `... taskmanager`, Flink's
configuration at /opt/flink/conf), and reads the job's state from Flink's REST API.
"""

from __future__ import annotations

import copy
import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.containers.network import Network
from tests.containers.pods import ContainerExit, Pod, Surroundings, wait_until
from tests.manifests.rendered import pods as merged_pods

_CONF = {"name": "flink-config-volume", "mountPath": "/opt/flink/conf", "readOnly": True}


@dataclass
class Deployment:
    """The pods of one FlinkDeployment."""

    job_manager: Pod
    task_managers: list[Pod]
    network: Network

    @property
    def pods(self) -> list[Pod]:
        return [self.job_manager, *self.task_managers]

    @property
    def ended(self) -> list[ContainerExit]:
        """Every container that ended so far, but for the initContainer."""
        return [ended for pod in self.pods for ended in pod.ended if ended.container != "job-jar"]

    def get(self, path: str) -> Any:
        """Flink's REST API, as the operator and the launcher ask it."""
        with self.network.inside():
            address = f"http://{self.job_manager.host.address}:8081/v1{path}"
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)

    def job(self) -> str:
        """The job's state; empty while there is none, or no JobManager."""
        try:
            jobs = self.get("/jobs/overview")["jobs"]
        except (OSError, ValueError):
            return ""
        return str(jobs[0]["state"]) if jobs else ""

    def wait_for(self, state: str, seconds: float = 240.0) -> None:
        """Wait for the job to be in that state; one that ended otherwise is an error at once."""

        def there() -> bool:
            now = self.job()
            assert now == state or now not in ("FINISHED", "FAILED", "CANCELED"), f"{now}: {self.failure()}"
            return now == state

        wait_until(there, seconds, f"job {state}", self.pods)

    def failure(self) -> str:
        """Why the job failed, as Flink says it."""
        (job,) = self.get("/jobs/overview")["jobs"]
        return str(self.get(f"/jobs/{job['jid']}/exceptions").get("root-exception"))

    def start(self) -> None:
        """Start the pods, the JobManager's first: its initContainer may find that nothing can run."""
        for pod in self.pods:
            pod.start()


@contextmanager
def deployed(resource: Mapping[str, Any], network: Network, folder: Path, around: Surroundings) -> Iterator[Deployment]:
    """The pods of a FlinkDeployment, not started yet; ended when the context is."""
    name, spec = resource["metadata"]["name"], resource["spec"]
    pods = merged_pods(copy.deepcopy(dict(resource)))
    host = network.host()
    # The template has no namespace: the API server sets the launcher's.
    service = f"{name}.{resource['metadata'].get('namespace', 'pcc-system')}"
    around = replace(
        around,
        hosts={**around.hosts, service: host.address, f"{name}-rest": host.address},
        files={**around.files, "flink-config": _configuration(resource, service)},
    )
    entry = spec["job"]["entryClass"] if "job" in spec else None
    commands = {
        "jobManager": ["standalone-job", "--job-classname", entry] if entry else ["jobmanager"],
        "taskManager": ["taskmanager"],
    }
    for part, pod in pods.items():
        main = next(c for c in pod["spec"]["containers"] if c["name"] == "flink-main-container")
        main |= {"command": ["/docker-entrypoint.sh"], "args": commands[part]}
        main["volumeMounts"] = [*main["volumeMounts"], _CONF]
        pod["spec"]["volumes"] = [
            *pod["spec"]["volumes"],
            {"name": _CONF["name"], "configMap": {"name": "flink-config"}},
        ]
    unique = f"{name}-{host.namespace.name}"
    job_manager = Pod(f"{unique}-jm", pods["jobManager"]["spec"], host, folder / "jm", around)
    task_managers = [
        Pod(f"{unique}-tm{n}", pods["taskManager"]["spec"], network.host(), folder / f"tm{n}", around)
        for n in range(spec["taskManager"]["replicas"])
    ]
    deployment = Deployment(job_manager, task_managers, network)
    try:
        yield deployment
    finally:
        for pod in deployment.pods:
            pod.close()


def _configuration(resource: Mapping[str, Any], service: str) -> dict[str, str]:
    spec = resource["spec"]
    settings = {
        **spec["flinkConfiguration"],
        "jobmanager.rpc.address": service,
        "jobmanager.rpc.port": "6123",
        "blob.server.port": "6124",
        "rest.port": "8081",
        "jobmanager.memory.process.size": spec["jobManager"]["resource"]["memory"],
        "taskmanager.memory.process.size": spec["taskManager"]["resource"]["memory"],
        "parallelism.default": str(spec.get("job", {}).get("parallelism", 1)),
        "execution.shutdown-on-application-finish": "false",  # the operator reads the state, then ends the pods
    }
    return {"config.yaml": yaml.safe_dump(settings), "log4j-console.properties": _LOGGING}


_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""
