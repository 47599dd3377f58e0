"""Translates a pod's spec to podman's arguments, and plays the kubelet: start, probe, restart.

What runs is what the template says. A field that is not translated is an error, so that none is left out by mistake.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.containers.engine import podman
from tests.containers.network import Host

Spec = Mapping[str, Any]
# Of no effect on a container: for the API server, the scheduler, a Service; or read elsewhere in this module.
_OF_OTHERS = {
    "pod": {"automountServiceAccountToken", "enableServiceLinks", "serviceAccountName", "containers", "initContainers"}
    | {"volumes", "securityContext", "restartPolicy", "terminationGracePeriodSeconds"},
    "container": {"name", "imagePullPolicy", "ports", "terminationMessagePolicy", "terminationMessagePath"}
    | {"startupProbe", "readinessProbe", "livenessProbe"},  # the kubelet's, below
}
_SECONDS_BETWEEN_RESTARTS = (0.0, 10.0, 20.0, 40.0)  # as the kubelet waits
_LOOK = 0.3


@dataclass(frozen=True)
class Surroundings:
    """What a pod gets from its cluster, and not from its spec.

    Attributes:
        images: Name of an image in the spec to the one that stands for it.
        hosts: Names that DNS would know.
        files: Name of a ConfigMap or Secret to its files.
        environment: For every container that runs Python: where the emulators are.
        mounts: For the same: what lies where, of the emulators.
        fields: Of the pod's metadata, that its environment asks for.
    """

    images: Mapping[str, str]
    hosts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[Path, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


def arguments(pod: Spec, container: Spec, volumes: Mapping[str, Path], around: Surroundings, host: Host) -> list[str]:
    """`podman run` for a container of a pod, without its name. Raises ValueError for a field that it does not know."""
    _refuse_unknown("pod", pod, {"securityContext"})
    name = host.namespace.name
    arguments = [f"--network=ns:{host.namespace}", f"--hostname={name}", f"--add-host={name}:{host.address}"]
    arguments += [f"--add-host={name}:{address}" for name, address in around.hosts.items()]
    arguments += _security_of_pod(pod.get("securityContext", {}))
    command: list[str] = []
    for name, value in container.items():
        if name == "image":
            continue
        if name == "securityContext":
            arguments += _security_of_container(value)
        elif name == "workingDir":
            arguments.append(f"--workdir={value}")
        elif name == "env":
            arguments += [f"--env={one['name']}={_value(one, around.fields)}" for one in value]
        elif name == "resources":
            arguments += _limits(value)
        elif name == "volumeMounts":
            arguments += [_mount(one, volumes) for one in value]
        elif name == "command":
            arguments.append(f"--entrypoint={json.dumps(list(value))}")
        elif name == "args":
            command = list(value)
        elif name not in _OF_OTHERS["container"]:
            raise ValueError(f"container {container['name']}: {name} is not translated for podman")
    if any(one["name"] == "GOOGLE_APPLICATION_CREDENTIALS" for one in container.get("env", [])):
        arguments += [f"--env={name}={value}" for name, value in around.environment.items()]
        arguments += [f"--volume={source}:{target}:ro" for source, target in around.mounts.items()]
    return [*arguments, around.images[container["image"]], *command]


def _value(variable: Spec, fields: Mapping[str, str]) -> str:
    """Of an environment variable, also of one that the downward API fills in."""
    if "valueFrom" in variable:
        return fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
    return str(variable["value"])


def _refuse_unknown(kind: str, spec: Spec, known: set[str]) -> None:
    unknown = set(spec) - _OF_OTHERS[kind] - known
    if unknown:
        raise ValueError(f"{kind}: {', '.join(sorted(unknown))} is not translated for podman")


def _security_of_pod(security: Spec) -> list[str]:
    known = {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile"}
    if set(security) - known:
        raise ValueError(f"securityContext of the pod: {sorted(set(security) - known)} is not translated for podman")
    arguments = [f"--user={security['runAsUser']}:{security['runAsGroup']}"]
    if "fsGroup" in security:
        arguments.append(f"--group-add={security['fsGroup']}")
    assert security.get("seccompProfile", {}).get("type", "RuntimeDefault") == "RuntimeDefault"  # podman's own default
    return arguments


def _security_of_container(security: Spec) -> list[str]:
    arguments = [f"--cap-drop={name}" for name in security.get("capabilities", {}).get("drop", [])]
    if security.get("readOnlyRootFilesystem"):
        arguments += ["--read-only", "--read-only-tmpfs=false"]
    if security.get("allowPrivilegeEscalation") is False:
        arguments.append("--security-opt=no-new-privileges")
    assert not security.get("privileged")
    known = {"capabilities", "readOnlyRootFilesystem", "allowPrivilegeEscalation", "privileged"}
    if set(security) - known:
        raise ValueError(f"securityContext: {sorted(set(security) - known)} is not translated for podman")
    return arguments


def _limits(resources: Spec) -> list[str]:
    limits = resources.get("limits", {})
    memory = int(quantity(limits["memory"]))
    return [
        f"--memory={memory}",
        f"--memory-swap={memory}",
        f"--cpus={min(quantity(limits['cpu']), os.cpu_count() or 1)}",
    ]


def quantity(text: str | float) -> float:
    """Kubernetes' 500m, 2Gi, 1 as a number."""
    number, unit = re.fullmatch(r"([\d.]+)(m|Ki|Mi|Gi)?", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, None: 1.0}[unit]


def _mount(mount: Spec, volumes: Mapping[str, Path]) -> str:
    unknown = set(mount) - {"name", "mountPath", "readOnly", "subPath"}
    if unknown:
        raise ValueError(f"volumeMount {mount['name']}: {sorted(unknown)} is not translated for podman")
    source = volumes[mount["name"]] / mount.get("subPath", "")
    return f"--volume={source}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"


def make_volumes(pod: Spec, folder: Path, files: Mapping[str, Mapping[str, str]]) -> dict[str, Path]:
    """The pod's volumes as folders: an emptyDir that anybody may write, a projection that nobody may."""
    folders = {}
    for volume in pod.get("volumes", []):
        path = folders[volume["name"]] = folder / volume["name"]
        path.mkdir(parents=True)
        path.chmod(0o1777)
        sources = volume.get("projected", {}).get("sources", [])
        sources += [{"configMap": volume["configMap"]}] if "configMap" in volume else []
        for source in sources:
            named = source.get("configMap") or source.get("secret")
            if not named:
                continue  # a token of the service account: only Google would read it
            name = named.get("name") or named["secretName"]
            for file, text in files.get(name, {}).items():
                (path / file).write_text(text)
            assert name in files or named.get("optional"), f"{name} is not there"
        if not sources:
            assert "emptyDir" in volume, f"volume {volume['name']} is not translated"
    return folders


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended: its exit code, whether it ran out of memory, and its last log lines."""

    container: str
    code: int
    out_of_memory: bool
    log: str


class Pod:
    """A pod, until `close`. A container that ends is started again, as the kubelet does for a Deployment's pods."""

    def __init__(
        self,
        name: str,
        spec: Spec,
        host: Host,
        folder: Path,
        around: Surroundings,
        *,
        restart: bool = True,
    ) -> None:
        self.name = name
        self.host = host
        self.ended: list[ContainerExit] = []
        self.error: Exception | None = None  # why a container could not even be started
        self._spec = spec
        self._around = around
        self._restart = restart
        self._closing = threading.Event()
        self._volumes = make_volumes(spec, folder, around.files)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Run the initContainers one after another, and start the others."""
        for container in self._spec.get("initContainers", []):
            ended = self.run(container)
            self.ended.append(ended)
            if ended.code != 0:
                raise RuntimeError(f"{self.name}: {container['name']} ended with {ended.code}:\n{ended.log}")
        for container in self._spec["containers"]:
            thread = threading.Thread(target=self._keep, args=(container,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def run(self, container: Spec) -> ContainerExit:
        """Run one container to its end."""
        self._start(container)
        return self._wait(container, watch=None)

    @property
    def containers(self) -> list[str]:
        """Their names, without the initContainers."""
        return [str(container["name"]) for container in self._spec["containers"]]

    def full_name(self, container: str) -> str:
        """The container's name at podman."""
        return f"{self.name}-{container}"

    def execute(self, container: str, *command: str, check: bool = True) -> str:
        """What a command prints in a container that runs."""
        return podman("exec", self.full_name(container), *command, check=check).stdout

    def logs(self, container: str) -> str:
        """All that the container's present life wrote."""
        done = podman("logs", self.full_name(container), check=False)
        return done.stdout + done.stderr

    def kill(self, container: str, signal: str = "KILL") -> None:
        """Send a signal to the container's first process."""
        podman("kill", f"--signal={signal}", self.full_name(container))

    def close(self) -> None:
        """End every container at once."""
        self._closing.set()
        names = [self.full_name(c["name"]) for c in [*self._spec.get("initContainers", []), *self._spec["containers"]]]
        podman("rm", "--force", "--time=0", "--ignore", *names, check=False)
        for thread in self._threads:
            thread.join(30)

    def _start(self, container: Spec) -> None:
        name = self.full_name(container["name"])
        podman("rm", "--force", "--time=0", "--ignore", name)
        podman(
            "run",
            "--detach",
            f"--name={name}",
            *arguments(self._spec, container, self._volumes, self._around, self.host),
        )

    def _keep(self, container: Spec) -> None:
        tries = 0
        while not self._closing.is_set():
            try:
                self._start(container)
                ended = self._wait(container, self._probes(container))
            except Exception as error:
                self.error = None if self._closing.is_set() else error
                return
            if self._closing.is_set():
                return
            self.ended.append(ended)
            if not self._restart:
                return
            self._closing.wait(_SECONDS_BETWEEN_RESTARTS[min(tries, len(_SECONDS_BETWEEN_RESTARTS) - 1)])
            tries += 1

    def _wait(self, container: Spec, watch: Callable[[], bool] | None) -> ContainerExit:
        name = self.full_name(container["name"])
        while not self._closing.is_set():
            state = json.loads(podman("inspect", "--format={{json .State}}", name).stdout)
            if state["Status"] in ("exited", "stopped"):
                lines = self.logs(container["name"]).rstrip().splitlines()[-100:]
                return ContainerExit(
                    container["name"], int(state["ExitCode"]), bool(state["OOMKilled"]), "\n".join(lines)
                )
            if watch is not None and not watch():
                podman("stop", "--time=10", name, check=False)
            time.sleep(_LOOK)
        return ContainerExit(container["name"], -1, False, "the test ended")

    def _probes(self, container: Spec) -> Callable[[], bool]:
        """Asks startup and then liveness probe when they are due; False once one has failed as often as it may."""
        pending = [container[kind] for kind in ("startupProbe", "livenessProbe") if kind in container]
        failures, due = 0, time.monotonic()

        def alive() -> bool:
            nonlocal failures, due
            if not pending or time.monotonic() < due:
                return True
            probe = pending[0]
            due = time.monotonic() + float(probe.get("periodSeconds", 10))
            name, command = self.full_name(container["name"]), probe["exec"]["command"]
            failures = 0 if podman("exec", name, *command, check=False).returncode == 0 else failures + 1
            if failures == 0 and len(pending) > 1:
                pending.pop(0)  # it has started: from now on it has to stay alive
            return failures < int(probe.get("failureThreshold", 3))

        return alive


def wait_until(condition: Callable[[], Any], seconds: float, what: str, pods: Sequence[Pod] = ()) -> Any:
    """Wait for a true result of `condition` and return it; a timeout raises with the logs of the pods."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        for pod in pods:
            if pod.error:
                raise pod.error
        if time.monotonic() > deadline:
            logs = "\n".join(
                f"--- {pod.name} {c['name']}\n{pod.logs(c['name'])[-3000:]}"
                for pod in pods
                for c in pod._spec["containers"]
            )
            raise AssertionError(f"{what} did not happen within {seconds:g} s\n{logs}")
        time.sleep(0.3)
    return value
