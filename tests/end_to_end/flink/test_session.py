"""Runs on a session cluster: the same outcome as in-process, and the progress log."""

import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from beam_pcc.flink import runner
from beam_pcc.flink.rest import FlinkCluster, Progress, counters, progress
from beam_pcc.progress import views
from tests.end_to_end.conftest import DAY, Ended, Workspace
from tests.end_to_end.flink.cluster import SLOTS, Cluster, running, wait_for
from tests.end_to_end.texts import partition, train
from tests.messages import labelled_messages, long_messages

LONG = "sample://600000"  # long enough to meddle with


def run(workspace: Workspace, cluster: Cluster, source: object = "sample://4000", *more: object) -> Ended:
    return workspace.run(source, *cluster.flags, *more)


@contextmanager
def started(workspace: Workspace, cluster: Cluster, source: str = LONG) -> "Iterator[subprocess.Popen[str]]":
    """A run in a process of its own, which does not outlive the test."""
    process = workspace.spawn("run", "--partition", DAY, *workspace.flags(source, *cluster.flags))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def test_session_publishes_same_rows_as_in_process_run(workspace: Workspace, cluster: Cluster) -> None:
    workspace.run("sample://4000")
    in_process = workspace.published()
    rejected = workspace.query("SELECT case_id, reason, detail FROM pcc_quarantine ORDER BY ALL")
    ended = run(workspace, cluster)

    assert ended.code == 0, ended.err
    assert "published" in ended.out
    assert workspace.published() == in_process
    assert workspace.query("SELECT case_id, reason, detail FROM pcc_quarantine ORDER BY ALL") == rejected
    first, second = workspace.monitoring()
    assert first["run_id"] != second["run_id"]
    assert {first["status"], second["status"]} == {"success"}


def test_onnx_model_labels_as_the_original(workspace: Workspace, cluster: Cluster) -> None:
    """The trained version, and the same as ONNX in-process and on Flink."""
    workspace.run("sample://4000")
    original = workspace.published()
    (file,) = workspace.models.glob("v*/model.joblib")
    labelled = workspace.models.parent / "labelled.parquet"
    onnx = replace(workspace, models=workspace.folder / "models")
    assert workspace.call("models", "import", file, "--models", onnx.models, "--data", labelled).code == 0
    assert onnx.run("sample://4000").code == 0
    in_process = onnx.published()
    ended = run(onnx, cluster)

    assert ended.code == 0, ended.err
    assert onnx.published() == in_process
    # The graph computes in float64, and scores the row whose values overflow the estimator's float32.
    scored = [row for row in in_process if row[0] in {row[0] for row in original}]
    assert len(in_process) - len(scored) <= 1
    assert [row[:3] for row in scored] == [row[:3] for row in original]
    np.testing.assert_allclose([row[3] for row in scored], [row[3] for row in original], atol=1e-6)
    assert {row[4] for row in in_process} == {path.name for path in onnx.models.glob("v*")}


def test_cluster_listens_on_loopback_only(workspace: Workspace, tmp_path: Path) -> None:
    """While a job runs: by then its workers and the data ports of Flink are there too."""
    with running(tmp_path / "flink", metrics=False) as cluster, started(workspace, cluster):
        wait_for(cluster.python_workers)
        assert cluster.listening() == {part: {"127.0.0.1"} for part in ("jobmanager", "taskmanager", "workers")}


def test_messages_are_scored_as_in_process(text: Workspace, cluster: Cluster) -> None:
    train(text, "labelled.jsonl", 1)
    source = partition(text.folder / "day.parquet", [*labelled_messages(280, seed=9)[0], *long_messages(20), ""])
    assert text.run(source, "--text_column", "text").code == 0
    in_process = text.published()
    ended = run(text, cluster, source, "--text_column", "text")

    assert ended.code == 0, ended.err
    assert len(in_process) == 300
    assert [row[:3] for row in text.published()] == [row[:3] for row in in_process]
    np.testing.assert_allclose([row[3] for row in text.published()], [row[3] for row in in_process], atol=1e-6)
    assert json.loads(text.monitoring()[-1]["reject_reasons"]) == {"empty_text": 1}


def test_prometheus_counters_reach_the_total(workspace: Workspace, cluster: Cluster) -> None:
    with started(workspace, cluster) as process:
        seen = set()
        while process.poll() is None:
            seen.add(cluster.counter("rows_scored"))
            time.sleep(0.2)
        out, err = process.communicate()
    (row,) = workspace.monitoring()
    flink = FlinkCluster(f"http://127.0.0.1:{cluster.port}")
    total = counters(flink.metrics(list(cluster.jobs())[-1]), "pcc")

    assert process.returncode == 0, err
    assert "published" in out
    growing = sorted(seen - {0})
    assert len(growing) >= 3
    assert growing[-1] <= total["rows_scored"]
    assert total["rows_read"] == row["total_cases"]
    assert total["rows_scored"] == row["passed_validation"] + total["rows_rejected_duplicate_case_id"]


def _publishes(figures: Progress | None) -> bool:
    return figures is not None and any("Publish" in step for step in figures.steps)


def test_progress_of_a_job_changes_while_it_works(workspace: Workspace, cluster: Cluster) -> None:
    """What the launcher takes for a stall if it does not change."""
    flink = FlinkCluster(f"http://127.0.0.1:{cluster.port}")
    with started(workspace, cluster) as process:
        job = cluster.running()
        seen = []
        with duckdb.connect(str(workspace.warehouse)):  # the last step waits for the lock: else it may be over unseen
            while process.poll() is None and not (seen and _publishes(seen[-1])):
                seen.append(progress(flink.get, job))
                time.sleep(0.1)
        process.communicate()
    figures = [one for one in seen if one is not None]
    quiet = [one.same(another) for one, another in itertools.pairwise(figures)]

    assert process.returncode == 0
    assert len(figures) > len(seen) / 2
    assert quiet.count(False) >= 3
    assert _publishes(figures[-1])
    assert figures[-1].counters["rows_scored"] > figures[0].counters.get("rows_scored", 0)


def test_job_address_and_progress_are_logged(
    workspace: Workspace, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "_COUNT_INTERVAL", 0.5)  # the run may be quick
    monkeypatch.setattr(views, "_LINES_EVERY", 0.5)
    assert run(workspace, cluster, "sample://600000").code == 0
    job = list(cluster.jobs())[-1]

    assert f"the job runs: http://127.0.0.1:{cluster.port}/#/job/{job}/overview" in caplog.text
    assert re.search(r"scoring: [\d,]+ of 600,000 rows \(\d+ %\), [\d,]+ rejected", caplog.text)


def test_both_slots_read_and_score(workspace: Workspace, cluster: Cluster) -> None:
    assert run(workspace, cluster, "sample://40000").code == 0

    job = list(cluster.jobs())[-1]
    (vertex,) = [v for v in cluster.get(f"/jobs/{job}")["vertices"] if "Validate" in v["name"]]
    subtasks = cluster.get(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]
    assert len(subtasks) == SLOTS
    assert min(task["metrics"]["read-records"] for task in subtasks) >= 5  # of 20 chunks


def test_refused_audit_is_not_retried(workspace: Workspace, cluster: Cluster) -> None:
    ended = run(workspace, cluster, "sample://4000", "--max_drop_rate", "0.001")

    assert ended.code == 3
    assert "REFUSED" in ended.out
    assert list(cluster.jobs().values())[-1] == "FINISHED"
    (row,) = workspace.monitoring()
    assert row["status"] == "refused"
    assert workspace.published() == []


def test_a_day_without_rows_is_empty(workspace: Workspace, cluster: Cluster) -> None:
    ended = run(workspace, cluster, "sample://0")

    assert ended.code == 0, ended.err
    assert [row["status"] for row in workspace.monitoring()] == ["empty"]


def test_each_day_of_a_range_is_a_separate_job(workspace: Workspace, cluster: Cluster) -> None:
    before = len(cluster.jobs())
    ended = workspace.call(
        *("backfill", "--from", "20261119", "--to", "20261120"), *workspace.flags("sample://400", *cluster.flags)
    )

    assert ended.code == 0, ended.err
    assert [line[:19] for line in ended.out.splitlines()] == ["20261119  published", "20261120  published"]
    assert len(cluster.jobs()) == before + 2


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_cancels_its_job(workspace: Workspace, cluster: Cluster, sign: signal.Signals) -> None:
    with started(workspace, cluster) as process:
        job = cluster.running()
        process.send_signal(sign)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"stopped by {sign.name}" in err
    assert wait_for(lambda: cluster.jobs()[job] == "CANCELED")
    (row,) = workspace.monitoring()
    assert (row["status"], row["error_message"]) == ("failed", f"stopped by {sign.name}")
    assert workspace.published() == []
