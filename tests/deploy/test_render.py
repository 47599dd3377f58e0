"""`beam-pcc deploy render` prints every manifest of an installation, to commit for Argo CD or Flux."""

import json
import subprocess

import pytest

from tests.deploy.fakes import DIGEST, SETTINGS, Deployment, kinds, one, resources

pytestmark = pytest.mark.end_to_end  # whole deployments, rendered by a real kubectl
IMAGE = f"registry.example/beam-pcc@{DIGEST}"
WITHOUT_A_CLUSTER = {"AWS_ACCOUNT_ID": "", "AWS_REGION": "", "CLUSTER": ""}
PROD = {
    "Namespace",
    "Role",
    "RoleBinding",
    "ServiceAccount",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ConfigMap",
    "CronJob",
}


def test_render_is_complete(deployment: Deployment) -> None:
    ended = deployment.call("render", "--image", IMAGE, **WITHOUT_A_CLUSTER)

    assert ended.code == 0, ended.errors
    assert kinds(resources(ended.output)) == PROD | {"PodMonitor", "PrometheusRule"}


def test_render_runs_and_writes_nothing(deployment: Deployment) -> None:
    deployment.call("render", "--image", IMAGE, **WITHOUT_A_CLUSTER)

    assert deployment.calls() == []
    assert deployment.files() == set()


def test_render_is_what_apply_applies(deployment: Deployment) -> None:
    deployment.reply("get crd")
    deployment.reply("get cronjob pcc-daily --ignore-not-found", "")
    rendered = resources(deployment.call("render", "--image", IMAGE).output)
    deployment.call("apply", "--image", IMAGE)

    assert rendered == deployment.layer()


def test_render_is_deterministic(deployment: Deployment) -> None:
    first, second = (deployment.call("render", "--image", IMAGE).output for _ in range(2))

    assert first == second


def test_render_without_alerts(deployment: Deployment) -> None:
    ended = deployment.call("render", "--no-alerts", "--image", IMAGE)

    assert kinds(resources(ended.output)) == PROD


def test_render_of_dev_is_in_its_namespace(deployment: Deployment) -> None:
    manifests = resources(deployment.call("render", "--overlay", "dev", "--image", IMAGE).output)

    assert {r["metadata"].get("namespace", r["metadata"]["name"]) for r in manifests} == {"pcc-dev"}
    assert one(manifests, "FlinkDeployment", "pcc-session")["spec"]["image"] == IMAGE


def test_render_to_a_folder_is_a_kustomization(deployment: Deployment) -> None:
    stream = deployment.call("render", "--image", IMAGE).output
    ended = deployment.call("render", "--image", IMAGE, "--output", "gitops/pcc")

    folder = deployment.folder / "gitops/pcc"
    assert ended.output == ""
    assert (folder / "manifests.yaml").read_text() == stream
    program = [str(deployment.state / "bin/kubectl"), "kustomize", str(folder)]
    again = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert sorted(map(json.dumps, resources(again))) == sorted(map(json.dumps, resources(stream)))


def test_render_names_secret_without_content(deployment: Deployment) -> None:
    key = deployment.state / "key.json"
    key.write_text('{"type": "service_account", "private_key": "hush"}')
    ended = deployment.call("render", "--image", IMAGE, GCP_KEY_FILE=str(key))

    assert ended.code == 0, ended.errors
    manifests = resources(ended.output)
    assert "Secret" not in kinds(manifests)
    assert ("ConfigMap", "pcc-google") not in {(r["kind"], r["metadata"]["name"]) for r in manifests}
    assert "hush" not in ended.output + ended.errors
    command = (
        "kubectl --namespace pcc-system create secret generic pcc-google-key --from-file=credentials.json=KEY_FILE"
    )
    assert command in ended.output.splitlines()[0]
    assert command in ended.errors


def test_render_refuses_an_overlay_with_a_secret(deployment: Deployment) -> None:
    overlay = deployment.folder / "k8s/flink-operator/overlays/prod/kustomization.yaml"
    overlay.write_text(overlay.read_text() + "secretGenerator:\n  - {name: x, literals: [a=b]}\n")
    ended = deployment.call("render", "--image", IMAGE)

    assert (ended.code, ended.output) == (2, "")
    assert "the overlay holds a Secret" in ended.errors


def test_render_needs_an_image_by_digest(deployment: Deployment) -> None:
    ended = deployment.call("render")

    assert ended.code == 2
    assert "render needs --image NAME@sha256:..." in ended.errors


def test_render_of_broken_overlay_is_one_line(deployment: Deployment) -> None:
    (deployment.folder / "k8s/flink-operator/base/cronjob.yaml").unlink()
    ended = deployment.call("render", "--image", IMAGE)

    assert (ended.code, len(ended.errors.splitlines())) == (1, 1)
    assert "cronjob.yaml" in ended.errors


@pytest.mark.parametrize("name", ["PCC_SOURCE", "GCP_WORKLOAD_PROVIDER"])
def test_render_needs_the_settings_of_the_run(deployment: Deployment, name: str) -> None:
    assert name in SETTINGS
    ended = deployment.call("render", "--image", IMAGE, **{name: ""})

    assert (ended.code, f"not set: {name}" in ended.errors) == (2, True)
