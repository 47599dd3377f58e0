"""`tables export`: the published tables as Parquet files, each of them whole."""

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.publishing import export

ROW = "('a', 'empty_text', 'd', '2026-11-20', 'r', '2026-11-20 10:00:00Z')"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """A file with the tables, and one row in one of them."""
    path = tmp_path / "pcc.duckdb"
    assert cli.main(["tables", "create", "--warehouse", str(path)]) == 0
    change(path, f"INSERT INTO pcc_quarantine VALUES {ROW}")
    return path


def change(path: Path, sql: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)


def run(path: Path, *arguments: object) -> int:
    output = path.with_name("export")
    return cli.main(["tables", "export", "--warehouse", str(path), "--output", str(output), *map(str, arguments)])


def exported(path: Path) -> list[str]:
    return sorted(file.name for file in path.with_name("export").iterdir())


def test_export_writes_every_table(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(warehouse) == 0
    assert exported(warehouse) == sorted(f"{name}.parquet" for name in schemas.TABLES)
    assert f"{warehouse.with_name('export')}/pcc_quarantine.parquet: 1 row\n" in capsys.readouterr().out


def test_export_holds_rows_in_the_documented_types(warehouse: Path) -> None:
    assert run(warehouse, "pcc_quarantine") == 0
    table = pq.read_table(warehouse.with_name("export") / "pcc_quarantine.parquet")
    assert (table.schema.names, table.schema.types) == (schemas.QUARANTINE.names, schemas.QUARANTINE.types)
    at = dt.datetime(2026, 11, 20, 10, tzinfo=dt.timezone.utc)
    day = dt.date(2026, 11, 20)
    assert [list(row.values()) for row in table.to_pylist()] == [["a", "empty_text", "d", day, "r", at]]


def test_export_of_an_empty_table_has_its_columns(warehouse: Path) -> None:
    assert run(warehouse, "pcc_inference_output") == 0
    table = pq.read_table(warehouse.with_name("export") / "pcc_inference_output.parquet")
    assert (table.num_rows, table.schema.names) == (0, schemas.OUTPUT.names)


def test_export_of_named_tables_only(warehouse: Path) -> None:
    assert run(warehouse, "pcc_quarantine", "pcc_monitoring_logs", "pcc_quarantine") == 0
    assert exported(warehouse) == ["pcc_monitoring_logs.parquet", "pcc_quarantine.parquet"]


def test_export_of_an_older_table_lacks_its_new_column(warehouse: Path) -> None:
    change(warehouse, "ALTER TABLE pcc_quarantine DROP COLUMN detail")
    assert run(warehouse, "pcc_quarantine") == 0
    assert "detail" not in pq.read_schema(warehouse.with_name("export") / "pcc_quarantine.parquet").names


def test_export_replaces_an_earlier_one(warehouse: Path) -> None:
    run(warehouse)
    change(warehouse, f"INSERT INTO pcc_quarantine VALUES {ROW}")
    assert run(warehouse) == 0
    assert pq.read_metadata(warehouse.with_name("export") / "pcc_quarantine.parquet").num_rows == 2


def test_failed_export_leaves_the_earlier_one(
    warehouse: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(warehouse)
    before = {name: (warehouse.with_name("export") / name).read_bytes() for name in exported(warehouse)}
    change(warehouse, f"INSERT INTO pcc_quarantine VALUES {ROW}")
    capsys.readouterr()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    assert run(warehouse) == 1

    assert "export cannot be written: No space left on device" in capsys.readouterr().err
    assert {name: (warehouse.with_name("export") / name).read_bytes() for name in exported(warehouse)} == before


@pytest.mark.parametrize(
    ("drop", "table", "words"),
    [("", "pcc_output", "there is no table pcc_output; name some of"), ("pcc_quarantine", "pcc_quarantine", "has no")],
)
def test_export_of_a_missing_table_is_wrong_usage(
    warehouse: Path, capsys: pytest.CaptureFixture[str], drop: str, table: str, words: str
) -> None:
    if drop:
        change(warehouse, f"DROP TABLE {drop}")
    capsys.readouterr()
    assert run(warehouse, table) == 2
    assert words in capsys.readouterr().err
    assert not warehouse.with_name("export").exists()


def test_export_is_for_its_owner_alone(warehouse: Path) -> None:
    run(warehouse, "pcc_quarantine")
    folder = warehouse.with_name("export")
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "pcc_quarantine.parquet")]
    assert modes == [0o700, 0o600]


def test_output_that_is_a_file_is_wrong_usage(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse.with_name("export").write_text("")
    assert run(warehouse) == 2
    assert "cannot be made" in capsys.readouterr().err
