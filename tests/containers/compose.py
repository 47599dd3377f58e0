"""The services of docker-compose.yml, run by podman as the file says, each on a host of the tests' network."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from tests.containers import engine
from tests.containers.engine import ROOT, podman
from tests.containers.network import Host, Network

# Read elsewhere in this module, or of no effect here: the order of starts, ports for a person, profiles.
_OF_COMPOSE = {"image", "build", "profiles", "depends_on", "ports", "healthcheck", "restart", "network_mode"}
_SECONDS = 120.0


class Compose:
    """The services that were brought up.

    Attributes:
        more: Arguments of podman for a service, beside what the file says: a fault that a test wants.
    """

    def __init__(self, network: Network, folder: Path, images: Mapping[str, str]) -> None:
        self._network = network
        self._folder = folder
        self._id = uuid4().hex[:8]
        self._images = images
        self.more: dict[str, list[str]] = {}
        self._services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        own = {name: one for name, one in self._services.items() if "network_mode" not in one}
        self.hosts: dict[str, Host] = {name: network.host() for name in own}
        for name, one in self._services.items():
            if "network_mode" in one:
                self.hosts[name] = self.hosts[one["network_mode"].removeprefix("service:")]

    def full_name(self, service: str) -> str:
        """The container's name at podman."""
        return f"pcc-compose-{self._id}-{service}"

    def start(self, service: str) -> None:
        """Start a service, and wait until it is healthy."""
        self._run(service, "--detach")
        check = self._services[service].get("healthcheck")
        if check:
            self._wait_healthy(service, check["test"][1:])

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a service to its end."""
        return self._run(service, check=False)

    def restart(self, service: str) -> int:
        """What `restart: on-failure` does: start the container again when it has ended badly. Its exit code."""
        assert self._services[service]["restart"] == "on-failure"
        name, deadline = self.full_name(service), time.monotonic() + _SECONDS
        while (state := json.loads(podman("inspect", "--format={{json .State}}", name).stdout))["Running"]:
            assert time.monotonic() < deadline, f"{service} does not end"
            time.sleep(0.3)
        code = int(state["ExitCode"])
        if code:
            podman("start", self.full_name(service))
        return code

    def kill(self, service: str) -> None:
        """End the service's first process by force."""
        podman("kill", self.full_name(service))

    def logs(self, service: str) -> str:
        """What the service wrote."""
        done = podman("logs", self.full_name(service), check=False)
        return done.stdout + done.stderr

    def job(self) -> str:
        """The state of the newest job; empty while there is none."""
        try:
            with self._network.inside():
                address = f"http://{self.hosts['jobmanager'].address}:8081/v1/jobs/overview"
                with urllib.request.urlopen(address, timeout=10) as answer:
                    jobs = json.load(answer)["jobs"]
        except (OSError, ValueError):
            return ""
        return str(max(jobs, key=lambda job: job["start-time"])["state"]) if jobs else ""

    def remove(self, *services: str) -> None:
        """End these services' containers, and forget what a test wanted of them."""
        podman("rm", "--force", "--time=0", "--ignore", *map(self.full_name, services), check=False)
        self.more.clear()

    def close(self) -> None:
        """End every container."""
        self.remove(*self._services)

    def _run(self, name: str, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return podman("run", *more, f"--name={self.full_name(name)}", *self._arguments(name), check=check)

    def _arguments(self, name: str) -> list[str]:
        service = self._services[name]
        host = self.hosts[name]
        own = next(one for one, there in self.hosts.items() if there is host)
        arguments = [f"--network=ns:{host.namespace}", f"--hostname={own}"]
        arguments += [f"--add-host={other}:{host.address}" for other, host in self.hosts.items()]
        command: list[str] = []
        for key, value in service.items():
            if key == "command":
                command = [word.replace("$$", "$") for word in value]
            elif key == "environment":
                arguments += [f"--env={variable}={text}" for variable, text in value.items()]
            elif key == "volumes":
                arguments += [
                    f"--volume={ROOT / source}:{rest}" for source, _, rest in (v.partition(":") for v in value)
                ]
            elif key == "tmpfs":
                arguments += [self._scratch(name, mount) for mount in value]
            elif key == "working_dir":
                arguments.append(f"--workdir={value}")
            elif key == "init":
                arguments += ["--init"] if value else []
            elif key == "read_only":
                arguments += ["--read-only", "--read-only-tmpfs=false"] if value else []
            elif key == "cap_drop":
                arguments += [f"--cap-drop={capability}" for capability in value]
            elif key == "security_opt":
                arguments += [f"--security-opt={option.removesuffix(':true')}" for option in value]
            else:
                assert key in _OF_COMPOSE, f"{name}: {key} is not translated for podman"
        return [*arguments, *self.more.get(name, []), self._images[service["image"]], *command]

    def _scratch(self, name: str, mount: str) -> str:
        """A folder that anybody may write, for a tmpfs: podman 4.3 knows no tmpfs with an owner."""
        path = mount.partition(":")[0]
        folder = self._folder / f"{name}{path.replace('/', '-')}-{uuid4().hex[:8]}"
        folder.mkdir()
        folder.chmod(0o1777)
        return f"--volume={folder}:{path}"

    def _wait_healthy(self, service: str, test: list[str]) -> None:
        name, deadline = self.full_name(service), time.monotonic() + _SECONDS
        while podman("exec", name, *test, check=False).returncode != 0:
            state = json.loads(podman("inspect", "--format={{json .State}}", name).stdout)
            logs = podman("logs", name, check=False)
            assert state["Running"], f"{service} ended:\n{(logs.stdout + logs.stderr)[-3000:]}"
            assert time.monotonic() < deadline, f"{service} is not healthy:\n{(logs.stdout + logs.stderr)[-3000:]}"
            time.sleep(0.5)


@contextmanager
def composed(network: Network, folder: Path, image: str) -> Iterator[Compose]:
    """The file's services with its emulators up and filled; the others are for the test to start."""
    images = {
        "beam-pcc": image,
        "beam-pcc-emulators": engine.compose_image("emulators"),
        "beam-pcc-seed": engine.compose_image("seed"),
    }
    services = Compose(network, folder, images)
    try:
        services.start("bigquery")
        seeded = services.run("seed")
        assert seeded.returncode == 0, seeded.stderr
        services.start("storage")
        yield services
    finally:
        services.close()
