"""`beam-pcc feedback` on a DuckDB file: what is stored, what is printed, and how it ends."""

import csv
import datetime as dt
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.config.settings import Publish
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import prepare_tables
from tests.feedback.published import DATE, PUBLISHED, publish, warehouse_of
from tests.monitoring_rows import monitoring_row, store

SCORES = [0.02, 0.05, 0.1, 0.3, 0.45, 0.48, 0.55, 0.7, 0.9, 0.97]
CREATE = "beam-pcc tables create --warehouse"
TIME = "2026-11-23T10:00:00Z"
DAY = dt.timedelta(days=1)


@dataclass
class Desk:
    """A folder with a warehouse, and the commands that work on it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def warehouse(self) -> Path:
        return self.folder / "pcc.duckdb"

    def call(self, command: str, *more: object) -> tuple[int, str, str]:
        self.capture.readouterr()
        code = cli.main(["feedback", command, "--warehouse", str(self.warehouse), *map(str, more)])
        captured = self.capture.readouterr()
        return code, captured.out, captured.err

    def result(self, command: str, *more: object) -> dict[str, Any]:
        code, out, err = self.call(command, *more, "--output", "json")
        assert code == 0, err
        result: dict[str, Any] = json.loads(out)
        return result

    def imported(self, *rows: dict[str, Any]) -> dict[str, Any]:
        return self.result("import", "--data", self.labels(*rows))

    def labels(self, *rows: dict[str, Any]) -> Path:
        path = self.folder / "labels.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()

    def stored(self) -> list[tuple[Any, ...]]:
        return self.query("FROM pcc_feedback ORDER BY ALL")


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A desk whose warehouse has one published day."""
    made = Desk(tmp_path, capsys)
    warehouse_of(made.warehouse)
    publish(made.warehouse, SCORES)
    store(made.warehouse, [monitoring_row(DATE, PUBLISHED)])
    return made


def label(case: str = "c0", **more: Any) -> dict[str, Any]:
    return {"case_id": case, "label": "PC", "source": "team", "time": TIME, **more}


def test_a_label_is_stored_beside_its_prediction(desk: Desk) -> None:
    assert desk.imported(label("c5"))["new"] == 1
    names = "case_id, label, source, label_time, partition_date, predicted_label, confidence, review, model_version"
    ((*values, at),) = desk.query(f"SELECT {names}, published_at FROM pcc_feedback")
    labelled = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)
    assert values == ["c5", "PC", "team", labelled, DATE, "NOT_PC", 0.52, True, "v1"]
    assert at == PUBLISHED


def test_a_file_imported_twice_changes_nothing(desk: Desk) -> None:
    rows = [label(), label("c1", label="NOT_PC"), label("nobody"), label(time="2026-11-01")]
    first = desk.imported(*rows)
    before, file = desk.stored(), desk.warehouse.stat()
    again = desk.imported(*rows)
    assert (first["new"], again["new"], again["present"]) == (4, 0, 4)
    after = desk.warehouse.stat()
    assert (after.st_ino, after.st_mtime_ns) == (file.st_ino, file.st_mtime_ns)
    assert sorted(path.name for path in desk.folder.iterdir()) == ["labels.jsonl", "pcc.duckdb"]
    assert desk.stored() == before


def test_file_without_rows_changes_nothing(desk: Desk) -> None:
    path = desk.folder / "labels.csv"
    path.write_text("case_id,label,source,time\n")
    assert desk.result("import", "--data", path)["rows"] == 0
    assert desk.stored() == []


def test_labels_of_unknown_cases_are_kept_and_joined_later(desk: Desk) -> None:
    rows = [label("c0", partition="20261121"), label("nobody")]
    assert desk.imported(*rows)["unknown_cases"] == 2
    publish(desk.warehouse, SCORES, day=DATE + DAY)
    later = desk.imported(*rows)
    assert (later["new"], later["unknown_cases"]) == (1, 1)
    report = desk.result("report", "--partition", "20261121")
    assert (report["labelled_cases"], report["unknown_cases"]) == (1, 1)


@pytest.mark.parametrize(
    ("time", "day"),
    [("2026-11-01", DATE), ("2026-11-20T23:59:00Z", DATE), ("2026-11-21T00:00:00Z", DATE + DAY), (TIME, DATE + DAY)],
    ids=["before all", "first day", "second day", "near a later day"],
)
def test_label_is_of_the_last_day_before_it(desk: Desk, time: str, day: dt.date) -> None:
    publish(desk.warehouse, SCORES, day=DATE + DAY)
    publish(desk.warehouse, SCORES, day=DATE + 4 * DAY)
    assert desk.imported(label(time=time))["several_days"] == 1
    assert desk.query("SELECT partition_date FROM pcc_feedback") == [(day,)]


def test_label_that_names_its_day_is_of_that(desk: Desk) -> None:
    publish(desk.warehouse, SCORES, day=DATE + DAY)
    assert desk.imported(label(partition="2026-11-20"))["several_days"] == 0
    assert desk.query("SELECT partition_date FROM pcc_feedback") == [(DATE,)]


def test_label_is_joined_again_after_a_republication(desk: Desk) -> None:
    desk.imported(label())
    publish(desk.warehouse, [0.8] * 3, version="v2", at=PUBLISHED + DAY)
    assert desk.imported(label())["new"] == 1
    groups = desk.result("report", "--partition", "20261120")["groups"]
    recall = {group["value"]: group["recall"]["value"] for group in groups if group["by"] == "version"}
    assert recall == {"v1": 0.0, "v2": 1.0}


def test_expired_predictions_leave_the_feedback(desk: Desk) -> None:
    publish(desk.warehouse, SCORES, day=DATE + DAY)
    desk.imported(label(time="2026-11-20T12:00:00Z"), label("c1"))
    before = desk.stored()
    for gone in ("partition_date = DATE '2026-11-20'", "true"):
        desk.query(f"DELETE FROM pcc_inference_output WHERE {gone}")
        assert desk.imported(label(time="2026-11-20T12:00:00Z"), label("c1"))["new"] == 0
    assert desk.stored() == before


def test_faulty_rows_are_named_and_the_others_imported(desk: Desk) -> None:
    rows = [label(), label("c1", label="maybe"), label("c2", time="2099-01-01"), label("c3", label="no"), label("c4")]
    rejected = desk.folder / "rejected.jsonl"
    code, out, _ = desk.call("import", "--data", desk.labels(*rows), "--rejected", rejected)
    assert code == 0
    assert "2 of 5 rows are new" in out
    assert "3 are not imported: 2 bad_label (rows 2, 4); 1 future_time (row 3)" in out
    assert json.loads(rejected.read_text().splitlines()[0]) == {
        "row": 2,
        "case_id": "c1",
        "reason": "bad_label",
    }
    assert rejected.stat().st_mode & 0o777 == 0o600


def test_file_without_a_sound_row_is_an_error(desk: Desk) -> None:
    code, _, err = desk.call("import", "--data", desk.labels(label(label="maybe")))
    assert code == 1
    assert "has no row that can be imported: 1 bad_label (row 1); correct it" in err


@pytest.mark.parametrize("command", ["import", "report"])
def test_warehouse_without_the_table_names_tables_create(desk: Desk, command: str) -> None:
    desk.query("DROP TABLE pcc_feedback")
    more = ["--data", desk.labels(label())] if command == "import" else ["--partition", "20261120"]
    code, _, err = desk.call(command, *more)
    assert code == 2
    assert f"has no table pcc_feedback, as one of an earlier version; run {CREATE} {desk.warehouse}" in err
    with pytest.raises(duckdb.CatalogException):
        desk.stored()


def test_tables_create_makes_the_table(desk: Desk) -> None:
    desk.query("DROP TABLE pcc_feedback")
    assert cli.main(["tables", "create", "--warehouse", str(desk.warehouse)]) == 0
    assert desk.imported(label())["new"] == 1


def test_feedback_has_no_text_and_no_vector() -> None:
    assert not {"text", "vector", "embedding_vector", "prediction_notes"} & set(schemas.FEEDBACK.names)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_sample_is_labelled_and_imported(desk: Desk, suffix: str) -> None:
    """The circle: draw, label in a table of one's own, import, report."""
    publish(desk.warehouse, SCORES * 30)
    drawn = desk.folder / f"sample.{suffix}"
    assert desk.result("sample", "--n", 60, "--partition", "20261120", "--file", drawn)["drawn"] == 60
    if suffix == "csv":
        with drawn.open() as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        labelled = desk.folder / "labelled.csv"
        with labelled.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "label", "source", "time"])
            writer.writeheader()
            writer.writerows({**row, "label": _truth(row["case_id"]), "source": "team", "time": TIME} for row in rows)
    else:
        rows = pq.read_table(drawn).to_pylist()
        rows = [{**row, "partition": str(row["partition"])} for row in rows]
        labelled = desk.labels(*(label(row["case_id"], **row, label=_truth(row["case_id"])) for row in _plain(rows)))
    assert desk.result("import", "--data", labelled)["new"] == 60
    report = desk.result("report", "--partition", "20261120")
    assert (report["sampled_cases"], report["sampled_cases_labelled"]) == (60, 60)
    whole = report["groups"][0]
    assert (whole["basis"], round(whole["cases"]), whole["precision"]["value"]) == ("sample", 300, 0.5)


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name != "case_id"} | {"case_id": row["case_id"]} for row in rows
    ]


def _truth(case: str) -> str:
    return "PC" if SCORES[int(case[1:]) % len(SCORES)] in (0.9, 0.97) else "NOT_PC"


def test_sample_shows_no_prediction_unless_asked(desk: Desk) -> None:
    path = desk.folder / "sample.csv"
    assert desk.call("sample", "--n", 30, "--partition", "20261120", "--file", path)[0] == 0
    assert path.read_text().splitlines()[0] == '"case_id","partition","sample","stratum","weight","drawn"'
    assert desk.call("sample", "--n", 30, "--partition", "20261120", "--file", path, "--with_predictions")[0] == 0
    assert path.read_text().splitlines()[0].endswith('"drawn","predicted_label","review","probability"')
    assert path.stat().st_mode & 0o777 == 0o600


def test_sample_of_the_last_days_is_the_default(desk: Desk) -> None:
    result = desk.result("sample", "--n", 30, "--file", desk.folder / "sample.csv")
    assert result["sample"].startswith("20261022-20261120-10-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n", "0"], "--n must be at least 1, not 0"),
        (["--file", "sample.xlsx"], "is neither .csv nor .parquet"),
        (["--partition", "20250101"], "no case is published for 20250101"),
        (["--partition", "20261120", "--last", "3"], "--partition is one day"),
        (["--last", "0"], "--last must be between 1 and 400 days"),
        (["--from", "20261122", "--to", "20261120"], "--to 20261120 is before --from 20261122"),
    ],
)
def test_sample_that_cannot_be_is_refused(desk: Desk, words: list[str], message: str) -> None:
    code, _, err = desk.call("sample", "--file", str(desk.folder / "sample.csv"), *words)
    assert (code, message in err) == (2, True), err


def test_report_is_a_table(desk: Desk) -> None:
    desk.imported(label("c8"), label("c7", label="NOT_PC"), label("c0"), label("c1", label="NOT_PC"))
    code, out, _ = desk.call("report", "--last", "3")
    assert code == 0
    assert "4 published cases of 2026-11-18 to 2026-11-20 have a label" in out
    (line,) = re.findall(r"^all .*$", out, re.MULTILINE)
    assert "50.0% (9.5% to 90.5%)" in line


def test_report_of_one_source(desk: Desk) -> None:
    desk.imported(label(), label("c1", source="other"))
    assert desk.result("report", "--partition", "20261120", "--label_source", "other")["labelled_cases"] == 1


def test_report_without_feedback_says_so(desk: Desk) -> None:
    code, out, _ = desk.call("report", "--partition", "20261120")
    assert (code, "0 published cases of 2026-11-20 to 2026-11-20 have a label" in out) == (0, True)


def test_html_report_has_the_feedback(desk: Desk) -> None:
    desk.imported(label("c8"), label("c7", label="NOT_PC"))
    page = desk.folder / "report.html"
    words = ["report", "--warehouse", str(desk.warehouse), "--partition", "20261120", "--output", str(page)]
    assert cli.main(words) == 0
    assert "50.0% (9% to 91%) of the cases published as PC are PC" in page.read_text()


def test_html_report_of_an_older_warehouse_has_none(desk: Desk) -> None:
    desk.query("DROP TABLE pcc_feedback")
    page = desk.folder / "report.html"
    words = ["report", "--warehouse", str(desk.warehouse), "--partition", "20261120", "--output", str(page)]
    assert cli.main(words) == 0
    assert 'id="feedback"' not in page.read_text()


def test_run_neither_needs_nor_makes_the_table(desk: Desk) -> None:
    desk.query("DROP TABLE pcc_feedback")
    assert prepare_tables(open_warehouse(Publish(str(desk.warehouse)))).create == []
    desk.query("CREATE TABLE pcc_feedback (case_id BIGINT)")
    assert prepare_tables(open_warehouse(Publish(str(desk.warehouse)))).create == []


def test_table_of_other_columns_is_an_error(desk: Desk) -> None:
    desk.query("ALTER TABLE pcc_feedback DROP COLUMN drawn")
    code, _, err = desk.call("import", "--data", desk.labels(label()))
    assert (code, "pcc_feedback lacks drawn; run beam-pcc tables create" in err, "--add_columns" in err) == (
        2,
        True,
        True,
    )
    desk.query("ALTER TABLE pcc_feedback ADD COLUMN drawn VARCHAR")
    code, _, err = desk.call("report", "--partition", "20261120")
    assert (code, "pcc_feedback.drawn is VARCHAR, not BIGINT; rename the table" in err) == (2, True)
