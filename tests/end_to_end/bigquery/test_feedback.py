"""Feedback in BigQuery: import, report and sample, as in a DuckDB file."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from beam_pcc.cases import schemas
from beam_pcc.config.settings import Publish
from beam_pcc.feedback import sampling
from beam_pcc.publishing.warehouse import open_warehouse
from tests.end_to_end.bigquery.conftest import Cloud, sample
from tests.end_to_end.conftest import DATE, DAY

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def published(cloud: Cloud) -> Cloud:
    cloud.seed(sample(250))
    assert cloud.run("--read_method", "arrow").code == 0
    return cloud


def feedback(cloud: Cloud, command: str, *more: object) -> dict[str, Any]:
    ended = cloud.call("feedback", command, "--warehouse", f"bq://{cloud.output}", *more, "--output", "json")
    assert ended.code == 0, ended.err
    result: dict[str, Any] = json.loads(ended.out)
    return result


def stored(cloud: Cloud) -> list[tuple[Any, ...]]:
    return cloud.query("SELECT * FROM pcc_feedback WHERE ingestion_time > '1970-01-01' ORDER BY case_id, label_time")


def write_labels(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_labels_of_a_sample_are_reported(published: Cloud, tmp_path: Path) -> None:
    drawn = tmp_path / "sample.csv"
    assert feedback(published, "sample", "--n", 60, "--partition", DAY, "--file", drawn)["drawn"] == 60
    with drawn.open() as file:
        rows = list(csv.DictReader(file))
    label = {row[0]: row[1] for row in published.published()}
    labels = [{**row, "weight": float(row["weight"]), "drawn": int(row["drawn"])} for row in rows]
    labels = [{**row, "label": label[row["case_id"]], "source": "team", "time": "2026-11-25"} for row in labels]
    file_of_labels = write_labels(tmp_path / "labels.jsonl", labels)

    assert feedback(published, "import", "--data", file_of_labels)["new"] == 60
    before = stored(published)
    again = feedback(published, "import", "--data", file_of_labels)
    assert (again["new"], again["present"], stored(published)) == (0, 60, before)

    report = feedback(published, "report", "--partition", DAY)
    whole = report["groups"][0]
    assert (whole["by"], whole["basis"], whole["labels"]) == ("all", "sample", 60)
    assert whole["cases"] == pytest.approx(len(published.published()), abs=0.01)
    assert (whole["precision"]["value"], whole["recall"]["value"]) == (1.0, 1.0)


def test_a_label_finds_the_prediction_of_its_day(published: Cloud, tmp_path: Path) -> None:
    later = DATE + dt.timedelta(days=2)
    published.query(
        "INSERT INTO pcc_inference_output SELECT * REPLACE (DATE '2026-11-22' AS partition_date, 'v_later' AS "
        "model_version) FROM pcc_inference_output WHERE ingestion_time > '1970-01-01'"
    )
    case = published.published()[0][0]
    times = ["2026-11-21T10:00:00Z", "2026-11-23T10:00:00Z", "2026-11-01T10:00:00Z"]
    rows: list[dict[str, Any]] = [
        {"case_id": case, "label": "PC", "source": "team", "time": time, "partition": None} for time in times
    ]
    rows += [{**rows[0], "source": "named", "partition": "20261122"}, {**rows[0], "case_id": "nobody"}]
    result = feedback(published, "import", "--data", write_labels(tmp_path / "labels.jsonl", rows))

    assert (result["new"], result["unknown_cases"], result["several_days"]) == (5, 1, 3)
    days = published.query(
        "SELECT label_time, source, partition_date FROM pcc_feedback WHERE ingestion_time > '1970-01-01' "
        "ORDER BY partition_date, label_time, source"
    )
    assert [(f"{at:%m%d}", source, day) for at, source, day in days] == [
        ("1121", "team", None),
        ("1101", "team", DATE),
        ("1121", "team", DATE),
        ("1121", "named", later),
        ("1123", "team", later),
    ]


def test_expired_predictions_leave_the_feedback(published: Cloud, tmp_path: Path) -> None:
    labels = [{"case_id": published.published()[0][0], "label": "PC", "source": "team", "time": "2026-11-23"}]
    file = write_labels(tmp_path / "labels.jsonl", labels)
    feedback(published, "import", "--data", file)
    before = stored(published)
    published.query("DELETE FROM pcc_inference_output WHERE ingestion_time > '1970-01-01'")

    assert feedback(published, "import", "--data", file)["new"] == 0
    assert stored(published) == before
    assert feedback(published, "report", "--partition", DAY)["labelled_cases"] == 1


def test_both_warehouses_draw_the_same_cases(published: Cloud, tmp_path: Path) -> None:
    cloud = open_warehouse(Publish(f"bq://{published.output}"))
    local = open_warehouse(Publish(str(tmp_path / "pcc.duckdb")))
    local.apply_tables(local.plan_tables())
    with cloud.read_tables(["pcc_inference_output"]) as tables:
        rows = tables["pcc_inference_output"].read_all()
    with duckdb.connect(str(tmp_path / "pcc.duckdb")) as connection:
        connection.from_arrow(rows.select(schemas.OUTPUT.names)).insert_into("pcc_inference_output")

    ours, theirs = (sampling.draw(warehouse, DATE, DATE, 50, seed=7) for warehouse in (local, cloud))
    assert (ours.name, ours.rows.to_pylist()) == (theirs.name, theirs.rows.to_pylist())


def test_import_without_the_table_names_tables_create(published: Cloud, tmp_path: Path) -> None:
    published.query(f"DROP TABLE `{published.output}.pcc_feedback`")
    labels = [{"case_id": "a", "label": "PC", "source": "team", "time": "2026-11-23"}]
    file = write_labels(tmp_path / "labels.jsonl", labels)
    ended = published.call("feedback", "import", "--warehouse", f"bq://{published.output}", "--data", file)
    assert (ended.code, "run beam-pcc tables create --warehouse bq://" in ended.err) == (2, True)
    assert "pcc_feedback" not in published.output_tables()
