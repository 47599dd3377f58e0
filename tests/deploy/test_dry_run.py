"""--dry-run of every subcommand: it shows each command that would be run, as it would be run, and runs none."""

import re
import shlex

import pytest

from tests.deploy.fakes import DIGEST, PROGRAMS, Deployment

COMMANDS = [
    ["check"],
    ["apply"],
    ["apply", "--overlay", "dev"],
    ["run", "--partition", "20261120", "--replace"],
    ["backfill", "--from", "20261101", "--to", "20261103", "--parallel", "2"],
    ["status"],
    ["logs"],
    ["logs", "--partition", "20261120"],
    ["logs", "--partition", "20261120", "--of", "workers"],
    ["ui", "--session"],
    ["ui", "--partition", "20261120"],
    ["rollback"],
    ["rollback", "--model", "v20261101_020000"],
    ["destroy", "--yes"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_dry_run_runs_nothing_and_writes_nothing(deployment: Deployment, command: list[str]) -> None:
    ended = deployment.call(*command, "--dry-run")

    assert ended.code == 0, ended.errors
    assert deployment.calls() == []
    assert deployment.files() == set()
    assert re.search(r"^(aws|kubectl) ", ended.output, re.MULTILINE)


def plain(call: str) -> str:
    """A command without the times, digests and names that only the cluster knows."""
    call = re.sub(r"\b\d{14}\b|(?<=[:=])TAG\b", "TIME", call.replace(DIGEST, "sha256:DIGEST"))
    call = re.sub(r"pod/\S+", "pod/POD", call)
    return re.sub(r"[^\s=\"]*@sha256:[01]+", "IMAGE", call)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_dry_run_shows_what_is_run(deployment: Deployment, command: list[str]) -> None:
    if command[0] == "destroy":
        deployment.reply("get crd flinkdeployments")
    shown = deployment.call(*command, "--dry-run").output
    ended = deployment.call(*command)

    assert ended.code == 0, ended.errors
    programs = tuple(f"{name} " for name in PROGRAMS)
    parts = [part for line in shown.splitlines() if line.startswith(programs) for part in line.split(" | ")]
    announced = {plain(shlex.join(shlex.split(part))) for part in parts}
    run = {plain(call) for call in deployment.calls(kubeconfig=True)}
    assert announced == run  # a Job is looked at more than once


def test_dry_run_shows_the_whole_layer(deployment: Deployment) -> None:
    shown = deployment.call("apply", "--dry-run").output

    written = deployment.call("apply").errors and deployment.folder / "k8s/flink-operator/deployed/prod"
    for name in ("kustomization.yaml", "credentials.json"):
        assert f"# k8s/flink-operator/deployed/prod/{name}:" in shown
    for line in (written / "credentials.json").read_text().splitlines():
        assert f"    {line}" in shown.splitlines()


def test_dry_run_layer_keeps_the_alerts(deployment: Deployment) -> None:
    shown = deployment.call("apply", "--dry-run").output

    assert "with PodMonitor and PrometheusRule" in shown
    assert "$patch" not in shown


def test_dry_run_may_stand_before_the_subcommand(deployment: Deployment) -> None:
    assert deployment.call("--dry-run", "status").code == 0
    assert deployment.calls() == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_shown_kubectl_uses_the_own_kubeconfig(deployment: Deployment, command: list[str]) -> None:
    ended = deployment.call(*command, "--dry-run")

    lines = (ended.output + ended.errors).splitlines()
    for part in re.findall(r"(?:kubectl|helm) (\S+ \S+)", "\n".join(lines)):
        assert part == "--kubeconfig local/kubeconfig-prod" or part.startswith("kustomize")
