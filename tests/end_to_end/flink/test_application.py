"""Application mode: Flink runs a job jar by itself, without a process that waits for it."""

import time
import zipfile
from pathlib import Path

import pytest

from tests.end_to_end.conftest import DAY, Workspace
from tests.end_to_end.flink.cluster import SLOTS, Cluster, require_tools, script
from tests.ports import free_ports

RUN_ID = f"{DAY}-20261121T020000Z-0123abcd"


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Where Flink will listen; it is not up."""
    require_tools()
    return Cluster(tmp_path / "flink", free_ports(5))


@pytest.fixture
def job_jar(workspace: Workspace, cluster: Cluster) -> Path:
    jar = workspace.folder / "jobs" / "job.jar"
    ended = workspace.call(
        *("jobjar", "--output", jar, "--partition", DAY, "--run_id", RUN_ID),
        *workspace.flags("sample://4000", "--environment_config", f"localhost:{cluster.worker_port}"),
    )
    assert ended.code == 0, ended.err
    assert ended.out == f"{jar}: {jar.stat().st_size:,} bytes, run {RUN_ID}\n"
    return jar


def run_job(cluster: Cluster, jar: Path) -> None:
    """Flink in application mode, from start to end."""
    ended = script("job", jar, "--slots", SLOTS, *cluster.ports)
    assert ended.returncode == 0, ended.stderr


def test_job_jar_publishes_same_rows_as_in_process_run(workspace: Workspace, cluster: Cluster, job_jar: Path) -> None:
    run_job(cluster, job_jar)
    (row,) = workspace.monitoring()
    published = workspace.published()
    workspace.run("sample://4000")

    assert (row["run_id"], row["status"]) == (RUN_ID, "success")
    assert published == workspace.published()


def test_repeated_job_uses_existing_outcome(workspace: Workspace, cluster: Cluster, job_jar: Path) -> None:
    """As a JobManager does that was restarted after the job had published."""
    run_job(cluster, job_jar)
    first = workspace.monitoring()
    workspace.query("DELETE FROM pcc_inference_output RETURNING 1")
    run_job(cluster, job_jar)

    assert workspace.monitoring() == first
    assert workspace.published() == []


def test_jar_contains_the_job_but_no_classes(job_jar: Path) -> None:
    names = zipfile.ZipFile(job_jar).namelist()

    assert {name for name in names if "/" in name} == {
        "META-INF/MANIFEST.MF",
        "BEAM-PIPELINE/pipeline-manifest.json",
        "BEAM-PIPELINE/pipeline/pipeline.json",
        "BEAM-PIPELINE/pipeline/pipeline-options.json",
    }
    assert job_jar.stat().st_size < 1_000_000
    assert not list(job_jar.parent.glob(".jobjar-*"))


def test_wrong_configuration_writes_no_jar(workspace: Workspace) -> None:
    jar = workspace.folder / "job.jar"
    started = time.monotonic()
    ended = workspace.call("jobjar", "--output", jar, "--partition", DAY, *workspace.flags("nowhere/*.parquet"))

    assert ended.code == 2
    assert "matches no file" in ended.err
    assert not jar.exists()
    assert time.monotonic() - started < 60
