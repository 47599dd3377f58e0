"""What is deployed, as data: overlays rendered, the FlinkDeployment of a run, the pods that the operator creates."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from beam_pcc.kubernetes.deployment import Submission, render, run_arguments
from beam_pcc.kubernetes.plan import Manifests, plan
from tests.manifests.tools import kustomize

Resource = dict[str, Any]
OVERLAYS = ("dev", "prod")
NAMESPACES = {"dev": "pcc-dev", "prod": "pcc-system"}
DAY = dt.date(2026, 11, 20)
# The same safe loader, in C where PyYAML has it: ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def text(folder: str) -> str:
    return kustomize(folder)


def resources(overlay: str) -> list[Resource]:
    return [one for one in yaml.load_all(text(f"overlays/{overlay}"), Loader=LOADER) if one]


def one(overlay: str, kind: str, name: str) -> Resource:
    matching = [r for r in resources(overlay) if r["kind"] == kind and r["metadata"]["name"] == name]
    assert len(matching) == 1, f"{kind} {name}: {len(matching)}"
    return matching[0]


@functools.cache
def _manifests(overlay: str) -> Manifests:
    return manifests_of(resources(overlay))


def manifests_of(resources: list[Resource]) -> Manifests:
    """What the launcher reads of these resources."""
    maps = {r["metadata"]["name"]: r["data"] for r in resources if r["kind"] == "ConfigMap"}
    return Manifests(maps["pcc-config"], yaml.safe_load(maps["pcc-template"]["flinkdeployment.yaml"]))


def run(overlay: str, *flags: str) -> Resource:
    """The FlinkDeployment that the launcher creates."""
    return plan(_manifests(overlay), flags, DAY).resource


def run_of(resources: list[Resource]) -> Resource:
    """The FlinkDeployment that the launcher creates from other resources than an overlay's own.

    Unlike `run` it looks at no file that a flag names: what is mounted in a pod is not here.
    """
    manifests = manifests_of(resources)
    submission = Submission("20261120-run", DAY, "test", dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc))
    return render(manifests.template, manifests.config, run_arguments(manifests.config), submission)


def merged(into: Any, of: Any) -> Any:
    """As the operator merges pod templates with kubernetes.operator.pod-template.merge-arrays-by-name: true."""
    if isinstance(into, dict) and isinstance(of, dict):
        return {key: merged(into[key], of[key]) if key in into and key in of else (into | of)[key] for key in into | of}
    if (
        isinstance(into, list)
        and isinstance(of, list)
        and all("name" in x for x in [*into, *of] if isinstance(x, dict))
    ):
        if not all(isinstance(x, dict) for x in [*into, *of]):
            return of
        names = list(dict.fromkeys(x["name"] for x in [*into, *of]))
        both = {x["name"]: x for x in into}, {x["name"]: x for x in of}
        return [
            merged(both[0][n], both[1][n]) if all(n in side for side in both) else both[n in both[1]][n] for n in names
        ]
    return of


def pods(deployment: Resource) -> dict[str, Resource]:
    """JobManager's and TaskManager's pod, with the image and resources that the operator gives the main container."""
    spec = deployment["spec"]
    templates = {}
    for part in ("jobManager", "taskManager"):
        pod: Resource = copy.deepcopy(merged(spec.get("podTemplate", {}), spec[part].get("podTemplate", {})))
        main = next(c for c in pod["spec"]["containers"] if c["name"] == "flink-main-container")
        size = {"cpu": str(spec[part]["resource"]["cpu"]), "memory": kubernetes_size(spec[part]["resource"]["memory"])}
        main |= {"image": spec["image"], "resources": {"requests": size, "limits": size}}
        pod["spec"]["serviceAccountName"] = spec["serviceAccount"]
        pod["metadata"]["name"] = f"{deployment['metadata']['name']}-{part.lower()}"
        templates[part] = pod
    return templates


def kubernetes_size(memory: str) -> str:
    """Flink's 2g and 1600m as Kubernetes writes them."""
    return {"g": f"{memory[:-1]}Gi", "m": f"{memory[:-1]}Mi"}.get(memory[-1], memory)


def all_pods(overlay: str) -> dict[str, Resource]:
    """Every pod that can come of an overlay, by name, in the overlay's namespace."""
    templates = {f"run {part}": pod for part, pod in pods(run(overlay)).items()}
    for r in resources(overlay):
        if r["kind"] == "FlinkDeployment":
            templates |= {f"{r['metadata']['name']} {part}": pod for part, pod in pods(r).items()}
        if r["kind"] == "CronJob":
            templates[r["metadata"]["name"]] = copy.deepcopy(r["spec"]["jobTemplate"]["spec"]["template"])
    for pod in templates.values():
        pod["metadata"]["namespace"] = NAMESPACES[overlay]
    return templates


Amounts = dict[str, float]
QUOTA = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def quantity(text: str) -> float:
    """A Kubernetes quantity in cores or bytes."""
    match = re.fullmatch(r"([\d.]+)(m|Ki|Mi|Gi)?", text)
    assert match, text
    units = {None: 1.0, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
    return float(match[1]) * units[match[2]]


def pod_amounts(pod: Resource) -> Amounts:
    """What a quota counts for one pod: all containers together, or the largest initContainer if that is more."""

    def amount(container: Resource, name: str) -> float:
        side, resource = name.split(".")
        return quantity(container["resources"][side][resource])

    spec = pod["spec"]
    return {
        name: max(
            sum(amount(c, name) for c in spec["containers"]),
            max((amount(c, name) for c in spec.get("initContainers", [])), default=0.0),
        )
        for name in QUOTA
    } | {"pods": 1.0}


def deployment_amounts(deployment: Resource) -> Amounts:
    """What a quota counts for the pods of a FlinkDeployment, with every replica."""
    spec = deployment["spec"]
    return total(
        amounts for part, pod in pods(deployment).items() for amounts in [pod_amounts(pod)] * spec[part]["replicas"]
    )


def total(several: Iterable[Amounts]) -> Amounts:
    """The sum, name by name."""
    summed: Counter[str] = Counter()
    for amounts in several:
        summed.update(amounts)  # type: ignore[arg-type]  # Counter adds floats as well
    return dict(summed)


@dataclass(frozen=True)
class Commands:
    """What a run's containers execute: arguments, the environment that the manifest sets, Flink's configuration.

    The configuration lacks the ports: each pod has its own address, but on one machine they are taken only once.
    """

    job_jar: list[str]
    job_jar_environment: dict[str, str]
    job_manager: list[str]
    task_manager: list[str]
    workers: list[str]
    workers_environment: dict[str, str]
    configuration: dict[str, str]


def commands(deployment: Resource) -> Commands:
    """The commands of a rendered FlinkDeployment, to run them without Kubernetes (tests on a local Flink).

    JobManager and TaskManager are as the operator starts them, without its `/docker-entrypoint.sh`:
    docker/entrypoint.sh takes the same arguments.
    """
    templates = pods(deployment)
    job_jar = next(c for c in templates["jobManager"]["spec"]["initContainers"] if c["name"] == "job-jar")
    workers = next(c for c in templates["taskManager"]["spec"]["containers"] if c["name"] == "python-workers")
    spec = deployment["spec"]
    return Commands(
        job_jar=[*job_jar["command"], *job_jar["args"]],
        job_jar_environment={e["name"]: e["value"] for e in job_jar["env"]},
        job_manager=["standalone-job", "--job-classname", spec["job"]["entryClass"]],
        task_manager=["taskmanager"],
        workers=[*workers["command"], *workers.get("args", [])],
        workers_environment={e["name"]: e["value"] for e in workers["env"]},
        configuration={
            **{key: value for key, value in spec["flinkConfiguration"].items() if not key.endswith(".port")},
            "parallelism.default": str(spec["job"]["parallelism"]),
            "jobmanager.memory.process.size": spec["jobManager"]["resource"]["memory"],
            "taskmanager.memory.process.size": spec["taskManager"]["resource"]["memory"],
        },
    )


def crds() -> list[Path]:
    """The operator's CRDs, where they lie beside the project; else none."""
    from tests.manifests.tools import ROOT

    for folder in (ROOT.parent / "shared", ROOT.parent.parent / "shared"):
        files = sorted((folder / "flink-operator-1.15.0").glob("*.yml"))
        if files:
            return files
    return []
