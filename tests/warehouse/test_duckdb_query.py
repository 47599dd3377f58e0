"""`tables query` and `report` on a DuckDB file: they read its tables, and can do nothing else."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest

from beam_pcc.cli import main as cli

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables and one row, in a folder of its own. Shared: copy it before changing it."""
    path = tmp_path_factory.mktemp("filled") / "tables" / "pcc.duckdb"
    assert cli.main(["tables", "create", "--warehouse", str(path)]) == 0
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "INSERT INTO pcc_quarantine VALUES ('a', 'empty_text', 'd', '2026-11-20', 'r', '2026-11-20 10:00:00Z')"
        )
    return path


@pytest.fixture
def warehouse(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled.parent, tmp_path / "tables") / filled.name


def files(folder: Path) -> Files:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def query(path: Path, sql: str) -> int:
    return cli.main(["tables", "query", "--warehouse", str(path), sql])


READS = ["FROM pcc_quarantine", "SELECT count(*) FROM pcc_quarantine;", "SHOW TABLES", "DESCRIBE pcc_quarantine"]


@pytest.mark.parametrize("sql", READS)
def test_a_select_is_answered(warehouse: Path, capsys: pytest.CaptureFixture[str], sql: str) -> None:
    before = files(warehouse.parent)
    assert query(warehouse, sql) == 0
    assert "│" in capsys.readouterr().out
    assert files(warehouse.parent) == before


REFUSED = [
    "COPY pcc_quarantine TO '{folder}/x.csv'",
    "COPY pcc_quarantine FROM '{folder}/secret.csv'",
    "EXPORT DATABASE '{folder}/x'",
    "IMPORT DATABASE '{folder}/x'",
    "ATTACH '{folder}/x.duckdb' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH pcc",
    "DROP TABLE pcc_quarantine",
    "DELETE FROM pcc_quarantine RETURNING *",
    "UPDATE pcc_quarantine SET detail = 'x' RETURNING *",
    "INSERT INTO pcc_quarantine SELECT * FROM pcc_quarantine",
    "TRUNCATE pcc_quarantine",
    "ALTER TABLE pcc_quarantine ADD COLUMN x INT",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "CREATE MACRO f() AS 1",
    "FROM read_text('{folder}/secret.csv')",
    "FROM read_blob('{folder}/secret.csv')",
    "FROM read_csv('{folder}/secret.csv')",
    "FROM read_json('{folder}/secret.csv')",
    "FROM read_parquet('{folder}/x.parquet')",
    "FROM parquet_metadata('{folder}/x.parquet')",
    "FROM sniff_csv('{folder}/secret.csv')",
    "FROM '{folder}/secret.csv'",
    "FROM glob('{folder}/*')",
    "FROM read_csv('https://example.com/x.csv')",
    "FROM query('COPY pcc_quarantine TO ''{folder}/x.csv''')",
    "INSTALL httpfs",
    "LOAD icu",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "PRAGMA enable_profiling",
    "PRAGMA memory_limit='1GB'",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE x AS SELECT 1",
    "USE memory",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE pcc_quarantine",
    "FROM sql_text",
    "FROM nothing",
    "SELEC",
    "-- nothing",
    "",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_all_else_is_refused_in_one_line(warehouse: Path, capsys: pytest.CaptureFixture[str], sql: str) -> None:
    (warehouse.parent / "secret.csv").write_text("a secret\n1\n")
    before = files(warehouse.parent)

    code = query(warehouse, sql.format(folder=warehouse.parent))

    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "a secret" not in err
    assert files(warehouse.parent) == before


@pytest.mark.parametrize("command", [["tables", "query", "SELECT 1"], ["report", "--output", "r.html"]])
def test_reading_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--warehouse", "folder/pcc.duckdb"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_a_writer_that_was_killed_are_read(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are in the log beside the file, which reading leaves as it is."""
    code = (
        "import duckdb, os, signal, sys\n"
        "c = duckdb.connect(sys.argv[1])\n"
        "c.execute(\"INSERT INTO pcc_quarantine SELECT * REPLACE ('b' AS case_id) FROM pcc_quarantine\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(warehouse)], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = files(warehouse.parent)
    assert any(name.endswith(".wal") for name in before)

    assert query(warehouse, "SELECT string_agg(case_id, '+' ORDER BY case_id) FROM pcc_quarantine") == 0

    assert "a+b" in capsys.readouterr().out
    assert files(warehouse.parent) == before


READING = """
import os, sys
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from beam_pcc.reporting.report import report
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
print(DuckDBWarehouse(sys.argv[1]).query("SELECT case_id FROM pcc_quarantine"))
print(DuckDBWarehouse(sys.argv[1]).runs(3))
"""


def test_a_file_that_may_only_be_read_is_read(filled: Path) -> None:
    """By another user (root may write everything), in a folder that it may not write either."""
    # Not in tmp_path: each start of pytest closes the folder above it to other users.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        warehouse = shutil.copytree(filled.parent, Path(folder) / "tables") / filled.name
        warehouse.chmod(0o444)
        warehouse.parent.chmod(0o555)
        read = subprocess.run(
            [sys.executable, "-c", READING, str(warehouse)], capture_output=True, text=True, check=False
        )
        warehouse.parent.chmod(0o755)
    assert read.returncode == 0, read.stderr
    assert "│ a" in read.stdout
