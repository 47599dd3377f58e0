"""Runs with a real kubectl and a small API server: we parse its output, and it accepts our input."""

import shutil

import pytest

from tests.deploy.api_server import ApiServer, serving
from tests.deploy.fakes import Deployment
from tests.manifests import tools

pytestmark = pytest.mark.end_to_end  # whole deployments, rendered by a real kubectl


@pytest.fixture
def real(deployment: Deployment) -> Deployment:
    if shutil.which("kubectl", path="/usr/bin:/bin:/usr/local/bin") is None:
        tools.missing("kubectl is not found, so no Job can be made by it")
    (deployment.state / "bin/kubectl").unlink()
    return deployment


@pytest.mark.parametrize("exit_code", [0, 1, 3])
def test_run_by_kubectl_ends_with_its_exit_code(real: Deployment, exit_code: int) -> None:
    with serving(ApiServer(exit_code, log="how it went\n")) as server:
        (real.state / "kubeconfig").write_text(server.kubeconfig())
        ended = real.call("run", "--partition", "20261120", "--replace")

    assert ended.code == exit_code, ended.errors
    assert ended.output == "how it went\n"
    (job,) = server.jobs
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container["args"][0]) == (["beam-pcc", "submit"], "--partition=20261120")
    assert job["spec"]["podFailurePolicy"]["rules"]


def test_backfill_by_kubectl_has_no_deadline(real: Deployment) -> None:
    with serving(ApiServer()) as server:
        (real.state / "kubeconfig").write_text(server.kubeconfig())
        ended = real.call("backfill", "--from", "20261101", "--to", "20261103")

    assert ended.code == 0, ended.errors
    (job,) = server.jobs
    assert "activeDeadlineSeconds" not in job["spec"]


def test_logs_by_kubectl_are_of_the_day(real: Deployment) -> None:
    with serving(ApiServer(log="how it went\n")) as server:
        (real.state / "kubeconfig").write_text(server.kubeconfig())
        real.call("run", "--partition", "20261120")
        ended = real.call("logs", "--partition", "20261120")
        other = real.call("logs", "--partition", "20261121")

    assert (ended.code, ended.output) == (0, "how it went\n")
    assert (other.code, "no launcher of partition 20261121 is left" in other.errors) == (1, True)


def test_unreachable_cluster_is_one_line(real: Deployment) -> None:
    (real.state / "kubeconfig").write_text(ApiServer(port=1).kubeconfig())
    ended = real.call("run", "--partition", "20261120")

    assert ended.code == 1
    assert "no Job can be made from the CronJob pcc-daily: " in ended.errors
    assert len(ended.errors.splitlines()) == 1
