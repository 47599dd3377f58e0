"""One run, from input to published tables."""

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.sources import synthetic
from tests.end_to_end.conftest import BROKEN, DATE, DAY, Workspace

pytestmark = pytest.mark.end_to_end

THREADS = ("--direct_running_mode", "multi_threading")


def good_rows(n: int) -> pa.Table:
    """n sound rows of the sample, as a source would hold them."""
    table = pa.Table.from_batches([synthetic.cases(2 * n, DATE, chunk=0)])
    sound = [i for i in range(len(table)) if i % synthetic.BROKEN_EVERY not in synthetic.BROKEN_AT and i != 83]
    return table.take(sound[:n])


def test_sample_run_accounts_for_every_row(workspace: Workspace) -> None:
    ended = workspace.run("sample://2000")

    assert ended.code == 0, ended.err
    rejected = dict(workspace.query("SELECT reason, count(*) FROM pcc_quarantine GROUP BY reason"))
    assert rejected == BROKEN
    assert len(workspace.published()) == 2_000 - sum(BROKEN.values())


def test_monitoring_row_matches_the_tables(workspace: Workspace) -> None:
    workspace.run("sample://2000")

    (row,) = workspace.monitoring()
    ((positive, review, run_id),) = workspace.query(
        "SELECT count(*) FILTER (predicted_label = 'PC'), count(*) FILTER (prediction_notes LIKE 'review%'), "
        "any_value(run_id) FROM pcc_inference_output"
    )
    assert row["status"] == "success"
    assert row["run_id"] == run_id
    assert row["partition_date"] == DATE
    assert (row["total_cases"], row["dropped_cases"]) == (2_000, sum(BROKEN.values()))
    assert row["passed_validation"] == 2_000 - sum(BROKEN.values())
    assert (row["positive_cases"], row["review_cases"]) == (positive, review)
    assert json.loads(row["reject_reasons"]) == BROKEN
    assert 0 <= row["drift_psi"] < 0.25
    assert len(row["model_sha256"]) == 64
    assert row["processing_duration_seconds"] > 0
    assert row["error_message"] is None


def test_summary_names_outcome_and_next_commands(workspace: Workspace) -> None:
    ended = workspace.run("sample://2000")

    version = next(workspace.models.iterdir()).name
    for words in ("published", "2,000", "PC", "NOT_PC", "review", "model_error", version, "PSI", "seconds"):
        assert words in ended.out
    query = ended.out.split('"')[1]
    assert "PC" in workspace.call("tables", "query", "--warehouse", workspace.warehouse, query).out


def test_a_second_run_replaces_the_partition(workspace: Workspace) -> None:
    workspace.run()
    first = workspace.published()
    assert workspace.run().code == 0

    assert workspace.published() == first
    ((runs,),) = workspace.query("SELECT count(DISTINCT run_id) FROM pcc_inference_output")
    assert runs == 1
    assert len(workspace.monitoring()) == 2


def test_a_run_leaves_other_partitions_alone(workspace: Workspace) -> None:
    workspace.run()
    workspace.run(day="20261121")
    workspace.run(day="20261121")

    days = workspace.query("SELECT partition_date, count(*) FROM pcc_inference_output GROUP BY ALL ORDER BY ALL")
    assert [day for day, _ in days] == [DATE, dt.date(2026, 11, 21)]
    assert days[0][1] == days[1][1]


def test_the_result_does_not_depend_on_batches_or_workers(workspace: Workspace) -> None:
    workspace.run()
    first = workspace.published()
    workspace.run("sample://500", "--batch_rows", 37, "--direct_num_workers", 2, *THREADS)

    assert [row[:3] for row in workspace.published()] == [row[:3] for row in first]
    assert [row[3] for row in workspace.published()] == pytest.approx([row[3] for row in first], abs=1e-5)


def test_dry_run_publishes_nothing_but_reports(workspace: Workspace) -> None:
    workspace.run()
    before = workspace.published()
    ended = workspace.run("sample://1000", "--dry_run")

    assert ended.code == 0
    assert "dry run" in ended.out
    assert "1,000" in ended.out
    assert workspace.published() == before
    assert len(workspace.monitoring()) == 1


def test_audits_refuse_too_many_rejected_rows(workspace: Workspace) -> None:
    workspace.run()
    before = workspace.published()
    ended = workspace.run("sample://2000", "--max_drop_rate", 0.01)

    assert ended.code == 3
    assert "REFUSED" in ended.out
    assert workspace.published() == before
    refused = workspace.monitoring()[-1]
    assert refused["status"] == "refused"
    assert "rejected" in refused["error_message"]
    ((quarantined,),) = workspace.query("SELECT count(*) FROM pcc_quarantine WHERE run_id = ?", refused["run_id"])
    assert quarantined == sum(BROKEN.values())


def test_empty_partition_keeps_published_rows(workspace: Workspace) -> None:
    workspace.run()
    before = workspace.published()
    pq.write_table(good_rows(10).slice(0, 0), workspace.folder / "none.parquet")
    ended = workspace.run(workspace.folder / "none.parquet")

    assert ended.code == 0
    assert workspace.monitoring()[-1]["status"] == "empty"
    assert workspace.published() == before


def test_replace_with_empty_replaces_partition(workspace: Workspace) -> None:
    workspace.run()
    pq.write_table(good_rows(10).slice(0, 0), workspace.folder / "none.parquet")
    ended = workspace.run(workspace.folder / "none.parquet", "--replace_with_empty")

    assert ended.code == 0
    assert workspace.published() == []
    assert workspace.query("SELECT * FROM pcc_quarantine") == []


def test_latest_of_duplicates_across_files_is_kept(workspace: Workspace) -> None:
    table = good_rows(100)
    later = table["timestamp"][0].as_py() + dt.timedelta(days=1)
    first, second = table.slice(0, 1), table.slice(1, 1)
    second = second.set_column(0, "case_id", first["case_id"])
    second = second.set_column(2, "timestamp", pa.array([later], table.schema.field("timestamp").type))
    pq.write_table(table, workspace.folder / "a.parquet")
    pq.write_table(second, workspace.folder / "b.parquet")
    alone = workspace.folder / "alone.parquet"
    pq.write_table(second, alone)
    workspace.run(alone)
    ((_, label, _, confidence, *_),) = workspace.published()

    assert workspace.run(workspace.folder / "[ab].parquet").code == 0
    kept = [row for row in workspace.published() if row[0] == first["case_id"][0].as_py()]
    assert [(row[1], pytest.approx(row[3])) for row in kept] == [(label, confidence)]
    quarantined = workspace.query("SELECT case_id, reason FROM pcc_quarantine")
    assert quarantined == [(first["case_id"][0].as_py(), "duplicate_case_id")]


def test_columns_with_other_names_are_published(workspace: Workspace) -> None:
    usual, other = workspace.folder / "usual.parquet", workspace.folder / "other.parquet"
    pq.write_table(good_rows(100), usual)
    pq.write_table(good_rows(100).rename_columns(["ID", "Vec", "Timestamp"]), other)
    assert workspace.run(usual).code == 0
    expected = workspace.published()
    ended = workspace.run(other, "--columns", "case_id=id,embedding_vector=vec")
    assert ended.code == 0, ended.err
    assert workspace.published() == expected


def test_columns_that_cannot_be_meant_exit_with_2(workspace: Workspace) -> None:
    ended = workspace.run("sample://10", "--columns", "id=case_id")
    assert (ended.code, workspace.warehouse.exists()) == (2, False)
    assert "--columns id=case_id maps id, which is none of case_id, embedding_vector, timestamp" in ended.err


def test_subtype_is_published_for_privacy_cases_only(workspace: Workspace) -> None:
    workspace.run("sample://2000")

    labels = workspace.query("SELECT DISTINCT predicted_label, subtype_label FROM pcc_inference_output ORDER BY ALL")
    assert labels == [("NOT_PC", None), ("PC", "access"), ("PC", "deletion"), ("PC", "opt_out")]


def test_cases_near_threshold_have_a_review_note(workspace: Workspace) -> None:
    workspace.run("sample://2000", "--review_band", 0.2)

    notes = workspace.query("SELECT prediction_notes FROM pcc_inference_output WHERE prediction_notes IS NOT NULL")
    assert notes
    number = r"[+-]\d+\.\d\d"
    for (note,) in notes:
        assert re.fullmatch(
            rf"review: margin 0\.\d{{3}}; log-odds {number}: base {number}, embedding {number}, tfidf {number}", note
        )


def test_review_band_is_the_recommended_one(workspace: Workspace) -> None:
    version = next(workspace.models.iterdir())
    metadata = json.loads((version / "metadata.json").read_text())
    assert metadata["review"]["recommended"] in [one["band"] for one in metadata["review"]["bands"]]
    metadata["review"]["recommended"] = 0.015
    registry = workspace.folder / "models"
    shutil.copytree(version, registry / version.name)
    (registry / version.name / "metadata.json").write_text(json.dumps(metadata))
    workspace.models = registry

    recommended = workspace.run("sample://2000")
    asked = workspace.run("sample://2000", "--review_band", 0.3)

    assert "nearer than 0.015 to the threshold" in recommended.out
    assert "nearer than 0.3 to the threshold" in asked.out
    first, second = workspace.monitoring()
    assert (first["review_band"], second["review_band"]) == (0.015, 0.3)
    assert first["review_cases"] < second["review_cases"]


def test_the_partition_comes_from_the_environment_too(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTITION_DATE", "20260101")
    monkeypatch.setenv("DRY_RUN", "true")
    ended = workspace.call("run", *workspace.flags())

    assert "partition 20260101: dry run" in ended.out


def changed(workspace: Workspace, change: Callable[[np.ndarray], None]) -> Path:
    """A Parquet file of 500 sample rows, their (n, 584) vectors as `change` leaves them."""
    path = workspace.folder / "changed.parquet"
    table = good_rows(500)
    at = table.schema.get_field_index("embedding_vector")
    vectors = np.array(table.column(at).to_pylist())
    change(vectors)
    pq.write_table(table.set_column(at, "embedding_vector", pa.array(list(vectors))), path)
    return path


def zero_tfidf(vectors: np.ndarray) -> None:
    vectors[:, schemas.BLOCKS["tfidf"]] = 0


def test_a_zeroed_block_refuses_the_run(workspace: Workspace) -> None:
    ended = workspace.run(changed(workspace, zero_tfidf))

    assert ended.code == 3
    assert "tfidf norm shift" in ended.out
    row = workspace.monitoring()[-1]
    assert row["status"] == "refused"
    assert '"action": "refuse"' in row["alerts"]


def test_accept_drift_publishes_and_is_recorded(workspace: Workspace) -> None:
    ended = workspace.run(changed(workspace, zero_tfidf), "--accept_drift")

    assert ended.code == 0
    row = workspace.monitoring()[-1]
    assert row["status"] == "success"
    assert '"action": "accepted"' in row["alerts"]
    assert "tfidf norm shift" in row["notes"]


def test_a_scaled_block_is_an_alarm_not_a_stop(workspace: Workspace) -> None:
    def scale(vectors: np.ndarray) -> None:
        vectors[:, schemas.BLOCKS["tfidf"]] *= 1.1

    ended = workspace.run(changed(workspace, scale))

    assert ended.code == 0
    assert "alert       tfidf norm shift" in ended.out
    assert "drift: tfidf norm shift" in workspace.monitoring()[-1]["notes"]


def test_days_after_three_published_ones_are_compared_with_them(workspace: Workspace) -> None:
    for day in ("20261117", "20261118", "20261119", DAY):
        flags = ["--models", workspace.models, "--warehouse", workspace.warehouse, "--source", "sample://200"]
        assert workspace.call("run", "--partition", day, *flags).code == 0
    *early, last = workspace.monitoring()

    assert [row["drift_psi_recent"] for row in early] == [None] * 3
    assert last["drift_psi_recent"] < last["drift_psi_limit"]
    assert sum(json.loads(last["score_histogram"])) == last["passed_validation"]


def test_run_without_metadata_uses_defaults(workspace: Workspace) -> None:
    models = workspace.folder / "models"
    shutil.copytree(workspace.models, models)
    (next(models.iterdir()) / "metadata.json").unlink()
    ended = workspace.call(
        "run", "--partition", DAY, "--source", "sample://500", "--warehouse", workspace.warehouse, "--models", models
    )

    assert ended.code == 0
    assert "no baseline" in ended.out
    assert workspace.monitoring()[-1]["embedding_model"] == schemas.EMBEDDING_MODEL


def test_tables_are_made_once(workspace: Workspace) -> None:
    first = workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    second = workspace.call("tables", "create", "--warehouse", workspace.warehouse)

    assert (first.code, second.code) == (0, 0)
    assert "made pcc_inference_output, pcc_monitoring_logs, pcc_quarantine" in first.out
    assert "all tables are there" in second.out


def test_json_is_all_that_is_on_stdout(workspace: Workspace) -> None:
    file = workspace.folder / "summary.json"
    ended = workspace.run("sample://100", "--output", "json", "--summary_file", file)
    result = json.loads(ended.out)

    assert result == json.loads(file.read_text())
    assert (result["status"], result["exit_code"], result["partition"]) == ("success", 0, DAY)
    (row,) = workspace.monitoring()
    assert result["run_id"] == row["run_id"]
    assert result["monitoring"]["total_cases"] == row["total_cases"] == 100


def test_summary_file_of_a_failed_run_says_why(workspace: Workspace) -> None:
    file = workspace.folder / "summary.json"
    ended = workspace.run(workspace.folder / "none.parquet", "--summary_file", file)
    result = json.loads(file.read_text())

    assert result["exit_code"] == ended.code != 0
    assert result["partition"] == DAY
    assert f"beam-pcc: {result['error']}" in ended.err


@pytest.mark.parametrize("output", ["csv", "markdown", "json"])
def test_query_prints_rows_in_a_format(workspace: Workspace, output: str) -> None:
    workspace.run("sample://100")
    sql = "SELECT count(*) AS n, min(confidence) < 2 AS b FROM pcc_inference_output"
    ended = workspace.call("tables", "query", "--warehouse", workspace.warehouse, "--output", output, sql)
    n = len(workspace.published())

    expected = {
        "csv": f"n,b\n{n},true\n",
        "markdown": f"| n | b |\n| --- | --- |\n| {n} | true |\n",
        "json": f'[\n  {{"n": {n}, "b": true}}\n]\n',
    }
    assert ended.out == expected[output]
