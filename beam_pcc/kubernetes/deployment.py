"""Renders the FlinkDeployment of a run from a template and the settings of a namespace.

Pure functions, which do not call the Kubernetes API. The template is a complete manifest
(k8s/flink-operator/base/template). `render` lists the fields that it sets and leaves all others unchanged.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc.config.settings import RunConfig, add_run_arguments
from beam_pcc.errors import ConfigurationError

Resource = dict[str, Any]

CONFIG = "pcc-config"
TEMPLATE = "pcc-template"
TEMPLATE_FILE = "flinkdeployment.yaml"
JOB_JAR = "job-jar"  # the JobManager's initContainer that writes the job jar
WORKERS = "python-workers"  # the TaskManager's sidecar
_RUN = "run."
_ANNOTATION = "beam-pcc/"


@dataclass(frozen=True)
class Submission:
    """Who submitted which run and when; stored in annotations of the FlinkDeployment."""

    run_id: str
    partition: dt.date
    by: str
    at: dt.datetime

    @property
    def name(self) -> str:
        """The FlinkDeployment's name. One per partition: Kubernetes refuses a second one, which serves as the lock."""
        return deployment_name(self.partition)

    def annotations(self) -> dict[str, str]:
        """The annotations of the resource."""
        values = {"run-id": self.run_id, "submitted-by": self.by, "submitted-at": self.at.isoformat()}
        return {_ANNOTATION + name: value for name, value in values.items()}

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> Submission | None:
        """Inverse of `annotations`; None if `render` did not create the resource."""
        metadata = deployment["metadata"]
        annotations = metadata.get("annotations") or {}
        try:
            return cls(
                annotations[f"{_ANNOTATION}run-id"],
                dt.datetime.strptime(metadata["name"], "pcc-%Y%m%d").date(),
                annotations[f"{_ANNOTATION}submitted-by"],
                dt.datetime.fromisoformat(annotations[f"{_ANNOTATION}submitted-at"]),
            )
        except (KeyError, ValueError):
            return None


def deployment_name(partition: dt.date) -> str:
    """pcc-YYYYMMDD."""
    return f"pcc-{partition:%Y%m%d}"


def run_arguments(config: Mapping[str, str], overrides: Sequence[str] = ()) -> list[str]:
    """The arguments of `beam-pcc run`: those of `config` (run.NAME -> --NAME=VALUE), then `overrides`, which win.

    An empty or `false` value omits the flag; `true` becomes a flag without a value.
    """
    arguments = []
    for name, value in sorted(config.items()):
        if name.startswith(_RUN) and value.strip().lower() not in ("", "false"):
            flag = f"--{name.removeprefix(_RUN)}"
            arguments.append(flag if value.strip().lower() == "true" else f"{flag}={value.strip()}")
    return [*arguments, *overrides]


def run_settings(arguments: Sequence[str], partition: dt.date) -> tuple[RunConfig, list[str]]:
    """Parse the settings of a run; also returns the arguments for Beam. Raises ConfigurationError as `run` does."""
    parser = argparse.ArgumentParser(prog="beam-pcc run", allow_abbrev=False, exit_on_error=False)
    add_run_arguments(parser)
    try:
        flags, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigurationError(f"{error}; see beam-pcc run --help") from None
    return RunConfig.from_flags(flags, partition=partition, environment={}), rest


def render(
    template: Mapping[str, Any], config: Mapping[str, str], arguments: Sequence[str], submission: Submission
) -> Resource:
    """The FlinkDeployment of a run.

    Sets the name, labels and annotations; the image of Flink and of every container that uses the template's image;
    the arguments of the initContainer that writes the job jar; parallelism, TaskManagers and slots; CPU and memory of
    JobManager, TaskManager and Python workers.

    Raises:
        ConfigurationError: The template or the ConfigMap lacks a field; the message names it.
    """
    deployment: Resource = json.loads(json.dumps(template))  # a deep copy that also separates shared YAML anchors
    try:
        _set_fields(deployment, config, arguments, submission)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        what = f" at {error}" if isinstance(error, KeyError) else ""
        raise ConfigurationError(
            f"ConfigMap {TEMPLATE}: {TEMPLATE_FILE} is not the template of this version{what}; deploy again"
        ) from None
    return deployment


def _set_fields(
    deployment: Resource, config: Mapping[str, str], arguments: Sequence[str], submission: Submission
) -> None:
    spec, image = deployment["spec"], text(config, "image")
    managers, slots = integer(config, "flink.task_managers"), integer(config, "flink.slots")
    metadata = deployment["metadata"]
    metadata["name"] = submission.name
    metadata["labels"] = {
        **metadata.get("labels", {}),
        "beam-pcc/partition": f"{submission.partition:%Y%m%d}",
        "beam-pcc/run-id": submission.run_id,
    }
    metadata["annotations"] = {**metadata.get("annotations", {}), **submission.annotations()}

    original = spec["image"]
    spec["image"] = image
    for container in containers(spec):
        if container.get("image") == original:
            container["image"] = image

    job_jar = next(c for c in spec["jobManager"]["podTemplate"]["spec"]["initContainers"] if c["name"] == JOB_JAR)
    job_jar["args"] += [
        f"--partition={submission.partition:%Y%m%d}",
        *arguments,
        f"--run_id={submission.run_id}",  # contains the start time
        f"--parallelism={managers * slots}",
        f"--sdk_worker_parallelism={slots}",  # Python processes of each TaskManager
    ]
    spec["job"]["parallelism"] = managers * slots
    spec["taskManager"]["replicas"] = managers
    spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] = str(slots)
    for part, prefix in (("jobManager", "flink.job_manager"), ("taskManager", "flink.task_manager")):
        spec[part]["resource"].update(cpu=number(config, f"{prefix}_cpu"), memory=text(config, f"{prefix}_memory"))
    workers = next(c for c in spec["taskManager"]["podTemplate"]["spec"]["containers"] if c["name"] == WORKERS)
    workers["command"].append(f"--slots={slots}")
    size = {"cpu": text(config, "flink.workers_cpu"), "memory": text(config, "flink.workers_memory")}
    workers["resources"] = {"requests": dict(size), "limits": dict(size)}


def containers(spec: Mapping[str, Any]) -> Iterator[Resource]:
    """Every container and initContainer of a FlinkDeployment's pod templates."""
    for holder in (spec, spec["jobManager"], spec["taskManager"]):
        pod = holder.get("podTemplate", {}).get("spec", {})
        for field in ("initContainers", "containers"):
            yield from pod.get(field, [])


def text(config: Mapping[str, str], name: str) -> str:
    """A value of the ConfigMap. Raises ConfigurationError if it is missing."""
    value = config.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"ConfigMap {CONFIG} lacks {name}; add it to the overlay and deploy again")
    return value


def integer(config: Mapping[str, str], name: str, *, minimum: int = 1) -> int:
    """An integer of the ConfigMap, at least `minimum`. Raises ConfigurationError."""
    value = text(config, name)
    if not value.isdecimal() or int(value) < minimum:
        raise ConfigurationError(f"ConfigMap {CONFIG}: {name} is '{value}': use a whole number from {minimum}")
    return int(value)


def number(config: Mapping[str, str], name: str, *, default: float | None = None) -> float:
    """A number of the ConfigMap, above 0; `default` if it is missing. Raises ConfigurationError."""
    if default is not None and not config.get(name, "").strip():
        return default
    value = text(config, name)
    try:
        parsed = float(value)
    except ValueError:
        parsed = 0.0
    if not 0 < parsed < 1e6:
        raise ConfigurationError(f"ConfigMap {CONFIG}: {name} is '{value}': use a number above 0")
    return parsed
