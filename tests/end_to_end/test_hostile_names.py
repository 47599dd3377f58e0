"""Folders and files whose names look like patterns: a run uses its own files, and leaves none behind."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.conftest import Workspace
from tests.end_to_end.test_run import good_rows

pytestmark = pytest.mark.end_to_end
NAMES = ["we[i]rd", "a*", "[!x]", "**", "{a,b}"]


@pytest.mark.parametrize("name", NAMES)
def test_folder_name_with_pattern_characters(workspace: Workspace, tmp_path: Path, name: str) -> None:
    """With neighbours that the pattern would match: a staged file, a source, a model."""
    for neighbour in ("weird", "ab", "whatx", "y", "a"):
        (tmp_path / neighbour / "staging" / "kept").mkdir(parents=True)
        (tmp_path / neighbour / "cases.parquet").write_text("no Parquet")
    folder = tmp_path / name
    folder.mkdir()
    pq.write_table(good_rows(50), folder / "cases.parquet")
    shutil.copytree(workspace.models, folder / "models")

    ended = workspace.call(
        *("run", "--partition", "20261120", "--source", folder / "cases.parquet", "--staging", folder / "staging"),
        *("--warehouse", folder / f"{name}.duckdb", "--models", folder / "models"),
    )

    assert ended.code == 0, ended.err
    assert list((folder / "staging").iterdir()) == []
    assert len(list(tmp_path.glob("*/staging/kept"))) == 5
    counted = workspace.call(
        "tables", "query", "--warehouse", folder / f"{name}.duckdb", "SELECT count(*) FROM pcc_inference_output"
    )
    assert " 50 " in counted.out
    assert workspace.call("report", "--warehouse", folder / f"{name}.duckdb", "--output", folder / "r.html").code == 0


def test_a_warehouse_with_a_question_mark_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    ended = workspace.run("sample://5", "--warehouse", tmp_path / "what?" / "pcc.duckdb")

    assert ended.code == 2
    assert "takes what follows a ? for options" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_source_pattern_still_matches_files(workspace: Workspace, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        pq.write_table(good_rows(60).slice(20 * number - 20, 20), tmp_path / f"part{number}.parquet")

    ended = workspace.run(tmp_path / "part[12].parquet")

    assert ended.code == 0, ended.err
    assert len(workspace.published()) == 40
