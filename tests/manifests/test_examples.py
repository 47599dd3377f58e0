"""The examples are kustomize components: each renders with every overlay, and does what its first line says."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import rendered, tools
from tests.manifests.rendered import OVERLAYS, Resource
from tests.manifests.test_manifests import problems

pytestmark = pytest.mark.end_to_end  # the linters are installed once
EXAMPLES = tools.ROOT / "k8s/flink-operator/examples"
COMPONENTS = sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / "kustomization.yaml").exists())
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def with_component(folder: Path, overlay: str, *components: str) -> list[Resource]:
    """The overlay with these components, as its kustomization.yaml would name them."""
    manifests = folder / "flink-operator"
    shutil.copytree(tools.ROOT / "k8s/flink-operator", manifests, ignore=shutil.ignore_patterns("deployed"))
    if "signing-key" in components:  # the two files that its first lines ask for
        example = manifests / "examples/signing-key"
        (example / "signer.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
        (example / "flinkdeployment.yaml").write_text(tools.kustomize(example / "template"))
    file = manifests / "overlays" / overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    added = [f"../../examples/{component}" for component in components]
    file.write_text(yaml.safe_dump({**kustomization, "components": [*kustomization.get("components", []), *added]}))
    return [one for one in yaml.safe_load_all(tools.kustomize(file.parent)) if one]


def policy(resources: list[Resource], name: str) -> dict[str, Any]:
    (spec,) = (r["spec"] for r in resources if (r["kind"], r["metadata"]["name"]) == ("NetworkPolicy", name))
    return dict(spec)


@every_overlay
@pytest.mark.parametrize("component", COMPONENTS)
def test_an_example_renders_to_valid_manifests(tmp_path: Path, overlay: str, component: str) -> None:
    resources = with_component(tmp_path, overlay, component)
    run = rendered.run_of(resources)
    assert problems([*resources, run], rendered.crds()) == []
    assert resources != rendered.resources(overlay)


@every_overlay
def test_all_examples_go_together(tmp_path: Path, overlay: str) -> None:
    resources = with_component(tmp_path, overlay, *COMPONENTS)
    assert problems([*resources, rendered.run_of(resources)], rendered.crds()) == []
    for one in resources:
        assert one["metadata"]["labels"]["app"] == "pcc-pipeline", one["metadata"]["name"]
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == rendered.NAMESPACES[overlay], one["metadata"]["name"]


def test_nodelocal_dns_is_allowed_besides_kube_dns(tmp_path: Path) -> None:
    rules = policy(with_component(tmp_path, "prod", "nodelocal-dns"), "pcc-dns")["egress"]
    assert [list(rule["to"][0]) for rule in rules] == [["namespaceSelector"], ["ipBlock"]]
    assert rules[1]["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
    assert rules[1]["ports"] == rules[0]["ports"]


def test_private_service_connect_opens_one_address(tmp_path: Path) -> None:
    rules = policy(with_component(tmp_path, "prod", "private-service-connect"), "pcc-google")["egress"]
    assert rules[0]["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0"
    assert rules[1] == {"to": [{"ipBlock": {"cidr": "10.20.0.5/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}


@pytest.mark.parametrize(
    ("component", "name", "namespace"),
    [
        ("operator-namespace", "pcc-operator", "platform"),
        ("monitoring-namespace", "pcc-metrics", "observability"),
    ],
)
def test_another_namespace_replaces_the_default(tmp_path: Path, component: str, name: str, namespace: str) -> None:
    (rule,) = policy(with_component(tmp_path, "prod", component), name)["ingress"]
    (source,) = rule["from"]
    assert source == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


@every_overlay
def test_a_signing_key_is_where_the_flag_says(tmp_path: Path, overlay: str) -> None:
    resources = with_component(tmp_path, overlay, "signing-key")
    named = {(r["kind"], r["metadata"]["name"]): r for r in resources}
    path = named["ConfigMap", "pcc-config"]["data"]["run.model_public_key"]
    folder, _, file = path.rpartition("/")
    assert list(named["ConfigMap", "pcc-signing-key"]["data"]) == [file]
    launcher = named["CronJob", "pcc-daily"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    job_manager = rendered.pods(rendered.run_of(resources))["jobManager"]["spec"]
    for pod, container in ((launcher, launcher["containers"][0]), (job_manager, job_manager["initContainers"][0])):
        (mount,) = (m for m in container["volumeMounts"] if m["mountPath"] == folder)
        (volume,) = (v for v in pod["volumes"] if v["name"] == mount["name"])
        assert volume["configMap"] == {"name": "pcc-signing-key"}
    assert f"--model_public_key={path}" in job_manager["initContainers"][0]["args"]
