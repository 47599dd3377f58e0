"""One EKS cluster and one namespace of it, by kubectl and helm with a kubeconfig of their own; and its operators."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from beam_pcc.deploy.console import Answer, Console, command_line
from beam_pcc.deploy.overlays import Checkout, Overlay
from beam_pcc.deploy.settings import Aws
from beam_pcc.errors import RunError, one_line

OPERATOR_VERSION = "1.15.0"
CERT_MANAGER_VERSION = "v1.18.2"
CERT_MANAGER_CRD = "certificates.cert-manager.io"
OPERATOR_CRD = "flinkdeployments.flink.apache.org"
PROMETHEUS_CRD = "prometheusrules.monitoring.coreos.com"
_OPERATOR = "flink-kubernetes-operator"
_OPERATOR_NAMESPACE = "flink-operator"

Resource = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster that was connected to, and the namespace of an overlay in it."""

    console: Console
    checkout: Checkout
    aws: Aws
    overlay: Overlay

    @classmethod
    def connect(cls, console: Console, checkout: Checkout, aws: Aws, overlay: Overlay) -> Cluster:
        """Write the kubeconfig, for this user only. Raises RunError if AWS gives none."""
        cluster = cls(console, checkout, aws, overlay)
        file = checkout.kubeconfig(aws.cluster)
        if not console.dry_run:
            try:
                file.parent.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise RunError(
                    f"{file.parent} cannot be written: {one_line(error, 160)}; check the path and the rights"
                ) from None
        console.change(
            *("aws", "eks", "update-kubeconfig", "--name", aws.cluster, "--region", aws.region),
            *("--kubeconfig", checkout.shown(file)),
            to_stderr=True,
        )
        with contextlib.suppress(FileNotFoundError):
            if not console.dry_run:
                file.chmod(0o600)
        return cluster

    @property
    def namespace(self) -> str:
        """That of the overlay."""
        return self.overlay.namespace

    def everywhere(self, *words: str) -> list[str]:
        """A kubectl command without a namespace."""
        return ["kubectl", "--kubeconfig", self.checkout.shown(self.checkout.kubeconfig(self.aws.cluster)), *words]

    def helm(self) -> list[str]:
        """The beginning of a helm command."""
        return ["helm", *self.everywhere()[1:]]

    def here(self, *words: str) -> list[str]:
        """A kubectl command in the namespace."""
        return self.everywhere("--namespace", self.namespace, *words)

    def shown(self, *words: str) -> str:
        """A kubectl command in the namespace, to be copied."""
        return command_line(self.here(*words))

    def change(self, *words: str, to_stderr: bool = False) -> None:
        """Run kubectl in the namespace. Raises RunError if it fails."""
        self.console.change(*self.here(*words), to_stderr=to_stderr)

    def get(self, *words: str, instead: Resource | None = None) -> Resource:
        """What kubectl gets from the namespace, as data; empty if there is nothing. Raises RunError if it fails."""
        command = self.here("get", *words, "--output", "json")
        answer = self.console.ask(*command, instead=json.dumps(instead or {}))
        if not answer.succeeded:
            raise RunError(f"kubectl get {words[0]} ended with exit code {answer.code}: {answer.error}")
        return as_data(answer, f"kubectl get {words[0]}")

    def has_crd(self, name: str) -> bool:
        """Whether a custom resource is known."""
        return self.console.succeeds(*self.everywhere("get", "crd", name))

    def operator(self) -> tuple[str, str] | None:
        """Namespace and image of the Flink operator; None if it is not there or not to be seen."""
        answer = self.console.ask(
            *self.everywhere("get", "deployments", "--all-namespaces", "--selector"),
            f"app.kubernetes.io/name={_OPERATOR}",
            *("--output", "json"),
        )
        if not answer.succeeded or not answer.output:
            return None
        try:
            first = as_data(answer, "kubectl get deployments")["items"][0]
            return str(first["metadata"]["namespace"]), str(first["spec"]["template"]["spec"]["containers"][0]["image"])
        except (KeyError, IndexError, TypeError):
            return None

    def install_operators(self) -> None:
        """Install cert-manager and the Flink operator by Helm where they are missing, and wait for the latter."""
        if not self.has_crd(CERT_MANAGER_CRD):
            self.console.say(f"cert-manager       missing: installing {CERT_MANAGER_VERSION}")
            self.console.change(
                *(*self.helm(), "upgrade", "--install", "cert-manager", "cert-manager"),
                *("--repo", "https://charts.jetstack.io", "--version", CERT_MANAGER_VERSION),
                *("--namespace", "cert-manager", "--create-namespace", "--set", "crds.enabled=true", "--wait"),
                to_stderr=True,
            )
        if not self.has_crd(OPERATOR_CRD):
            self.console.say(f"Flink operator     missing: installing {OPERATOR_VERSION}")
            self.console.change(
                *(*self.helm(), "upgrade", "--install", _OPERATOR, _OPERATOR),
                *("--repo", f"https://archive.apache.org/dist/flink/flink-kubernetes-operator-{OPERATOR_VERSION}/"),
                *("--namespace", _OPERATOR_NAMESPACE, "--create-namespace", "--wait"),
                to_stderr=True,
            )

    def wait_for_operator(self) -> None:
        """Wait until the operator is up, in whichever namespace it is."""
        operator = self.operator()
        namespace = operator[0] if operator else _OPERATOR_NAMESPACE
        rollout = ("rollout", "status", f"deployment/{_OPERATOR}", "--timeout=300s")
        self.console.change(*self.everywhere("--namespace", namespace, *rollout), to_stderr=True)


def as_data(answer: Answer, what: str) -> Resource:
    """What a program printed as JSON; empty for nothing. Raises RunError if it is none."""
    if not answer.output.strip():
        return {}
    try:
        data = json.loads(answer.output)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise RunError(f"{what} printed no JSON: {one_line(answer.output, 80)}")
    return data
