"""The kustomize layer over an overlay, with the image, addresses and Google credentials of this installation.

It contains no secret: the credentials of federation are addresses, and a key file goes into a Secret of the cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from beam_pcc.deploy.console import Console, is_installed
from beam_pcc.deploy.overlays import Checkout, Overlay
from beam_pcc.deploy.settings import Google, Image, Pipeline
from beam_pcc.errors import ConfigurationError, RunError, one_line

PREVIOUS_IMAGE = "beam-pcc/previous-image"  # annotation of the CronJob
CRON_JOB = "pcc-daily"
CONFIG = "pcc-config"
SESSION = "pcc-session"
GOOGLE_KEY = "pcc-google-key"  # the name of the Secret that holds a key file
CREDENTIALS_CONFIG = "pcc-google"
_MONITORING = "monitoring.coreos.com/v1"
_ALERTS = ("PodMonitor", "PrometheusRule")

Resource = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """The values of the layer.

    Attributes:
        overlay: The overlay below it.
        image: The image to deploy.
        pipeline: The addresses of the run.
        google: How the pods authenticate.
        alerts: Whether to keep PodMonitor and PrometheusRule, which need the Prometheus operator's CRDs.
        previous_image: The image deployed before, for `rollback`; empty if there is none.
    """

    overlay: Overlay
    image: Image
    pipeline: Pipeline
    google: Google
    alerts: bool = True
    previous_image: str = ""

    def files(self, checkout: Checkout) -> dict[str, str]:
        """The files of the layer's folder by name."""
        files = {"kustomization.yaml": self._comment() + to_yaml(self.kustomization())}
        if not self.google.key_file:
            files["credentials.json"] = json.dumps(self.credentials(checkout), indent=2) + "\n"
        return files

    def kustomization(self) -> Resource:
        """The layer's kustomization."""
        pipeline = self.pipeline
        settings = {
            "image": str(self.image),
            "run.source": pipeline.source,
            "run.warehouse": pipeline.warehouse,
            "run.models": pipeline.models,
            "run.staging": pipeline.staging,
            "run.temp_dataset": pipeline.temp_dataset,
        }
        config_maps: list[Resource] = [
            {
                "name": CONFIG,
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings.items()],
            }
        ]
        if not self.google.key_file:
            config_maps.append({"name": CREDENTIALS_CONFIG, "files": ["credentials.json"]})
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.overlay.namespace,
            "resources": [f"../../overlays/{self.overlay.name}"],
            "generatorOptions": {"disableNameSuffixHash": True, "labels": {"app": "pcc-pipeline"}},
            "images": [{"name": "beam-pcc", "newName": self.image.name, "digest": self.image.digest}],
            "configMapGenerator": config_maps,
            "patches": self._patches(),
        }

    def _patches(self) -> list[Resource]:
        patches: list[Resource] = []
        if self.previous_image:
            annotations = {PREVIOUS_IMAGE: self.previous_image}
            patch = {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": CRON_JOB, "annotations": annotations},
            }
            patches.append({"target": {"kind": "CronJob", "name": CRON_JOB}, "patch": to_yaml(patch)})
        if self.overlay.has_session:
            # Kustomize does not replace images in the operator's resources.
            replace = [{"op": "replace", "path": "/spec/image", "value": str(self.image)}]
            patches.append({"target": {"kind": "FlinkDeployment", "name": SESSION}, "patch": to_yaml(replace)})
        if self.overlay.has_alerts and not self.alerts:
            for kind in _ALERTS:
                delete = {
                    "apiVersion": _MONITORING,
                    "kind": kind,
                    "metadata": {"name": "pcc-pipeline"},
                    "$patch": "delete",
                }
                patches.append({"target": {"kind": kind, "name": "pcc-pipeline"}, "patch": to_yaml(delete)})
        return patches

    def credentials(self, checkout: Checkout) -> Resource:
        """The credentials file with which the pods exchange their token at Google. It contains no secret."""
        file = checkout.manifests / "examples/google-federation.json"
        example = json.loads(file.read_text(encoding="utf-8"))
        account = f"{self.google.account}:generateAccessToken"
        return {
            **example,
            "audience": f"//iam.googleapis.com/{self.google.provider}",
            "service_account_impersonation_url": example["service_account_impersonation_url"].rpartition("/")[0]
            + f"/{account}",
        }

    def _comment(self) -> str:
        alerts = "with" if self.alerts else "without"
        return (
            f"# Written by beam-pcc deploy, which replaces it each time. The overlay {self.overlay.name} with the\n"
            f"# image, addresses and credentials of this installation; {alerts} PodMonitor and PrometheusRule.\n"
        )


def to_yaml(data: object) -> str:
    """Data as YAML, without sorting the keys."""
    return yaml.safe_dump(data, sort_keys=False, width=1_000)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the files into a folder, readable by this user only. Raises RunError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in files.items():
            path = folder / name
            with tempfile.NamedTemporaryFile("w", dir=folder, encoding="utf-8", newline="\n", delete=False) as new:
                new.write(text)  # the file has mode 0600
            try:
                Path(new.name).replace(path)
            finally:
                Path(new.name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {one_line(error, 160)}; check the path and the rights") from None


def rendered(console: Console, checkout: Checkout, installation: Installation) -> str:
    """Every manifest of the layer as one YAML stream. Needs no cluster and writes temporary files only.

    Raises:
        ConfigurationError: Neither kubectl nor kustomize is installed.
        RunError: The manifests cannot be rendered.
    """
    only_kustomize = is_installed("kustomize") and not is_installed("kubectl") and not console.dry_run
    program = ["kustomize", "build"] if only_kustomize else ["kubectl", "kustomize"]
    if console.dry_run:
        layer = checkout.layer(installation.overlay)
        return console.ask(*program, checkout.shown(layer)).output
    with tempfile.TemporaryDirectory(prefix="beam-pcc-") as folder:
        manifests = Path(folder) / "manifests"
        shutil.copytree(checkout.manifests, manifests, ignore=shutil.ignore_patterns("deployed"))
        layer = manifests / "deployed" / installation.overlay.name
        write(layer, installation.files(checkout))
        result = console.ask(*program, os.fspath(layer))
    if not result.succeeded:
        raise RunError(f"the manifests cannot be rendered: {result.error or program[0]}")
    try:
        resources = [one for one in yaml.safe_load_all(result.output) if one]
    except yaml.YAMLError as error:
        raise RunError(f"what {' '.join(program)} printed is no YAML: {one_line(error, 120)}") from None
    if any(one.get("kind") == "Secret" for one in resources):
        raise ConfigurationError("the overlay holds a Secret: keep it out of what is committed")
    return result.output
