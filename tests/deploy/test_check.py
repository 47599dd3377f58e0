"""`beam-pcc deploy check` reports what is missing, and changes nothing in the cluster."""

import json
import re

import pytest

from tests.deploy.fakes import APIS, Deployment


@pytest.mark.parametrize(
    ("call", "output", "code", "words", "ended_with"),
    [
        ("^aws sts", "999999999999", 0, "you are in AWS account 999999999999", 2),
        ("^aws sts", "", 255, "AWS does not know you", 2),
        ("^aws eks describe-cluster", "", 254, "cluster prod is not in eu-central-1", 2),
        ("readyz", "", 1, "the cluster's API does not answer", 2),
        ("^gcloud iam", "https://other.example", 0, "trusts https://other.example, not this cluster's issuer", 1),
        ("^gcloud iam", "", 1, "the provider trusts (not to be seen", 1),
        ("get deployments", "", 1, "missing: the deployment installs 1.15.0", 0),
        ("get deployments", '{"items": []}', 0, "missing: the deployment installs 1.15.0", 0),
        ("get crd", "", 0, "Prometheus         operator there", 0),
    ],
)
def test_check_names_problem(
    deployment: Deployment, call: str, output: str, code: int, words: str, ended_with: int
) -> None:
    deployment.reply(call, output, code)
    ended = deployment.call("check")

    assert words in ended.errors
    assert ended.code == ended_with


def test_check_of_complete_installation_is_0(deployment: Deployment) -> None:
    ended = deployment.call("check")

    assert ended.code == 0
    for words in ("AWS account        123456789012", "cluster            prod answers", "Flink operator     1.15.0"):
        assert words in ended.errors
    assert "the provider trusts this cluster" in ended.errors


def test_check_reports_other_operator_version(deployment: Deployment) -> None:
    spec = {"template": {"spec": {"containers": [{"image": "x/operator:1.9.0"}]}}}
    deployment.reply("get deployments", json.dumps({"items": [{"metadata": {"namespace": "flink"}, "spec": spec}]}))
    ended = deployment.call("check")

    assert "1.9.0: the manifests are written for 1.15.0" in ended.errors


def test_check_changes_nothing_in_the_cluster(deployment: Deployment) -> None:
    deployment.call("check")

    changing = re.compile(r"\b(apply|create|delete|patch|annotate|set|install|upgrade|push|build|enable)\b")
    assert [call for call in deployment.calls() if changing.search(call)] == []


@pytest.mark.parametrize("missing", APIS)
def test_check_names_disabled_api(deployment: Deployment, missing: str) -> None:
    deployment.reply("^gcloud services", "\n".join(api for api in APIS if api != missing))
    ended = deployment.call("check")

    project = "42" if missing in ("iamcredentials.googleapis.com", "sts.googleapis.com") else "p1"
    assert ended.code == 1
    assert f"gcloud services enable {missing} --project {project}\n" in ended.errors


def test_check_continues_if_apis_cannot_be_listed(deployment: Deployment) -> None:
    deployment.reply("^gcloud services", "", 1, "PERMISSION_DENIED")
    ended = deployment.call("check")

    assert ended.code == 0
    assert "not to be seen in project p1 (PERMISSION_DENIED)" in ended.errors


def test_check_reports_missing_gcloud(deployment: Deployment) -> None:
    (deployment.state / "bin/gcloud").unlink()
    ended = deployment.call("check", PATH=f"{deployment.state}/bin")

    assert ended.code == 0
    assert "not checked: gcloud is not found" in ended.errors


@pytest.mark.parametrize("tool", ["aws", "kubectl", "helm", "docker"])
def test_check_names_a_missing_tool(deployment: Deployment, tool: str) -> None:
    (deployment.state / "bin" / tool).unlink()
    ended = deployment.call("check", PATH=f"{deployment.state}/bin")

    assert (ended.code, ended.errors) == (2, f"beam-pcc: {tool} not found; install what is missing\n")


def test_check_with_key_file_skips_provider(deployment: Deployment) -> None:
    key = deployment.state / "key.json"
    key.write_text('{"type": "service_account"}')
    ended = deployment.call("check", GCP_KEY_FILE=str(key), GCP_WORKLOAD_PROVIDER="", GCP_SERVICE_ACCOUNT="")

    assert ended.code == 0, ended.errors
    assert "federation is safer" in ended.errors
    assert not any(call.startswith("gcloud iam") for call in deployment.calls())
