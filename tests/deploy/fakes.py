"""Fake aws, kubectl, helm, docker and gcloud for the PATH: each records its call and prints a configured reply.

`kubectl kustomize` is real, since rendering needs no cluster.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.manifests import tools
from tests.manifests.tools import ROOT

PROGRAMS = ("aws", "kubectl", "helm", "docker", "gcloud")
DIGEST = "sha256:" + "d" * 64
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
CURRENT = f"{REGISTRY}/beam-pcc@sha256:" + "1" * 64
PREVIOUS = f"{REGISTRY}/beam-pcc@sha256:" + "0" * 64
ISSUER = "https://oidc.eks.example/id/X"
SETTINGS = {
    "AWS_ACCOUNT_ID": "123456789012",
    "AWS_REGION": "eu-central-1",
    "CLUSTER": "prod",
    "PCC_SOURCE": "bq://p1.support.redacted_snapshot_{partition}",
    "PCC_WAREHOUSE": "bq://p1.pcc",
    "PCC_MODELS": "gs://models/pcc",
    "PCC_STAGING": "gs://staging/pcc",
    "GCP_WORKLOAD_PROVIDER": "projects/42/locations/global/workloadIdentityPools/eks-pool/providers/prod",
    "GCP_SERVICE_ACCOUNT": "runner@p.iam.gserviceaccount.com",
}
APIS = (
    *("bigquery.googleapis.com", "bigquerystorage.googleapis.com", "storage.googleapis.com"),
    *("iamcredentials.googleapis.com", "sts.googleapis.com"),
)


@dataclass
class Reply:
    """The reply of a fake to the calls that match the regular expression `call`, at most `times` times."""

    call: str
    output: str = ""
    code: int = 0
    error: str = ""
    times: int | None = None


def cron_job(image: str = CURRENT, previous: str | None = PREVIOUS, **spec: Any) -> str:
    annotations = {} if previous is None else {"beam-pcc/previous-image": previous}
    launcher = {"name": "launcher", "image": image}
    template = {"spec": {"template": {"spec": {"containers": [launcher]}}}}
    usual = {"schedule": "0 2 * * *", "timeZone": "Etc/UTC", "suspend": False, "jobTemplate": template}
    return json.dumps({"kind": "CronJob", "metadata": {"annotations": annotations}, "spec": {**usual, **spec}})


def job_template() -> dict[str, Any]:
    """The Job that `kubectl create job --from` creates from the CronJob, with the fields used here."""
    cron: dict[str, Any] = yaml.safe_load((ROOT / "k8s/flink-operator/base/cronjob.yaml").read_text())
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x"},
        "spec": cron["spec"]["jobTemplate"]["spec"],
    }


def job(ended: str | None = "Complete", reason: str = "") -> str:
    conditions = [{"type": ended, "status": "True", "reason": reason}] if ended else []
    return json.dumps({"kind": "Job", "status": {"conditions": conditions}})


def pod(
    name: str = "launcher-1",
    exit_code: int | None = 0,
    *,
    args: tuple[str, ...] = (),
    created: str = "2026-11-21T02:00:01Z",
    reason: str = "",
    state: dict[str, Any] | None = None,
) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": exit_code, "reason": reason}}
    state = state if state is not None else ended if exit_code is not None else {"running": {}}
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"containers": [{"name": "launcher", "args": list(args)}]},
        "status": {"containerStatuses": [{"name": "launcher", "state": state}]},
    }


def pods(*items: dict[str, Any]) -> str:
    return json.dumps({"kind": "List", "items": list(items)})


DEFAULT_REPLIES = [
    Reply(r"^aws sts get-caller-identity", "123456789012"),
    Reply(r"^aws eks describe-cluster", ISSUER),
    Reply(r"^aws ecr describe-repositories", code=254, error="RepositoryNotFoundException"),
    Reply(r"^aws ecr describe-images", code=254, error="An error occurred (ImageNotFoundException)", times=1),
    Reply(r"^aws ecr describe-images", DIGEST),
    Reply(r"^aws ecr get-login-password", "secret-of-ecr"),
    Reply(
        r"^kubectl get deployments --all-namespaces",
        json.dumps(
            {
                "items": [
                    {
                        "metadata": {"namespace": "flink-operator"},
                        "spec": {
                            "template": {"spec": {"containers": [{"image": "x/flink-kubernetes-operator:1.15.0"}]}}
                        },
                    }
                ]
            }
        ),
    ),
    Reply(r"^kubectl get crd", code=1, error="NotFound"),
    Reply(r"get cronjob pcc-daily", cron_job()),
    Reply(r"get configmap pcc-config", json.dumps({"data": {"run.model_version": "v20261101_020000"}})),
    Reply(r"create job", json.dumps(job_template())),
    Reply(r"get job ", job()),
    Reply(r"get pods ", pods(pod(args=("--partition=20261120",)))),
    Reply(r"^kubectl --namespace \S+ create secret", "kind: Secret of the key"),
    Reply(r"^gcloud iam", ISSUER),
    Reply(r"^gcloud services", "\n".join(APIS)),
]
_FAKE = """#!{python} -IS
import json, os, re, subprocess, sys
name = os.path.basename(sys.argv[0])
words = [name, *sys.argv[1:]]
folder = {folder!r}
if words[:2] == ["kubectl", "kustomize"]:
    sys.exit(subprocess.run([*{real!r}, *words[2:]]).returncode)
plain = re.sub(r" --kubeconfig \\S+", "", " ".join(words))
stdin = sys.stdin.read() if re.search(r"-stdin|--filename -( |$)", plain) else ""
with open(folder + "/calls", "a") as log:
    log.write(json.dumps({{"words": words, "stdin": stdin}}) + "\\n")
if "update-kubeconfig" in words:
    path = words[words.index("--kubeconfig") + 1]
    source = folder + "/kubeconfig"
    with open(path, "w") as file:
        file.write(open(source).read() if os.path.exists(source) else "token: secret-of-eks\\n")
    os.chmod(path, 0o644)
for number, reply in enumerate(json.load(open(folder + "/replies.json"))):
    if not re.search(reply["call"], plain):
        continue
    used = folder + "/used-%d" % number
    times = os.path.getsize(used) if os.path.exists(used) else 0
    if reply["times"] is not None and times >= reply["times"]:
        continue
    with open(used, "a") as file:
        file.write(".")
    print(reply["output"])
    print(reply["error"], file=sys.stderr)
    sys.exit(reply["code"])
"""


@dataclass
class CommandResult:
    code: int
    output: str
    errors: str


@dataclass
class Deployment:
    """The parts of a checkout that a deployment needs, with the fake programs."""

    folder: Path
    state: Path
    replies: list[Reply] = field(default_factory=lambda: list(DEFAULT_REPLIES))

    @classmethod
    def make(cls, folder: Path) -> Deployment:
        checkout, state = folder / "checkout", folder / "state"
        shutil.copytree(ROOT / "k8s", checkout / "k8s", ignore=shutil.ignore_patterns("deployed"))
        (checkout / "beam_pcc").symlink_to(ROOT / "beam_pcc", target_is_directory=True)
        (state / "bin").mkdir(parents=True)
        kubectl = shutil.which("kubectl")
        real = [kubectl, "kustomize"] if kubectl else [str(tools.go_program("kustomize") or "kustomize"), "build"]
        for name in PROGRAMS:
            program = state / "bin" / name
            program.write_text(_FAKE.format(python=sys.executable, folder=str(state), real=real))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return cls(checkout, state)

    def reply(self, call: str, output: str = "", code: int = 0, error: str = "", times: int | None = None) -> None:
        """Add a reply that takes precedence over the earlier ones."""
        self.replies.insert(0, Reply(call, output, code, error, times))

    def call(self, *arguments: str, program: tuple[str, ...] = (), **settings: str) -> CommandResult:
        """Run `beam-pcc deploy` (or another program) with the usual settings and these."""
        (self.state / "replies.json").write_text(json.dumps([asdict(reply) for reply in self.replies]))
        done = subprocess.run(
            [*(program or (sys.executable, "-m", "beam_pcc", "deploy")), *arguments],
            capture_output=True,
            text=True,
            env=self.environment(**settings),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def environment(self, **settings: str) -> dict[str, str]:
        base = {"PATH": f"{self.state}/bin:/usr/bin:/bin", "HOME": str(self.state), "PYTHONPATH": str(self.folder)}
        return {name: value for name, value in {**base, **SETTINGS, **settings}.items() if value}

    def records(self) -> list[dict[str, Any]]:
        log = self.state / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def calls(self, *, kubeconfig: bool = False) -> list[str]:
        """Every command that was run, quoted for a shell."""
        calls = [shlex.join(record["words"]) for record in self.records()]
        return calls if kubeconfig else [re.sub(r" --kubeconfig \S+", "", call) for call in calls]

    def stdin_of(self, call: str) -> str:
        """The standard input of the only call that starts with `call`."""
        stdins = [r["stdin"] for r, plain in zip(self.records(), self.calls(), strict=True) if plain.startswith(call)]
        assert len(stdins) == 1, self.calls()
        return str(stdins[0])

    def layer(self, overlay: str = "prod") -> list[dict[str, Any]]:
        """The resources that the written layer renders to."""
        folder = self.folder / "k8s/flink-operator/deployed" / overlay
        program = self.state / "bin/kubectl"
        done = subprocess.run([str(program), "kustomize", str(folder)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return resources(done.stdout)

    def files(self) -> set[str]:
        """Every file and folder of the checkout, except those copied from the repository."""
        return {
            os.path.relpath(path, self.folder)
            for path in self.folder.rglob("*")
            if not (ROOT / os.path.relpath(path, self.folder)).exists() or "deployed" in path.parts
        }


def resources(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def one(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (resource,) = (r for r in manifests if (r["kind"], r["metadata"]["name"]) == (kind, name))
    return resource


def kinds(manifests: list[dict[str, Any]]) -> set[str]:
    return {str(r["kind"]) for r in manifests}
