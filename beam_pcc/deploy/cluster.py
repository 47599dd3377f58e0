"""An EKS cluster, one of its namespaces and its operators, through kubectl and helm with a separate kubeconfig."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from beam_pcc.deploy.console import Console, Result, command_line
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
    """A cluster with a kubeconfig, and the namespace of an overlay."""

    console: Console
    checkout: Checkout
    aws: Aws
    overlay: Overlay

    @classmethod
    def connect(cls, console: Console, checkout: Checkout, aws: Aws, overlay: Overlay) -> Cluster:
        """Write the kubeconfig, readable by this user only. Raises RunError if AWS refuses it."""
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
        """The overlay's namespace."""
        return self.overlay.namespace

    def kubectl(self, *arguments: str) -> list[str]:
        """A kubectl command without a namespace."""
        return ["kubectl", "--kubeconfig", self.checkout.shown(self.checkout.kubeconfig(self.aws.cluster)), *arguments]

    def helm(self) -> list[str]:
        """The beginning of a helm command."""
        return ["helm", *self.kubectl()[1:]]

    def kubectl_in_namespace(self, *arguments: str) -> list[str]:
        """A kubectl command in the namespace."""
        return self.kubectl("--namespace", self.namespace, *arguments)

    def shown(self, *arguments: str) -> str:
        """A kubectl command in the namespace, as text to copy."""
        return command_line(self.kubectl_in_namespace(*arguments))

    def change(self, *arguments: str, to_stderr: bool = False) -> None:
        """Run kubectl in the namespace. Raises RunError if it fails."""
        self.console.change(*self.kubectl_in_namespace(*arguments), to_stderr=to_stderr)

    def get(self, *arguments: str, instead: Resource | None = None) -> Resource:
        """Resources of the namespace as parsed JSON; empty if there are none. Raises RunError if kubectl fails."""
        command = self.kubectl_in_namespace("get", *arguments, "--output", "json")
        result = self.console.ask(*command, instead=json.dumps(instead or {}))
        if not result.succeeded:
            raise RunError(f"kubectl get {arguments[0]} ended with exit code {result.code}: {result.error}")
        return parse_json(result, f"kubectl get {arguments[0]}")

    def has_crd(self, name: str) -> bool:
        """Whether a custom resource definition exists."""
        return self.console.succeeds(*self.kubectl("get", "crd", name))

    def operator(self) -> tuple[str, str] | None:
        """Namespace and image of the Flink operator; None if it is missing or cannot be read."""
        result = self.console.ask(
            *self.kubectl("get", "deployments", "--all-namespaces", "--selector"),
            f"app.kubernetes.io/name={_OPERATOR}",
            *("--output", "json"),
        )
        if not result.succeeded or not result.output:
            return None
        try:
            first = parse_json(result, "kubectl get deployments")["items"][0]
            return str(first["metadata"]["namespace"]), str(first["spec"]["template"]["spec"]["containers"][0]["image"])
        except (KeyError, IndexError, TypeError):
            return None

    def install_operators(self) -> None:
        """Install cert-manager and the Flink operator with Helm if they are missing."""
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
        """Wait until the operator is ready, in any namespace."""
        operator = self.operator()
        namespace = operator[0] if operator else _OPERATOR_NAMESPACE
        rollout = ("rollout", "status", f"deployment/{_OPERATOR}", "--timeout=300s")
        self.console.change(*self.kubectl("--namespace", namespace, *rollout), to_stderr=True)


def parse_json(result: Result, what: str) -> Resource:
    """The JSON object that a program printed; empty if it printed nothing. Raises RunError if it is not JSON."""
    if not result.output.strip():
        return {}
    try:
        data = json.loads(result.output)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise RunError(f"{what} printed no JSON: {one_line(result.output, 80)}")
    return data
