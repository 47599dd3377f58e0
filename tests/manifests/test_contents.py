"""The content of rendered overlays: Pod Security `restricted`, arrays merged by name, least privileges."""

from typing import Any

import pytest
import yaml

from beam_pcc.config.options import options_of
from beam_pcc.config.settings import GROUPS
from tests.manifests import rendered
from tests.manifests.rendered import NAMESPACES, OVERLAYS, quantity, total
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
def test_pods_pass_pod_security_restricted(overlay: str, name: str) -> None:
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
def test_writable_folders_are_mounted(overlay: str, name: str) -> None:
    spec = pod_spec(overlay, name)
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in containers(spec):
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        assert "/tmp" in mounts, container["name"]
        if container["name"] == "flink-main-container":
            assert "/opt/flink/log" in mounts


@every_pod
def test_google_credentials_are_only_in_python_containers(overlay: str, name: str) -> None:
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
def test_only_the_launcher_has_a_kubernetes_token(overlay: str, name: str) -> None:
    assert pod_spec(overlay, name)["automountServiceAccountToken"] is (name == "pcc-daily")


@every_overlay
def test_pod_template_arrays_are_merged_by_name(overlay: str) -> None:
    run = rendered.run(overlay)
    assert run["spec"]["flinkConfiguration"]["kubernetes.operator.pod-template.merge-arrays-by-name"] == "true"
    templates = rendered.pods(run)
    names = {part: [c["name"] for c in pod["spec"]["containers"]] for part, pod in templates.items()}
    assert names == {
        "jobManager": ["flink-main-container"],
        "taskManager": ["flink-main-container", "python-workers"],
    }
    mounts = {m["mountPath"] for m in templates["jobManager"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts == {"/tmp", "/opt/flink/log", "/opt/flink/lib/job"}


@every_overlay
def test_job_jar_is_written_where_flink_reads_it(overlay: str) -> None:
    commands = rendered.commands(rendered.run(overlay))
    assert commands.job_jar[:3] == ["beam-pcc", "jobjar", "--output=/opt/flink/lib/job/job.jar"]
    assert commands.job_manager[-1] == "org.apache.beam.runners.flink.FlinkPipelineRunner"
    assert "jarURI" not in rendered.run(overlay)["spec"]["job"]


@every_overlay
def test_parallelism_equals_all_slots(overlay: str) -> None:
    spec = rendered.run(overlay)["spec"]
    slots = int(spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    assert spec["job"]["parallelism"] == slots * spec["taskManager"]["replicas"]
    assert f"--parallelism={spec['job']['parallelism']}" in rendered.commands(rendered.run(overlay)).job_jar


@every_overlay
def test_all_containers_have_the_same_image(overlay: str) -> None:
    cron = rendered.one(overlay, "CronJob", "pcc-daily")
    image = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert rendered.one(overlay, "ConfigMap", "pcc-config")["data"]["image"] == image
    templates = rendered.pods(rendered.run(overlay))
    assert {c["image"] for pod in templates.values() for c in containers(pod["spec"])} == {image}


@every_overlay
def test_resources_have_labels_and_namespace(overlay: str) -> None:
    for one in rendered.resources(overlay):
        assert one["metadata"]["labels"]["app"] == "pcc-pipeline", one["metadata"]["name"]
        where = one["metadata"].get("namespace") if one["kind"] != "Namespace" else one["metadata"]["name"]
        assert where == NAMESPACES[overlay], one["metadata"]["name"]


@every_overlay
def test_overlays_do_not_share_namespaces(overlay: str) -> None:
    (other,) = set(NAMESPACES.values()) - {NAMESPACES[overlay]}
    assert other not in rendered.text(f"overlays/{overlay}")


@every_overlay
def test_role_is_bound_to_launcher_of_the_namespace(overlay: str) -> None:
    (subject,) = rendered.one(overlay, "RoleBinding", "pcc-launcher")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "pcc-launcher", "namespace": NAMESPACES[overlay]}


@every_overlay
def test_run_is_created_in_the_launchers_namespace(overlay: str) -> None:
    assert "namespace" not in rendered.run(overlay)["metadata"]  # another than the request's is refused by the API


def test_only_dev_has_a_session_cluster() -> None:
    kinds = {overlay: [r["kind"] for r in rendered.resources(overlay)] for overlay in OVERLAYS}
    assert kinds["dev"].count("FlinkDeployment") == 1
    assert "FlinkDeployment" not in kinds["prod"]


@every_overlay
def test_the_namespace_enforces_restricted(overlay: str) -> None:
    labels = rendered.one(overlay, "Namespace", NAMESPACES[overlay])["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_launcher_has_least_privileges() -> None:
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


def policies(overlay: str) -> dict[str, dict[str, Any]]:
    return {r["metadata"]["name"]: r["spec"] for r in rendered.resources(overlay) if r["kind"] == "NetworkPolicy"}


def ports(rule: dict[str, Any]) -> set[int]:
    assert all(port["protocol"] == "TCP" for port in rule["ports"])
    return {port["port"] for port in rule["ports"]}


def fixed_ports(deployment: dict[str, Any]) -> set[int]:
    """Every port of Flink's configuration, but for the one that Prometheus reads."""
    configuration = deployment["spec"]["flinkConfiguration"]
    return {int(value) for key, value in configuration.items() if key.endswith(".port") and "reporter" not in key}


@every_overlay
def test_worker_port_is_closed(overlay: str) -> None:
    specs = policies(overlay).values()
    deny = [p for p in specs if p["podSelector"] == {} and "ingress" not in p and "egress" not in p]
    assert [sorted(p["policyTypes"]) for p in deny] == [["Egress", "Ingress"]]
    for policy in specs:
        for rule in policy.get("ingress", []):
            assert rule["from"]
            assert 50000 not in ports(rule)
    assert not any(r["kind"] == "Service" for r in rendered.resources(overlay))


@every_overlay
def test_flink_ports_are_fixed_and_open_between_pods(overlay: str) -> None:
    rules = policies(overlay)["pcc-flink"]
    deployments = [rendered.run(overlay), *(r for r in rendered.resources(overlay) if r["kind"] == "FlinkDeployment")]
    for deployment in deployments:
        assert "metrics.internal.query-service.port" in deployment["spec"]["flinkConfiguration"]
        for rule in (*rules["ingress"], *rules["egress"]):
            assert ports(rule) == fixed_ports(deployment)


@every_overlay
def test_rest_api_is_open_to_operator_and_launcher(overlay: str) -> None:
    rules = policies(overlay)
    flink, launcher = (
        {"app.kubernetes.io/name": "pcc-pipeline", "app.kubernetes.io/component": component}
        for component in ("flink", "launcher")
    )
    rest = [{"port": 8081, "protocol": "TCP"}]
    assert rules["pcc-progress"]["podSelector"] == rules["pcc-operator"]["podSelector"] == {"matchLabels": flink}
    assert rules["pcc-progress"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": launcher}}], "ports": rest}]
    assert rules["pcc-launcher"]["podSelector"] == {"matchLabels": launcher}
    assert {"to": [{"podSelector": {"matchLabels": flink}}], "ports": rest} in rules["pcc-launcher"]["egress"]
    operator = {"matchLabels": {"kubernetes.io/metadata.name": "flink-operator"}}
    assert rules["pcc-operator"]["ingress"] == [{"from": [{"namespaceSelector": operator}], "ports": rest}]


@every_overlay
def test_pods_of_an_ended_run_are_removed_soon(overlay: str) -> None:
    configuration = rendered.run(overlay)["spec"]["flinkConfiguration"]
    assert configuration["kubernetes.operator.jm-deployment.shutdown-ttl"] == "30 s"


def test_policies_and_monitor_select_the_pods() -> None:
    templates = [*rendered.pods(rendered.run("prod")).values(), rendered.all_pods("prod")["pcc-daily"]]
    selectors = [
        r["spec"]["podSelector"]["matchLabels"]
        for r in rendered.resources("prod")
        if r["kind"] == "NetworkPolicy" and r["spec"]["podSelector"]
    ]
    selectors.append(rendered.one("prod", "PodMonitor", "pcc-pipeline")["spec"]["selector"]["matchLabels"])
    for wanted in selectors:
        assert any(wanted.items() <= pod["metadata"]["labels"].items() for pod in templates), wanted
    endpoint = rendered.one("prod", "PodMonitor", "pcc-pipeline")["spec"]["podMetricsEndpoints"][0]["port"]
    for pod in templates:
        ports = [port for c in containers(pod["spec"]) for port in c.get("ports", [])]
        assert {"name": endpoint, "containerPort": 9249} in ports


RUNS_AT_ONCE = {"dev": 1, "prod": 3}  # prod: the daily one, and a backfill with --parallel 2
LAUNCHERS_AT_ONCE = {
    "dev": 2,
    "prod": 2,
}  # a run by hand while the deployment is checked; the daily one and the backfill's


def needed(overlay: str) -> dict[str, float]:
    """What may exist at once. One run more is counted: one that has ended keeps its pods for up to a minute."""
    run = rendered.deployment_amounts(rendered.run(overlay))
    launcher = rendered.pod_amounts(rendered.all_pods(overlay)["pcc-daily"])
    sessions = [rendered.deployment_amounts(r) for r in rendered.resources(overlay) if r["kind"] == "FlinkDeployment"]
    return total([*[run] * (RUNS_AT_ONCE[overlay] + 1), *[launcher] * LAUNCHERS_AT_ONCE[overlay], *sessions])


@every_overlay
def test_concurrent_runs_fit_the_quota(overlay: str) -> None:
    hard = rendered.one(overlay, "ResourceQuota", "pcc-quota")["spec"]["hard"]
    for name, amount in needed(overlay).items():
        assert amount <= quantity(hard[name]), name
        assert name == "pods" or amount > 0.75 * quantity(hard[name]), f"{name}: the quota limits nothing"


@every_overlay
def test_finished_flinkdeployments_fit_the_quota(overlay: str) -> None:
    hard = rendered.one(overlay, "ResourceQuota", "pcc-quota")["spec"]["hard"]
    keep = int(rendered.one(overlay, "ConfigMap", "pcc-config")["data"]["launcher.keep"])
    sessions = sum(r["kind"] == "FlinkDeployment" for r in rendered.resources(overlay))
    assert keep + RUNS_AT_ONCE[overlay] + sessions < quantity(hard["count/flinkdeployments.flink.apache.org"])


def test_pod_requests_include_largest_init_container() -> None:
    def container(cpu: str, memory: str) -> dict[str, Any]:
        return {"resources": {side: {"cpu": cpu, "memory": memory} for side in ("requests", "limits")}}

    spec = {
        "initContainers": [container("500m", "3Gi"), container("100m", "1Gi")],
        "containers": [container("400m", "1Gi"), container("600m", "512Mi")],
    }
    amounts = rendered.pod_amounts({"spec": spec})
    assert amounts == {
        "requests.cpu": 1.0,
        "requests.memory": 3 * 2**30,
        "limits.cpu": 1.0,
        "limits.memory": 3 * 2**30,
        "pods": 1,
    }


def test_daily_run_is_at_two_utc_without_overlap() -> None:
    spec = rendered.one("prod", "CronJob", "pcc-daily")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("0 2 * * *", "Etc/UTC", "Forbid")
    assert "suspend" not in spec
    assert rendered.one("dev", "CronJob", "pcc-daily")["spec"]["suspend"] is True


def test_manual_job_equals_the_daily_job() -> None:
    manual = yaml.safe_load((ROOT / "k8s/flink-operator/manual/job.yaml").read_text())["spec"]
    daily = rendered.one("prod", "CronJob", "pcc-daily")["spec"]["jobTemplate"]["spec"]
    container = manual["template"]["spec"]["containers"][0]
    container["args"] = ["--partition=yesterday", *container["args"][1:]]
    assert manual == daily


def test_the_launchers_flags_are_known() -> None:
    from beam_pcc.cli import main as cli

    container = rendered.all_pods("prod")["pcc-daily"]["spec"]["containers"][0]
    flags, rest = cli._parser().parse_known_args([*container["command"][1:], *container["args"]])
    assert (flags.command, rest) == ("submit", [])
    assert flags.metrics_port == container["ports"][0]["containerPort"]


@every_overlay
def test_the_job_jars_flags_are_known(overlay: str) -> None:
    from beam_pcc.cli import main as cli

    command = rendered.commands(rendered.run(overlay)).job_jar
    flags, rest = cli._parser().parse_known_args(command[1:])
    assert flags.run_id.startswith("20261120-")
    assert [flag.partition("=")[0] for flag in rest] == ["--parallelism", "--sdk_worker_parallelism"]


def test_session_cluster_accepts_jobs() -> None:
    spec = rendered.one("dev", "FlinkDeployment", "pcc-session")["spec"]
    assert "job" not in spec
    assert spec["flinkConfiguration"]["web.submit.enable"] == "true"
    assert [c["name"] for c in rendered.all_pods("dev")["pcc-session taskManager"]["spec"]["containers"]][
        -1
    ] == "python-workers"


@every_overlay
def test_run_accepts_no_submissions(overlay: str) -> None:
    assert rendered.run(overlay)["spec"]["flinkConfiguration"]["web.submit.enable"] == "false"


@every_overlay
def test_config_map_settings_are_settings_of_a_run(overlay: str) -> None:
    config = rendered.one(overlay, "ConfigMap", "pcc-config")["data"]
    known = {f"run.{one.flag}" for group in GROUPS for one in options_of(group)}
    assert {name for name in config if name.startswith("run.")} <= known
