"""The commands and settings of the rendered FlinkDeployment, on a local Flink without Kubernetes."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from beam_pcc.kubernetes.plan import Manifests, plan
from tests.end_to_end.conftest import DATE, Workspace
from tests.end_to_end.flink.cluster import SCRIPT, Cluster, require_tools, script
from tests.launcher.conftest import TEMPLATE, config
from tests.manifests.rendered import commands
from tests.ports import free_ports

# Of pods, or of the machine.
OURS = (
    "kubernetes.",
    "env.",
    "metrics.",
    "taskmanager.rpc.port",
    "taskmanager.data.port",
)


def test_rendered_commands_publish_the_partition(workspace: Workspace, tmp_path: Path) -> None:
    require_tools()
    cluster = Cluster(tmp_path / "flink", free_ports(5))
    values = config(tmp_path) | {"run.source": "sample://4000", "run.models": str(workspace.models), "flink.slots": "2"}
    planned = plan(
        Manifests(values, yaml.safe_load(TEMPLATE.read_text())),
        [f"--environment_config=localhost:{cluster.worker_port}"],
        DATE,
    ).with_model()
    run = commands(planned.resource)

    jar = tmp_path / "lib/job/job.jar"
    first, *rest = (part.replace("/opt/flink/lib", str(tmp_path / "lib")) for part in run.job_jar)
    assert first == "beam-pcc"
    jar_run = subprocess.run(
        [sys.executable, "-m", "beam_pcc", *rest],
        env={**os.environ, **run.job_jar_environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert jar_run.returncode == 0, jar_run.stderr

    # flink/cluster.sh starts what the containers start: the same entry class, the same pool of workers.
    assert run.job_manager[-1] in SCRIPT.read_text()
    assert run.workers[:3] == ["python", "-m", "beam_pcc.flink.worker_pool"]
    assert "-m beam_pcc.flink.worker_pool" in SCRIPT.read_text()
    settings = [f"{key}={value}" for key, value in run.configuration.items() if not key.startswith(OURS)]
    options = [part for setting in settings for part in ("-D", setting)]
    ended = script("job", jar, "--slots", run.configuration["taskmanager.numberOfTaskSlots"], *cluster.ports, *options)

    assert ended.returncode == 0, ended.stderr
    (row,) = workspace.monitoring()
    assert (row["run_id"], row["status"]) == (planned.submission.run_id, "success")
    assert len(workspace.published()) == row["passed_validation"] > 3_000
