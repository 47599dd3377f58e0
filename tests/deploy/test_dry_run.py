"""--dry-run of every subcommand prints each command exactly as it would run, and runs none."""

import functools
import re
import shlex
from collections.abc import Callable

import pytest

from tests.deploy.fakes import DIGEST, PROGRAMS, CommandResult, Deployment

pytestmark = pytest.mark.end_to_end  # real processes: scripts, kubectl, stand-ins of aws and helm

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


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CommandResult]:
    """Returns the dry run of a command; each runs once."""
    deployment = Deployment.make(tmp_path_factory.mktemp("dry-run"))

    @functools.cache
    def call(*command: str) -> CommandResult:
        ended = deployment.call(*command, "--dry-run")
        assert deployment.calls() == []
        assert deployment.files() == set()
        return ended

    return call


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_dry_run_runs_nothing_and_writes_nothing(shown: Callable[..., CommandResult], command: list[str]) -> None:
    ended = shown(*command)

    assert ended.code == 0, ended.errors
    assert re.search(r"^(aws|kubectl) ", ended.output, re.MULTILINE)


def plain(call: str) -> str:
    """A command without times, digests and names that depend on the cluster."""
    call = re.sub(r"\b\d{14}\b|(?<=[:=])TAG\b", "TIME", call.replace(DIGEST, "sha256:DIGEST"))
    call = re.sub(r"pod/\S+", "pod/POD", call)
    return re.sub(r"[^\s=\"]*@sha256:[01]+", "IMAGE", call)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_dry_run_shows_what_is_run(
    deployment: Deployment, shown: Callable[..., CommandResult], command: list[str]
) -> None:
    if command[0] == "destroy":
        deployment.reply("get crd flinkdeployments")
    ended = deployment.call(*command)

    assert ended.code == 0, ended.errors
    programs = tuple(f"{name} " for name in PROGRAMS)
    parts = [
        part for line in shown(*command).output.splitlines() if line.startswith(programs) for part in line.split(" | ")
    ]
    announced = {plain(shlex.join(shlex.split(part))) for part in parts}
    run = {plain(call) for call in deployment.calls(kubeconfig=True)}
    assert announced == run  # sets, since a Job is polled more than once


def test_dry_run_shows_the_whole_layer(deployment: Deployment, shown: Callable[..., CommandResult]) -> None:
    deployment.reply("get crd prometheusrules")
    deployment.reply("get cronjob pcc-daily --ignore-not-found", "")
    deployment.call("apply")

    for name in ("kustomization.yaml", "credentials.json"):
        text = (deployment.folder / "k8s/flink-operator/deployed/prod" / name).read_text()
        written = [f"# k8s/flink-operator/deployed/prod/{name}:", *(f"    {line}" for line in text.splitlines())]
        assert "\n".join(written).replace(DIGEST, "sha256:DIGEST") in shown("apply").output


def test_dry_run_layer_keeps_the_alerts(shown: Callable[..., CommandResult]) -> None:
    output = shown("apply").output

    assert "with PodMonitor and PrometheusRule" in output
    assert "$patch" not in output


def test_dry_run_of_dev_promises_no_alerts(shown: Callable[..., CommandResult]) -> None:
    output = shown("apply", "--overlay", "dev").output

    assert "without PodMonitor and PrometheusRule" in output
    assert "prometheusrules" not in output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_dry_run_prints_no_progress(shown: Callable[..., CommandResult], command: list[str]) -> None:
    assert shown(*command).errors == ""


def test_dry_run_may_stand_before_the_subcommand(deployment: Deployment) -> None:
    assert deployment.call("--dry-run", "status").code == 0
    assert deployment.calls() == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_kubectl_uses_separate_kubeconfig(shown: Callable[..., CommandResult], command: list[str]) -> None:
    for words in re.findall(r"(?:kubectl|helm) (\S+ \S+)", shown(*command).output):
        assert words == "--kubeconfig local/kubeconfig-prod"
