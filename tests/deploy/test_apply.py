"""`beam-pcc deploy apply`: the image by digest, the operators, the layer of this installation, and the proof."""

import json
import stat
import subprocess
from pathlib import Path

import pytest

from tests.deploy.fakes import (
    CURRENT,
    DIGEST,
    PREVIOUS,
    REGISTRY,
    SETTINGS,
    Deployment,
    cron_job,
    job,
    kinds,
    one,
    pod,
    pods,
)

pytestmark = pytest.mark.end_to_end  # whole deployments, rendered by a real kubectl
IMAGE = f"{REGISTRY}/beam-pcc@{DIGEST}"


def changing(deployment: Deployment) -> list[str]:
    return [call for call in deployment.calls() if not call.startswith(("aws sts", "kubectl get"))]


def test_apply_builds_pushes_and_deploys_in_order(deployment: Deployment) -> None:
    ended = deployment.call("apply")

    assert ended.code == 0, ended.errors
    starts = [
        "docker build",
        "docker push",
        "helm upgrade",
        "kubectl apply --kustomize",
        "kubectl --namespace flink-operator",
    ]
    positions = [next(i for i, c in enumerate(deployment.calls()) if c.startswith(start)) for start in starts]
    assert positions == sorted(positions)


def test_apply_deploys_by_digest_everywhere(deployment: Deployment) -> None:
    deployment.call("apply")

    layer = deployment.layer()
    cron = one(layer, "CronJob", "pcc-daily")
    assert cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert one(layer, "ConfigMap", "pcc-config")["data"]["image"] == IMAGE


def test_apply_writes_the_settings_over_the_overlay(deployment: Deployment) -> None:
    deployment.call("apply", PCC_TEMP_DATASET="p1.temp")

    data = one(deployment.layer(), "ConfigMap", "pcc-config")["data"]
    wanted = {"source": "PCC_SOURCE", "warehouse": "PCC_WAREHOUSE", "models": "PCC_MODELS", "staging": "PCC_STAGING"}
    assert {name: data[f"run.{name}"] for name in wanted} == {name: SETTINGS[key] for name, key in wanted.items()}
    assert data["run.temp_dataset"] == "p1.temp"
    assert data["flink.task_managers"] == "2"  # of the overlay


def test_apply_writes_federation_credentials(deployment: Deployment) -> None:
    deployment.call("apply")

    credentials = json.loads(one(deployment.layer(), "ConfigMap", "pcc-google")["data"]["credentials.json"])
    assert credentials["audience"] == f"//iam.googleapis.com/{SETTINGS['GCP_WORKLOAD_PROVIDER']}"
    assert credentials["service_account_impersonation_url"] == (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{SETTINGS['GCP_SERVICE_ACCOUNT']}:generateAccessToken"
    )


def test_apply_records_previous_image(deployment: Deployment) -> None:
    deployment.call("apply")

    assert one(deployment.layer(), "CronJob", "pcc-daily")["metadata"]["annotations"] == {
        "beam-pcc/previous-image": CURRENT
    }


def test_apply_of_same_image_keeps_previous_image(deployment: Deployment) -> None:
    deployment.call("apply", "--image", CURRENT)

    annotations = one(deployment.layer(), "CronJob", "pcc-daily")["metadata"]["annotations"]
    assert annotations["beam-pcc/previous-image"] == PREVIOUS


def test_apply_drops_malformed_previous_image(deployment: Deployment) -> None:
    deployment.reply("get cronjob", cron_job(CURRENT, "x\nkind: Secret"))
    deployment.call("apply", "--image", CURRENT)

    assert "annotations" not in one(deployment.layer(), "CronJob", "pcc-daily")["metadata"]


def test_first_apply_has_no_previous_image(deployment: Deployment) -> None:
    deployment.reply("get cronjob pcc-daily --ignore-not-found", "")
    assert deployment.call("apply").code == 0

    assert "annotations" not in one(deployment.layer(), "CronJob", "pcc-daily")["metadata"]


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (folder / ".gitignore").write_text("*\n")
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "x"]):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_dev_then_prod_push_one_image_once(deployment: Deployment) -> None:
    tag = commit(deployment.folder)
    deployment.reply("^aws ecr describe-repositories")
    assert deployment.call("apply", "--overlay", "dev").code == 0
    ended = deployment.call("apply")

    assert ended.code == 0, ended.errors
    pushes = [call for call in deployment.calls() if call.startswith("docker push")]
    assert pushes == [f"docker push {REGISTRY}/beam-pcc:{tag}"]
    assert f"{tag} is in the registry already: not built again" in ended.errors
    images = {one(deployment.layer(o), "ConfigMap", "pcc-config")["data"]["image"] for o in ("dev", "prod")}
    assert images == {IMAGE}


def test_changed_checkout_gets_a_tag_of_its_own(deployment: Deployment) -> None:
    tag = commit(deployment.folder)
    (deployment.folder / ".gitignore").unlink()
    deployment.call("apply")

    (push,) = [call for call in deployment.calls() if call.startswith("docker push")]
    assert f":{tag}-20" in push


def test_registry_that_cannot_be_read_stops_apply(deployment: Deployment) -> None:
    deployment.reply("describe-images", code=254, error="An error occurred (AccessDeniedException)")
    ended = deployment.call("apply")

    assert (ended.code, "AccessDeniedException" in ended.errors) == (1, True)
    assert not any(call.startswith("docker") for call in deployment.calls())


def test_registry_in_china_has_its_own_domain(deployment: Deployment) -> None:
    shown = deployment.call("apply", "--dry-run", AWS_REGION="cn-north-1").output

    assert "docker push 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/beam-pcc:TAG" in shown


def test_named_image_is_not_built(deployment: Deployment) -> None:
    deployment.call("apply", "--image", f"registry.example:5000/x/beam-pcc@{DIGEST}")

    assert not any(call.startswith(("docker", "aws ecr")) for call in deployment.calls())
    assert one(deployment.layer(), "ConfigMap", "pcc-config")["data"]["image"].startswith("registry.example:5000/x/")


def test_existing_operators_are_not_reinstalled(deployment: Deployment) -> None:
    deployment.reply(r"^kubectl get crd")
    deployment.reply(r"^aws ecr describe-repositories")
    deployment.call("apply")

    assert not any(call.startswith(("helm", "aws ecr create")) for call in deployment.calls())


@pytest.mark.parametrize(
    ("crd", "flags", "there"), [(True, [], True), (False, [], False), (True, ["--no-alerts"], False)]
)
def test_alerts_need_their_crd(deployment: Deployment, crd: bool, flags: list[str], there: bool) -> None:
    deployment.reply(r"get crd prometheusrules", code=0 if crd else 1)
    deployment.call("apply", *flags)

    assert ({"PodMonitor", "PrometheusRule"} <= kinds(deployment.layer())) == there
    assert ({"PodMonitor", "PrometheusRule"} & kinds(deployment.layer()) != set()) == there


def test_session_of_dev_has_the_image_everywhere(deployment: Deployment) -> None:
    deployment.call("apply", "--overlay", "dev", "--image", f"x/beam-pcc@{DIGEST}")

    session = one(deployment.layer("dev"), "FlinkDeployment", "pcc-session")
    containers = session["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]
    images = {session["spec"]["image"], *(c["image"] for c in containers if "image" in c)}
    assert images == {f"x/beam-pcc@{DIGEST}"}


def test_dev_has_a_namespace_of_its_own(deployment: Deployment) -> None:
    deployment.call("apply", "--overlay", "dev")

    spaces = {r["metadata"].get("namespace", r["metadata"]["name"]) for r in deployment.layer("dev")}
    assert spaces == {"pcc-dev"}
    assert not any("pcc-system" in call for call in deployment.calls())


def test_prod_removes_a_session_left_behind(deployment: Deployment) -> None:
    deployment.call("apply")

    removal = "kubectl --namespace pcc-system delete flinkdeployment pcc-session --ignore-not-found"
    assert removal in deployment.calls()
    assert "FlinkDeployment" not in kinds(deployment.layer())


def test_dev_keeps_its_session(deployment: Deployment) -> None:
    deployment.call("apply", "--overlay", "dev")

    assert not any("delete flinkdeployment" in call for call in deployment.calls())


def test_prod_announces_its_daily_run(deployment: Deployment) -> None:
    ended = deployment.call("apply")

    assert "the daily run is at 0 2 * * * (cron, Etc/UTC)" in ended.errors
    assert "beam-pcc deploy run --partition yesterday" in ended.errors


def test_dev_announces_no_daily_run(deployment: Deployment) -> None:
    deployment.reply("get cronjob", cron_job(suspend=True))
    ended = deployment.call("apply", "--overlay", "dev")

    assert "there is no daily run" in ended.errors
    assert "02:00" not in ended.errors
    assert "run --overlay dev --partition yesterday" in ended.errors


def test_apply_checks_launcher_by_rendering(deployment: Deployment) -> None:
    deployment.call("apply")

    job = json.loads(deployment.stdin_of("kubectl --namespace pcc-system create --filename -"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["beam-pcc", "submit"]
    assert container["args"][1:] == ["--render"]
    assert any("delete job pcc-check-" in call for call in deployment.calls())


def test_apply_ends_with_exit_code_of_launcher_check(deployment: Deployment) -> None:
    deployment.reply("get job ", job("Failed", "PodFailurePolicy"))
    deployment.reply("get pods ", pods(pod(exit_code=2)))
    ended = deployment.call("apply")

    assert ended.code == 2
    line = ended.errors.splitlines()[-1]
    assert "the launcher cannot do its work (wrong configuration)" in line
    assert "kubectl --kubeconfig local/kubeconfig-prod --namespace pcc-system logs job/pcc-check-" in line
    assert any(" logs job/pcc-check-" in call for call in deployment.calls())


@pytest.mark.parametrize("program", ["docker build", "docker push", "docker login", "helm", "kubectl apply"])
def test_failing_program_stops_apply(deployment: Deployment, program: str) -> None:
    deployment.reply(f"^{program}", code=7)
    ended = deployment.call("apply")

    assert ended.code == 1
    assert f"{program.split()[0]} {[*program.split(), 'upgrade'][1]} ended with exit code 7" in ended.errors
    assert not any("create job" in call for call in deployment.calls())


def test_key_file_goes_into_a_secret_only(deployment: Deployment) -> None:
    key = deployment.state / "key.json"
    key.write_text('{"type": "service_account", "private_key": "hush"}')
    ended = deployment.call("apply", GCP_KEY_FILE=str(key))

    assert ended.code == 0, ended.errors
    secret = f"create secret generic pcc-google-key --from-file=credentials.json={key}"
    assert any(secret in call for call in deployment.calls())
    assert deployment.stdin_of("kubectl --namespace pcc-system apply --filename -") == "kind: Secret of the key\n"
    assert "kubectl --namespace pcc-system delete configmap pcc-google --ignore-not-found" in deployment.calls()
    written = [path.read_text() for path in (deployment.folder / "k8s/flink-operator/deployed").rglob("*.*")]
    assert "hush" not in ended.output + ended.errors + "".join(written)
    assert len(written) == 1  # no credentials.json


def test_registry_password_is_seen_by_docker_only(deployment: Deployment) -> None:
    ended = deployment.call("apply")

    assert deployment.stdin_of("docker login").strip() == "secret-of-ecr"
    assert "secret-of-ecr" not in ended.output + ended.errors + "\n".join(deployment.calls())


def test_written_files_are_for_this_user_only(deployment: Deployment) -> None:
    deployment.call("apply")

    files = [deployment.folder / name for name in deployment.files() if (deployment.folder / name).is_file()]
    assert {path.name for path in files} == {"kubeconfig-prod", "kustomization.yaml", "credentials.json"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, path


def test_apply_writes_only_below_local_and_deployed(deployment: Deployment) -> None:
    deployment.call("apply", "--overlay", "dev")

    assert {name.split("/")[0] for name in deployment.files()} == {"local", "k8s"}
    assert all(name.startswith(("local", "k8s/flink-operator/deployed")) for name in deployment.files())


@pytest.mark.parametrize("name", SETTINGS)
def test_missing_setting_is_named(deployment: Deployment, name: str) -> None:
    ended = deployment.call("apply", **{name: ""})

    assert (ended.code, ended.errors) == (2, f"beam-pcc: not set: {name}; see beam-pcc deploy --help\n")
    assert deployment.calls() == []


def test_missing_program_is_named(deployment: Deployment) -> None:
    (deployment.state / "bin/helm").unlink()
    ended = deployment.call("apply", PATH=f"{deployment.state}/bin")

    assert (ended.code, ended.errors.splitlines()[-1]) == (2, "beam-pcc: helm is not found; install it")
