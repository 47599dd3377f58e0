"""Every overlay renders, and every manifest is valid without unknown fields."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.manifests import rendered
from tests.manifests.rendered import OVERLAYS, Resource
from tests.manifests.tools import HERE, ROOT, linters

pytestmark = pytest.mark.end_to_end  # the linters are installed once


def problems(manifests: list[Resource], crds: list[Any]) -> list[str]:
    command = [str(linters() / "python"), str(HERE / "validate.py"), *map(str, crds)]
    done = subprocess.run(command, input=json.dumps(manifests), capture_output=True, text=True, check=True)
    errors: list[str] = json.loads(done.stdout)
    return errors


def everything() -> list[Resource]:
    manual = yaml.safe_load((ROOT / "k8s/flink-operator/manual/job.yaml").read_text())
    manual["metadata"]["name"] = manual["metadata"].pop("generateName") + "x"
    examples = list(yaml.safe_load_all((ROOT / "k8s/flink-operator/examples/google-key-secret.yaml").read_text()))
    manifests = [manual, *examples]
    for overlay in OVERLAYS:
        manifests += [*rendered.resources(overlay), rendered.run(overlay)]
        manifests += [{"apiVersion": "v1", "kind": "Pod"} | pod for pod in rendered.all_pods(overlay).values()]
    return manifests


def test_manifests_are_valid_kubernetes_resources() -> None:
    assert problems(everything(), []) == []


def test_flinkdeployments_are_valid_by_the_crd() -> None:
    crds = rendered.crds()
    if not crds:
        pytest.skip("shared/flink-operator-1.15.0 is not there, so the CRDs cannot be tested against")
    manifests = everything()
    assert sum(one["kind"] == "FlinkDeployment" for one in manifests) == 3
    assert problems(manifests, crds) == []


def test_unknown_field_is_detected() -> None:
    crds = rendered.crds()
    broken = rendered.run("prod")
    broken["spec"]["taskManager"]["replica"] = 1
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [], "runAsUser": 1}}
    errors = " ".join(problems([broken, pod], crds))
    assert "runAsUser" in errors
    assert "replica" in errors or not crds
