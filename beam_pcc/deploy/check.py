"""`beam-pcc deploy check`: checks what a deployment needs. Changes nothing in the cluster."""

from __future__ import annotations

from beam_pcc.deploy import cluster as clusters
from beam_pcc.deploy import settings
from beam_pcc.deploy.cluster import CERT_MANAGER_VERSION, OPERATOR_VERSION, Cluster
from beam_pcc.deploy.console import Console, is_installed
from beam_pcc.deploy.overlays import Checkout
from beam_pcc.deploy.settings import Aws, Google, Pipeline
from beam_pcc.errors import EXIT_FAILED, EXIT_PUBLISHED, ConfigurationError, one_line

_TOOLS = ("aws", "kubectl", "helm", "docker")
_IDENTITY_APIS = ("iamcredentials.googleapis.com", "sts.googleapis.com")  # in the project of the workload identity pool
_DATA_APIS = ("bigquery.googleapis.com", "bigquerystorage.googleapis.com", "storage.googleapis.com")


def check(console: Console, *, overlay: str) -> int:
    """Report what exists and what is missing; returns 1 if something at Google is wrong.

    Raises:
        ConfigurationError: A tool, the identity or the cluster is missing.
    """
    checkout = Checkout.find()
    selected = checkout.overlay(overlay)
    aws, pipeline, google = settings.aws(), settings.pipeline(), settings.google()
    missing = [tool for tool in _TOOLS if not console.dry_run and not is_installed(tool)]
    if missing:
        raise ConfigurationError(f"{' and '.join(missing)} not found; install what is missing")
    issuer = _check_identity(console, aws)
    cluster = Cluster.connect(console, checkout, aws, selected)
    _check_cluster(cluster)
    return EXIT_PUBLISHED if _check_google(console, pipeline, google, issuer) else EXIT_FAILED


def _check_identity(console: Console, aws: Aws) -> str:
    """Check the account; returns the cluster's OIDC issuer."""
    identity = console.ask(
        *("aws", "sts", "get-caller-identity", "--query", "Account", "--output", "text"), instead=aws.account
    )
    if not identity.succeeded or not identity.output:
        raise ConfigurationError(f"AWS does not know you ({identity.error}): run aws sso login, or set credentials")
    if identity.output != aws.account:
        raise ConfigurationError(
            f"you are in AWS account {one_line(identity.output, 40)}, and AWS_ACCOUNT_ID is {aws.account}"
        )
    console.say(f"AWS account        {aws.account}")
    issuer = console.ask(
        *("aws", "eks", "describe-cluster", "--name", aws.cluster, "--region", aws.region),
        *("--query", "cluster.identity.oidc.issuer", "--output", "text"),
        instead="ISSUER",
    )
    if not issuer.succeeded or not issuer.output:
        raise ConfigurationError(f"cluster {aws.cluster} is not in {aws.region}, or not yours to see ({issuer.error})")
    console.say(f"OIDC issuer        {one_line(issuer.output)}")
    return issuer.output


def _check_cluster(cluster: Cluster) -> None:
    console = cluster.console
    ready = console.ask(*cluster.kubectl("get", "--raw", "/readyz"))
    if not ready.succeeded:
        raise ConfigurationError(
            f"the cluster's API does not answer ({ready.error}): VPN, security group, or access entry"
        )
    console.say(f"cluster            {cluster.aws.cluster} answers")
    operator = cluster.operator()
    version = operator[1].rpartition(":")[2] if operator else ""
    if operator is None:
        console.say(f"Flink operator     missing: the deployment installs {OPERATOR_VERSION}")
    elif version == OPERATOR_VERSION:
        console.say(f"Flink operator     {OPERATOR_VERSION}, in the namespace {one_line(operator[0])}")
    else:
        console.say(
            f"Flink operator     {one_line(version)}: the manifests are written for {OPERATOR_VERSION}, "
            "see docs/operations.md"
        )
    if cluster.has_crd(clusters.CERT_MANAGER_CRD):
        console.say("cert-manager       there")
    else:
        console.say(f"cert-manager       missing: the deployment installs {CERT_MANAGER_VERSION}")
    if cluster.has_crd(clusters.PROMETHEUS_CRD):
        console.say("Prometheus         operator there")
    else:
        console.say("Prometheus         operator missing: alerts and PodMonitor are left out")


def _check_google(console: Console, pipeline: Pipeline, google: Google, issuer: str) -> bool:
    """Check the provider and the APIs; False if something is wrong, True if it cannot be checked."""
    if google.key_file:
        console.say(f"Google             key file {google.key_file} (federation is safer: docs/security.md)")
    if not console.dry_run and not is_installed("gcloud"):
        console.say("Google             not checked: gcloud is not found. The first run will tell")
        return True
    correct = True
    if not google.key_file:
        provider = console.ask(
            *("gcloud", "iam", "workload-identity-pools", "providers", "describe", google.provider),
            *("--format", "value(oidc.issuerUri)"),
            instead=issuer,
        )
        trusted = one_line(provider.output) if provider.succeeded else f"(not to be seen: {provider.error})"
        correct = provider.succeeded and provider.output == issuer
        if correct:
            console.say("Google             the provider trusts this cluster")
        else:
            console.say(
                f"Google             the provider trusts {trusted}, not this cluster's issuer; "
                "see docs/eks-deployment.md"
            )
        correct &= _check_apis(console, google.project_number, _IDENTITY_APIS)
    return _check_apis(console, pipeline.project, _DATA_APIS) and correct


def _check_apis(console: Console, project: str, wanted: tuple[str, ...]) -> bool:
    """Whether these Google APIs are enabled in a project; True if that cannot be checked."""
    enabled = console.ask(
        *("gcloud", "services", "list", "--enabled", "--project", project, "--format", "value(config.name)"),
        instead="\n".join(wanted),
    )
    if not enabled.succeeded:
        console.say(f"Google APIs        not to be seen in project {project} ({enabled.error})")
        return True
    missing = [api for api in wanted if api not in enabled.output.split()]
    if missing:
        console.say(
            f"Google APIs        not enabled in project {project}: gcloud services enable {' '.join(missing)} "
            f"--project {project}"
        )
        return False
    console.say(f"Google APIs        enabled in project {project}: {' '.join(wanted)}")
    return True
