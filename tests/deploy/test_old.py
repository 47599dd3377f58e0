"""deploy-to-eks.sh against fake aws, kubectl, helm and docker on the PATH: each records its call, answers as told."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.manifests import tools
from tests.manifests.tools import HERE, ROOT

SCRIPT = ROOT / "deploy-to-eks.sh"
POWERSHELL = ROOT / "deploy-to-eks.ps1"
DIGEST = "sha256:" + "d" * 64
OLD = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/beam-pcc@sha256:" + "0" * 64
SETTINGS = {
    "AWS_ACCOUNT_ID": "123456789012",
    "AWS_REGION": "eu-central-1",
    "CLUSTER": "prod",
    "PCC_SOURCE": "bq://p.support.redacted_snapshot_{partition}",
    "PCC_WAREHOUSE": "bq://p.pcc",
    "PCC_MODELS": "gs://m/pcc",
    "PCC_STAGING": "gs://s/pcc",
    "GCP_WORKLOAD_PROVIDER": "projects/42/locations/global/workloadIdentityPools/eks/providers/prod",
    "GCP_SERVICE_ACCOUNT": "runner@p.iam.gserviceaccount.com",
}
# What the fakes answer: the first expression that is found in the call decides on standard output and exit code.
ANSWERS: list[tuple[str, str, int]] = [
    (r"^aws sts get-caller-identity", "123456789012", 0),
    (r"^aws eks describe-cluster", "https://oidc.eks.example/id/X", 0),
    (r"^aws ecr describe-images", DIGEST, 0),
    (r"^aws ecr describe-repositories", "", 254),
    (r"^aws ecr get-login-password", "secret-of-ecr", 0),
    (r"^kubectl get deployments --all-namespaces", "ghcr.io/apache/flink-kubernetes-operator:1.15.0", 0),
    (r"^kubectl get crd", "", 1),
    (r"get cronjob pcc-daily .*previous-image", OLD, 0),
    (r"get cronjob pcc-daily", OLD.replace("0", "1", 1).replace("000", "001", 1), 0),
    (r"create job", '{"kind": "Job"}', 0),
    (r"patch --local", '{"kind": "Job"}', 0),
    (r"^gcloud", "https://oidc.eks.example/id/X", 0),
]
FAKE = """#!{python}
import json, re, sys
call = " ".join([sys.argv[0].rsplit("/", 1)[1], *sys.argv[1:]])
given = "" if sys.stdin.isatty() or not re.search(r"-stdin|--filename -( |$)", call) else sys.stdin.read()
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[0].rsplit("/", 1)[1], *sys.argv[1:]]) + "\\n")
for expression, output, code in json.load(open({answers!r})):
    if re.search(expression, call):
        print(output)
        sys.exit(code)
"""


@dataclass
class Deployment:
    """A copy of what the script needs, and the fakes that it finds on its PATH."""

    folder: Path
    answers: list[tuple[str, str, int]]

    def call(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "HOME": str(self.folder), **SETTINGS, **settings}
        environment = {name: value for name, value in environment.items() if value}
        done = subprocess.run(
            [str(self.folder / SCRIPT.name), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return [shlex.join(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []

    def layer(self) -> str:
        """What the written layer renders to."""
        kubectl = shutil.which("kubectl")
        command = [kubectl, "kustomize"] if kubectl else [str(tools.needed("kustomize")), "build"]
        layer = self.folder / "k8s/flink-operator/deployed"
        return subprocess.run([*command, str(layer)], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    shutil.copy(SCRIPT, tmp_path)
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s", ignore=shutil.ignore_patterns("deployed"))
    (tmp_path / "bin").mkdir()
    python = shutil.which("python3", path="/usr/bin:/bin") or shutil.which("python3")
    for name in ("aws", "kubectl", "helm", "docker", "gcloud"):
        fake = tmp_path / "bin" / name
        log, answers = str(tmp_path / "calls"), str(tmp_path / "answers.json")
        fake.write_text(FAKE.format(python=python, log=log, answers=answers))
        fake.chmod(0o755)
    return Deployment(tmp_path, list(ANSWERS))


COMMANDS = [
    ["check"],
    ["deploy"],
    ["deploy", "--overlay", "dev"],
    ["run", "--partition", "20261120", "--replace"],
    ["backfill", "--from", "20261101", "--to", "20261103", "--parallel", "2"],
    ["status"],
    ["logs"],
    ["logs", "--partition", "20261120", "--of", "workers"],
    ["ui", "--session"],
    ["rollback"],
    ["rollback", "--model", "v20261101_020000"],
    ["destroy", "--yes"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_dry_run_shows_every_command_and_runs_none(deployment: Deployment, command: list[str]) -> None:
    code, shown, _ = deployment.call(*command, "--dry-run")
    assert code == 0
    assert deployment.calls() == []
    assert not (deployment.folder / "local").exists()
    assert not (deployment.folder / "k8s/flink-operator/deployed").exists()
    assert re.search(r"^(aws|kubectl) ", shown, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_a_dry_run_shows_is_what_is_done(deployment: Deployment, command: list[str]) -> None:
    _, shown, _ = deployment.call(*command, "--dry-run")
    code, _, errors = deployment.call(*command)
    assert code == 0, errors

    def plain(line: str) -> str:
        """But for the times, digests and what was asked for."""
        line = re.sub(r"\b\d{14}\b|\b[0-9a-f]{12}(-TIME|-\d{14})?\b", "TIME", line.replace(DIGEST, "sha256:DIGEST"))
        return re.sub(r"(:|=)TAG\b", r"\1TIME", re.sub(r"[^\s=\"]*@sha256:[01]+|PREVIOUS|CURRENT", "IMAGE", line))

    programs = ("aws ", "kubectl ", "helm ", "docker ", "gcloud ")
    announced = [part for line in shown.splitlines() if line.startswith(programs) for part in line.split(" | ")]
    made = [shlex.join(shlex.split(plain(call).replace("123456TIME", "123456789012"))) for call in deployment.calls()]
    wanted = [shlex.join(shlex.split(plain(part).replace("123456TIME", "123456789012"))) for part in announced]
    assert sorted(wanted) == sorted(made)  # the programs of a pipe start at once


def test_deploy_pushes_and_deploys_by_digest(deployment: Deployment) -> None:
    code, _, errors = deployment.call("deploy")
    assert code == 0, errors
    calls = deployment.calls()
    kinds = [" ".join(call.split()[:2]) for call in calls]
    order = ["docker build", "docker push", "helm upgrade", "kubectl apply"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    rendered = {(r["kind"], r["metadata"]["name"]): r for r in yaml.safe_load_all(deployment.layer())}
    image = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/beam-pcc@{DIGEST}"
    config = rendered["ConfigMap", "pcc-config"]["data"]
    assert config["image"] == image
    assert config["run.source"] == SETTINGS["PCC_SOURCE"]
    assert config["flink.task_managers"] == "2"  # of the overlay
    cron = rendered["CronJob", "pcc-daily"]
    assert cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert "@sha256:" in cron["metadata"]["annotations"]["beam-pcc/previous-image"]
    credentials = json.loads(rendered["ConfigMap", "pcc-google"]["data"]["credentials.json"])
    assert credentials["audience"] == f"//iam.googleapis.com/{SETTINGS['GCP_WORKLOAD_PROVIDER']}"
    assert SETTINGS["GCP_SERVICE_ACCOUNT"] in credentials["service_account_impersonation_url"]
    assert ("PrometheusRule", "pcc-pipeline") not in rendered  # its CRD is not there


def test_what_is_there_is_not_installed_again(deployment: Deployment) -> None:
    deployment.answers[:0] = [(r"^kubectl get crd", "", 0), (r"^aws ecr describe-repositories", "", 0)]
    deployment.call("deploy")
    assert not any(call.startswith(("helm", "aws ecr create")) for call in deployment.calls())
    rendered = {(r["kind"], r["metadata"]["name"]) for r in yaml.safe_load_all(deployment.layer())}
    assert ("PrometheusRule", "pcc-pipeline") in rendered


def test_the_session_of_the_dev_overlay_has_the_image_everywhere(deployment: Deployment) -> None:
    deployment.call("deploy", "--overlay", "dev", "--image", f"x/beam-pcc@{DIGEST}")
    assert not any(call.startswith("docker") for call in deployment.calls())
    session = next(r for r in yaml.safe_load_all(deployment.layer()) if r["metadata"]["name"] == "pcc-session")
    containers = session["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]
    images = {session["spec"]["image"], *(c["image"] for c in containers if "image" in c)}
    assert images == {f"x/beam-pcc@{DIGEST}"}


def test_a_key_file_goes_into_a_secret_and_never_into_a_file_or_a_log(deployment: Deployment) -> None:
    key = deployment.folder / "key.json"
    key.write_text('{"private_key": "hush"}')
    code, out, errors = deployment.call(
        "deploy", GCP_KEY_FILE=str(key), GCP_WORKLOAD_PROVIDER="", GCP_SERVICE_ACCOUNT=""
    )
    assert code == 0, errors
    assert any("create secret generic pcc-google-key" in call for call in deployment.calls())
    assert "hush" not in out + errors + deployment.layer()


def test_secrets_of_the_registry_are_not_shown(deployment: Deployment) -> None:
    _, out, errors = deployment.call("deploy")
    assert "secret-of-ecr" not in out + errors + "\n".join(deployment.calls())


@pytest.mark.parametrize("name", [n for n in SETTINGS if n != "PCC_TEMP_DATASET"])
def test_what_is_not_set_is_named(deployment: Deployment, name: str) -> None:
    code, _, errors = deployment.call("deploy", **{name: ""})
    assert (code, errors.split(";")[0]) == (2, f"deploy-to-eks: not set: {name}")
    assert deployment.calls() == []


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        ((r"^aws sts", "999999999999", 0), "you are in AWS account 999999999999", 2),
        ((r"^aws sts", "", 255), "AWS does not know you", 2),
        ((r"^aws eks describe-cluster", "", 254), "cluster prod is not in eu-central-1", 2),
        ((r"readyz", "", 1), "the cluster's API does not answer", 2),
        ((r"^gcloud", "https://other.example", 0), "trusts https://other.example, not this cluster's issuer", 1),
        ((r"get deployments", "x/operator:1.9.0", 0), "1.9.0: the manifests are written for 1.15.0", 0),
        ((r"get deployments", "", 1), "missing: deploy installs 1.15.0", 0),
    ],
)
def test_check_says_what_is_wrong(deployment: Deployment, answer: tuple[str, str, int], words: str, code: int) -> None:
    deployment.answers.insert(0, answer)
    ended, _, errors = deployment.call("check")
    assert words in errors
    assert ended == code


def test_check_changes_nothing_in_the_cluster(deployment: Deployment) -> None:
    deployment.call("check")
    changing = re.compile(r"\b(apply|create|delete|patch|annotate|set|install|upgrade|push|build)\b")
    assert [call for call in deployment.calls() if changing.search(call)] == []


def test_rollback_takes_the_image_before_in_both_places(deployment: Deployment) -> None:
    code, _, errors = deployment.call("rollback")
    assert code == 0, errors
    calls = "\n".join(deployment.calls())
    assert f"set image cronjob/pcc-daily launcher={OLD}" in calls
    assert f'{{"data":{{"image":"{OLD}"}}}}' in calls
    assert "annotate --overwrite cronjob pcc-daily beam-pcc/previous-image=" in calls


def test_rollback_without_an_earlier_image_says_so(deployment: Deployment) -> None:
    deployment.answers.insert(0, (r"previous-image", "", 0))
    code, _, errors = deployment.call("rollback")
    assert code == 2
    assert "no image was deployed before this one" in errors


def test_a_run_that_fails_is_exit_code_1(deployment: Deployment) -> None:
    deployment.answers.insert(0, (r"wait --for=condition=complete", "", 1))
    code, _, errors = deployment.call("run", "--partition", "20261120")
    assert (code, "failed; its last lines are above" in errors) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ["fly"],
        ["run"],
        ["run", "--partition", "2026"],
        ["run", "--partition"],
        ["run", "--partition", "20261120", "--fast"],
        ["deploy", "--overlay", "test"],
        ["deploy", "--image", "x:latest"],
        ["backfill", "--from", "20261101"],
        ["logs", "--of", "workers"],
        ["ui"],
        ["rollback", "--model", "newest"],
        ["destroy"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_2(deployment: Deployment, command: list[str]) -> None:
    code, _, errors = deployment.call(*command)
    assert code == 2
    assert errors.startswith("deploy-to-eks: ")
    assert len(errors.strip().splitlines()) == 1
    assert deployment.calls() == []


def test_kubectl_itself_makes_the_job_of_a_run(deployment: Deployment) -> None:
    """The pipe's middle is real: kubectl alters a Job without a cluster."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:  # no registry carries it for every system; kustomize stands in for it everywhere else
        pytest.skip("kubectl is not found, so its patch --local cannot be tried")
    _, shown, _ = deployment.call("run", "--partition", "20261120", "--replace", "--dry-run")
    line = next(line for line in shown.splitlines() if "create job" in line)
    _, alter, _ = line.split(" | ")
    cron = next(r for r in yaml.safe_load_all(tools.kustomize("overlays/prod")) if r["kind"] == "CronJob")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **cron["spec"]["jobTemplate"]}
    job["metadata"] = {"name": "x"}
    command = [kubectl, *shlex.split(alter)[1:]]
    done = subprocess.run(
        command, input=json.dumps(job), capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    container = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["beam-pcc", "submit"]
    assert container["args"] == ["--partition=20261120", "--wait", "--attach", "--replace"]


@pytest.mark.end_to_end
def test_the_powershell_script_parses() -> None:
    done = subprocess.run(
        [str(tools.linters() / "python"), str(HERE / "parse_powershell.py"), str(POWERSHELL)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def commands_of(text: str) -> set[str]:
    """The external commands of a script, without what varies: quotes, variables and line ends."""
    text = re.sub(r"(\\|`)\n\s*", " ", text)
    # An element of a list in PowerShell ('aws', 'ecr') is a word like any other.
    text = re.sub(r"['\",()@]", " ", text)
    found = set()
    for match in re.finditer(r"\b(aws|kubectl|helm|docker|gcloud) ([a-z-]+)( [a-z-]+)?", text):
        found.add(" ".join(word for word in match.groups() if word).strip())
    return found


def test_both_scripts_have_the_same_commands_subcommands_and_flags() -> None:
    bash, powershell = SCRIPT.read_text(), POWERSHELL.read_text()
    usage = {
        text: re.search(r"usage: \./deploy-to-eks\.\w+ (COMMAND.*?)\n(TEXT|'@)", text, re.DOTALL)[1].replace(
            ".ps1", ".sh"
        )  # type: ignore[index]
        for text in (bash, powershell)
    }
    assert usage[bash] == usage[powershell]
    for option in set(re.findall(r"--[a-z][a-z-]+", bash)):
        assert option in powershell, option
    for name in re.findall(r"^([A-Z_]+)=", bash, re.MULTILINE):
        assert re.search(rf"\${name} = ", powershell, re.IGNORECASE), name
    for words in re.findall(r'die "([^"$]{12,})', bash):
        if "does not know" not in words:  # Read-Options says that for each
            assert words.strip().replace(".sh", ".ps1") in powershell, words
