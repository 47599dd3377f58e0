"""`tables create` on a DuckDB file: the SQL that a dry run prints does the same."""

from pathlib import Path

import duckdb
import pytest

from beam_pcc.cli import main as cli


def create(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[str, str]:
    """The first line, and the SQL after it."""
    capsys.readouterr()
    assert cli.main(["tables", "create", "--warehouse", str(path), *more]) == 0
    line, _, sql = capsys.readouterr().out.partition("\n")
    return line, sql


def test_the_sql_that_is_rendered_makes_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pcc.duckdb"
    _, sql = create(path, capsys, "--render")
    assert not path.exists()
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)

    assert create(path, capsys) == (f"{path}: all tables are there", "")


def test_the_sql_that_is_rendered_adds_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pcc.duckdb"
    create(path, capsys)
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE pcc_quarantine DROP COLUMN detail")
    _, sql = create(path, capsys, "--render", "--add_columns")
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)

    assert create(path, capsys) == (f"{path}: all tables are there", "")


def test_earlier_spelling_names_the_new_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pcc.duckdb"

    assert cli.main(["tables", "create", "--warehouse", str(path), "--dry_run"]) == 2
    assert "is called --render now" in capsys.readouterr().err
    assert not path.exists()
