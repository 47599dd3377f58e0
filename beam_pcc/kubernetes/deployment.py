"""One run as a FlinkDeployment: the template and the settings of a namespace in, the resource to be created out.

Pure: knows nothing of the Kubernetes API. The template is a whole manifest (k8s/flink-operator/base/template); what is
filled in is listed in `render`, and everything else stays as the template says.
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
    """Who submitted which run, when: written on the FlinkDeployment, and read back from it."""

    run_id: str
    partition: dt.date
    by: str
    at: dt.datetime

    @property
    def name(self) -> str:
        """The FlinkDeployment's: one a partition, so that creating it twice is refused; that is the lock."""
        return deployment_name(self.partition)

    def annotations(self) -> dict[str, str]:
        """As they stand on the resource."""
        values = {"run-id": self.run_id, "submitted-by": self.by, "submitted-at": self.at.isoformat()}
        return {_ANNOTATION + name: value for name, value in values.items()}

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> Submission | None:
        """Inverse of `annotations`; None if the resource was not made by `render`."""
        metadata = deployment["metadata"]
        given = metadata.get("annotations") or {}
        try:
            return cls(
                given[f"{_ANNOTATION}run-id"],
                dt.datetime.strptime(metadata["name"], "pcc-%Y%m%d").date(),
                given[f"{_ANNOTATION}submitted-by"],
                dt.datetime.fromisoformat(given[f"{_ANNOTATION}submitted-at"]),
            )
        except (KeyError, ValueError):
            return None


def deployment_name(partition: dt.date) -> str:
    """pcc-YYYYMMDD."""
    return f"pcc-{partition:%Y%m%d}"


def run_arguments(config: Mapping[str, str], given: Sequence[str] = ()) -> list[str]:
    """The flags of the run: those of `config` (run.NAME -> --NAME=VALUE), then `given` ones, which win.

    An empty or `false` value leaves the flag out; `true` is a flag without a value.
    """
    found = []
    for name, value in sorted(config.items()):
        if name.startswith(_RUN) and value.strip().lower() not in ("", "false"):
            flag = f"--{name.removeprefix(_RUN)}"
            found.append(flag if value.strip().lower() == "true" else f"{flag}={value.strip()}")
    return [*found, *given]


def run_settings(arguments: Sequence[str], partition: dt.date) -> tuple[RunConfig, list[str]]:
    """The settings that these flags mean, and the flags that are Beam's. Raises ConfigurationError as `run` does."""
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

    Filled in are: name, labels and annotations; the image of Flink and of every container that has the template's; the
    arguments of the initContainer that writes the job jar; parallelism, TaskManagers, slots; CPU and memory of
    JobManager, TaskManager and Python workers.

    Raises:
        ConfigurationError: The template or the ConfigMap lacks something; it says what.
    """
    made: Resource = json.loads(json.dumps(template))  # a copy in which nothing is shared, as by YAML anchors
    try:
        _fill_in(made, config, arguments, submission)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        what = f" at {error}" if isinstance(error, KeyError) else ""
        raise ConfigurationError(
            f"ConfigMap {TEMPLATE}: {TEMPLATE_FILE} is not the template of this version{what}; deploy again"
        ) from None
    return made


def _fill_in(made: Resource, config: Mapping[str, str], arguments: Sequence[str], submission: Submission) -> None:
    spec, image = made["spec"], text(config, "image")
    managers, slots = whole(config, "flink.task_managers"), whole(config, "flink.slots")
    metadata = made["metadata"]
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
        f"--run_id={submission.run_id}",  # tells the start, too
        f"--parallelism={managers * slots}",
        f"--sdk_worker_parallelism={slots}",  # Python processes of each TaskManager
    ]
    spec["job"]["parallelism"] = managers * slots
    spec["taskManager"]["replicas"] = managers
    spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] = str(slots)
    for part, prefix in (("jobManager", "flink.job_manager"), ("taskManager", "flink.task_manager")):
        spec[part]["resource"].update(cpu=number(config, f"{prefix}_cpu"), memory=text(config, f"{prefix}_memory"))
    workers = next(c for c in spec["taskManager"]["podTemplate"]["spec"]["containers"] if c["name"] == WORKERS)
    size = {"cpu": text(config, "flink.workers_cpu"), "memory": text(config, "flink.workers_memory")}
    workers["resources"] = {"requests": dict(size), "limits": dict(size)}


def containers(spec: Mapping[str, Any]) -> Iterator[Resource]:
    """Every container and initContainer of a FlinkDeployment's pod templates."""
    for holder in (spec, spec["jobManager"], spec["taskManager"]):
        pod = holder.get("podTemplate", {}).get("spec", {})
        for kind in ("initContainers", "containers"):
            yield from pod.get(kind, [])


def text(config: Mapping[str, str], name: str) -> str:
    """A value of the ConfigMap. Raises ConfigurationError if it is not there."""
    value = config.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"ConfigMap {CONFIG} lacks {name}; add it to the overlay and deploy again")
    return value


def whole(config: Mapping[str, str], name: str, *, least: int = 1) -> int:
    """A whole number of the ConfigMap, at least `least`. Raises ConfigurationError."""
    value = text(config, name)
    if not value.isdecimal() or int(value) < least:
        raise ConfigurationError(f"ConfigMap {CONFIG}: {name} is '{value}': use a whole number from {least}")
    return int(value)


def number(config: Mapping[str, str], name: str, *, usual: float | None = None) -> float:
    """A number of the ConfigMap, above 0; `usual` where it has none. Raises ConfigurationError."""
    if usual is not None and not config.get(name, "").strip():
        return usual
    value = text(config, name)
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise ConfigurationError(f"ConfigMap {CONFIG}: {name} is '{value}': use a number above 0")
    return found
