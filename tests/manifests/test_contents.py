"""What rendered overlays must hold: Pod Security `restricted` field by field, arrays merged by name, least rights."""

import re
from typing import Any

import pytest
import yaml

from tests.manifests import rendered
from tests.manifests.rendered import OVERLAYS
from tests.manifests.tools import ROOT

PODS = [(overlay, name) for overlay in OVERLAYS for name in rendered.all_pods(overlay)]
every_pod = pytest.mark.parametrize(("overlay", "name"), PODS)
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def pod_spec(overlay: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = rendered.all_pods(overlay)[name]["spec"]
    return spec


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


@every_pod
def test_the_pod_is_fit_for_pod_security_restricted(overlay: str, name: str) -> None:
    spec = pod_spec(overlay, name)
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == 9999
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"):
        assert field not in spec
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= allowed, volume["name"]
    for container in containers(spec):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, container["name"]
        assert own["privileged"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own.get("runAsNonRoot", True) is True
        assert "runAsUser" not in own
        assert "hostPort" not in str(container.get("ports"))
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])


@every_pod
def test_what_a_read_only_root_needs_is_mounted(overlay: str, name: str) -> None:
    spec = pod_spec(overlay, name)
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in containers(spec):
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        assert "/tmp" in mounts, container["name"]
        if container["name"] == "flink-main-container":
            assert "/opt/flink/log" in mounts


@every_pod
def test_google_credentials_are_where_python_runs_and_nowhere_else(overlay: str, name: str) -> None:
    spec = pod_spec(overlay, name)
    for container in containers(spec):
        python = container["name"] != "flink-main-container"
        assert ("google" in {m["name"] for m in container["volumeMounts"]}) is python, container["name"]
        environment = {e["name"]: e.get("value") for e in container.get("env", [])}
        path = "/var/run/secrets/google/credentials.json" if python else None
        assert environment.get("GOOGLE_APPLICATION_CREDENTIALS") == path
    sources = next(v for v in spec["volumes"] if v["name"] == "google")["projected"]["sources"]
    assert sources[0]["serviceAccountToken"] == {"path": "token", "audience": "beam-pcc", "expirationSeconds": 3600}


@every_pod
def test_only_the_launcher_has_a_token_for_the_kubernetes_api(overlay: str, name: str) -> None:
    assert pod_spec(overlay, name)["automountServiceAccountToken"] is (name == "pcc-daily")


@every_overlay
def test_arrays_of_pod_templates_are_merged_by_name(overlay: str) -> None:
    run = rendered.run(overlay)
    assert run["spec"]["flinkConfiguration"]["kubernetes.operator.pod-template.merge-arrays-by-name"] == "true"
    made = rendered.pods(run)
    names = {part: [c["name"] for c in pod["spec"]["containers"]] for part, pod in made.items()}
    assert names == {
        "jobManager": ["flink-main-container"],
        "taskManager": ["flink-main-container", "python-workers"],
    }
    mounts = {m["mountPath"] for m in made["jobManager"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts == {"/tmp", "/opt/flink/log", "/opt/flink/lib/job"}


@every_overlay
def test_the_job_jar_is_written_where_flink_looks_for_it(overlay: str) -> None:
    commands = rendered.commands(rendered.run(overlay))
    assert commands.job_jar[:3] == ["beam-pcc", "jobjar", "--output=/opt/flink/lib/job/job.jar"]
    assert commands.job_manager[-1] == "org.apache.beam.runners.flink.FlinkPipelineRunner"
    assert "jarURI" not in rendered.run(overlay)["spec"]["job"]


@every_overlay
def test_each_slot_has_its_part_of_the_job(overlay: str) -> None:
    spec = rendered.run(overlay)["spec"]
    slots = int(spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    assert spec["job"]["parallelism"] == slots * spec["taskManager"]["replicas"]
    assert f"--parallelism={spec['job']['parallelism']}" in rendered.commands(rendered.run(overlay)).job_jar


@every_overlay
def test_one_image_is_everywhere(overlay: str) -> None:
    cron = rendered.one(overlay, "CronJob", "pcc-daily")
    image = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert rendered.one(overlay, "ConfigMap", "pcc-config")["data"]["image"] == image
    made = rendered.pods(rendered.run(overlay))
    assert {c["image"] for pod in made.values() for c in containers(pod["spec"])} == {image}


@every_overlay
def test_everything_is_labelled_and_in_the_namespace(overlay: str) -> None:
    for one in rendered.resources(overlay):
        assert one["metadata"]["labels"]["app"] == "pcc-pipeline", one["metadata"]["name"]
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "pcc-system", one["metadata"]["name"]


def test_the_namespace_enforces_restricted() -> None:
    labels = rendered.one("prod", "Namespace", "pcc-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_launcher_may_do_what_it_does_and_no_more() -> None:
    rules = rendered.one("prod", "Role", "pcc-launcher")["rules"]
    assert "*" not in str(rules)
    rights = {(r, verb) for rule in rules for r in rule["resources"] for verb in rule["verbs"]}
    assert rights == {
        *(("flinkdeployments", verb) for verb in ("create", "delete", "get", "list", "watch")),
        ("configmaps", "get"),
        ("pods", "list"),
        ("events", "list"),
    }
    assert all(r["kind"] != "ClusterRole" for r in rendered.resources("prod"))


def test_the_worker_port_is_open_to_nobody() -> None:
    policies = [r["spec"] for r in rendered.resources("prod") if r["kind"] == "NetworkPolicy"]
    deny = [p for p in policies if p["podSelector"] == {} and "ingress" not in p and "egress" not in p]
    assert [sorted(p["policyTypes"]) for p in deny] == [["Egress", "Ingress"]]
    for policy in policies:
        for rule in policy.get("ingress", []):
            assert rule["from"]
            assert {port["port"] for port in rule["ports"]} <= {6121, 6122, 6123, 6124, 8081, 9249}
    assert not any(r["kind"] == "Service" for r in rendered.resources("prod"))


def test_the_policies_and_the_monitor_select_the_pods_that_are_made() -> None:
    made = [*rendered.pods(rendered.run("prod")).values(), rendered.all_pods("prod")["pcc-daily"]]
    selectors = [
        r["spec"]["podSelector"]["matchLabels"]
        for r in rendered.resources("prod")
        if r["kind"] == "NetworkPolicy" and r["spec"]["podSelector"]
    ]
    selectors.append(rendered.one("prod", "PodMonitor", "pcc-pipeline")["spec"]["selector"]["matchLabels"])
    for wanted in selectors:
        assert any(wanted.items() <= pod["metadata"]["labels"].items() for pod in made), wanted
    endpoint = rendered.one("prod", "PodMonitor", "pcc-pipeline")["spec"]["podMetricsEndpoints"][0]["port"]
    for pod in made:
        ports = [port for c in containers(pod["spec"]) for port in c.get("ports", [])]
        assert {"name": endpoint, "containerPort": 9249} in ports


@every_overlay
def test_a_run_fits_the_quota(overlay: str) -> None:
    hard = rendered.one(overlay, "ResourceQuota", "pcc-quota")["spec"]["hard"]
    run = rendered.run(overlay)
    need = {"requests.cpu": 0.0, "requests.memory": 0.0, "limits.cpu": 0.0, "limits.memory": 0.0}
    for part, pod in rendered.pods(run).items():
        for container in pod["spec"]["containers"]:
            for kind in ("requests", "limits"):
                for what in ("cpu", "memory"):
                    replicas = run["spec"][part]["replicas"]
                    need[f"{kind}.{what}"] += replicas * quantity(container["resources"][kind][what])
    for name, value in need.items():
        assert value < 0.9 * quantity(hard[name]), name


def quantity(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi)?", text).groups()  # type: ignore[union-attr]
    return float(number) * {"m": 1e-3, "Mi": 2**20, "Gi": 2**30, None: 1.0}[unit]


def test_the_daily_run_is_at_two_in_utc_and_never_twice() -> None:
    spec = rendered.one("prod", "CronJob", "pcc-daily")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("0 2 * * *", "Etc/UTC", "Forbid")
    assert "suspend" not in spec
    assert rendered.one("dev", "CronJob", "pcc-daily")["spec"]["suspend"] is True


def test_the_manual_job_is_the_daily_one_for_another_day() -> None:
    manual = yaml.safe_load((ROOT / "k8s/flink-operator/manual/job.yaml").read_text())["spec"]
    daily = rendered.one("prod", "CronJob", "pcc-daily")["spec"]["jobTemplate"]["spec"]
    container = manual["template"]["spec"]["containers"][0]
    container["args"] = ["--partition=yesterday", *container["args"][1:]]
    assert manual == daily


def test_the_launchers_flags_are_known() -> None:
    from beam_pcc import cli

    container = rendered.all_pods("prod")["pcc-daily"]["spec"]["containers"][0]
    flags, rest = cli._parser().parse_known_args([*container["command"][1:], *container["args"]])
    assert (flags.command, rest) == ("submit", [])
    assert flags.metrics_port == container["ports"][0]["containerPort"]


@every_overlay
def test_the_job_jars_flags_are_known(overlay: str) -> None:
    from beam_pcc import cli

    command = rendered.commands(rendered.run(overlay)).job_jar
    flags, rest = cli._parser().parse_known_args(command[1:])
    assert flags.run_id.startswith("20261120-")
    assert [flag.partition("=")[0] for flag in rest] == ["--parallelism", "--sdk_worker_parallelism"]


def test_the_session_cluster_has_no_job_and_takes_them() -> None:
    spec = rendered.one("dev", "FlinkDeployment", "pcc-session")["spec"]
    assert "job" not in spec
    assert spec["flinkConfiguration"]["web.submit.enable"] == "true"
    assert [c["name"] for c in rendered.all_pods("dev")["pcc-session taskManager"]["spec"]["containers"]][
        -1
    ] == "python-workers"


@every_overlay
def test_a_run_takes_no_submissions(overlay: str) -> None:
    assert rendered.run(overlay)["spec"]["flinkConfiguration"]["web.submit.enable"] == "false"
