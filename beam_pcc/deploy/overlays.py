"""The checkout: its manifests, and its overlays with their namespaces."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from beam_pcc.errors import ConfigurationError, one_line

_MANIFESTS = Path("k8s/flink-operator")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SESSION = "../../session"  # the resource of an overlay with a session cluster
_ALERTS = "../../observability"  # the component of an overlay with PodMonitor and PrometheusRule


@dataclass(frozen=True)
class Checkout:
    """A checkout of this repository.

    Attributes:
        root: Its top folder.
    """

    root: Path

    @classmethod
    def find(cls) -> Checkout:
        """The checkout of this file, or else of the current folder. Raises ConfigurationError without one."""
        for root in (Path(__file__).parents[2], Path.cwd()):
            if (root / _MANIFESTS / "base/kustomization.yaml").is_file():
                return cls(root)
        raise ConfigurationError(f"{_MANIFESTS.as_posix()} is not here: call it from the top of a checkout of beam-pcc")

    @property
    def manifests(self) -> Path:
        """The folder of the manifests."""
        return self.root / _MANIFESTS

    def overlay(self, name: str) -> Overlay:
        """An overlay by its name. Raises ConfigurationError if it does not exist."""
        folder = self.manifests / "overlays"
        names = sorted(file.parent.name for file in folder.glob("*/kustomization.yaml"))
        if name not in names:
            raise ConfigurationError(
                f"--overlay {one_line(repr(name), 60)} is not in {self.shown(folder)}: there is {' and '.join(names)}"
            )
        content = _read(folder / name / "kustomization.yaml")
        namespace = content.get("namespace") or _read(self.manifests / "base/kustomization.yaml").get("namespace")
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            raise ConfigurationError(f"the overlay {name} says no namespace; add it to its kustomization.yaml")
        return Overlay(
            name, namespace, _SESSION in content.get("resources", []), _ALERTS in content.get("components", [])
        )

    def layer(self, overlay: Overlay) -> Path:
        """The folder of this installation's layer over an overlay."""
        return self.manifests / "deployed" / overlay.name

    def kubeconfig(self, cluster: str) -> Path:
        """The separate kubeconfig of deployments, which leaves the user's current context unchanged."""
        return self.root / "local" / f"kubeconfig-{cluster}"

    @staticmethod
    def shown(path: Path) -> str:
        """A path for a command line: relative if it is below the current folder."""
        try:
            relative = os.path.relpath(path)
        except ValueError:  # on another drive of Windows
            return str(path)
        return str(path) if relative.startswith("..") else relative


@dataclass(frozen=True)
class Overlay:
    """An overlay.

    Attributes:
        name: The name of its folder.
        namespace: The namespace that it deploys to.
        has_session: Whether it contains a session cluster.
        has_alerts: Whether it contains PodMonitor and PrometheusRule.
    """

    name: str
    namespace: str
    has_session: bool = False
    has_alerts: bool = False


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file.name} of {file.parent.name} cannot be read: {one_line(error, 120)}") from None
    return content if isinstance(content, dict) else {}
