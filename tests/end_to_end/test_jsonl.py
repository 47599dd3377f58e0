"""Days that arrive as JSONL with odd rows: they are in the quarantine, counted, and the rest is published."""

import json
from pathlib import Path

import pytest

from beam_pcc.cases import faults, schemas
from beam_pcc.pipeline.coders import RecordBatchCoder
from beam_pcc.sources.jsonl import read_jsonl
from tests.end_to_end.conftest import Workspace
from tests.end_to_end.test_run import good_rows


def write(path: Path, rows: int) -> list[str]:
    """Sound rows c00, c01, ... as lines."""
    vectors = good_rows(rows).column("embedding_vector").to_pylist()
    lines = [
        json.dumps({"case_id": f"c{i:02d}", "embedding_vector": vector, "timestamp": "2026-11-20T10:00:00Z"})
        for i, vector in enumerate(vectors)
    ]
    path.write_text("\n".join(lines))
    return lines


def test_malformed_rows_are_quarantined_and_counted(workspace: Workspace) -> None:
    path = workspace.folder / "a.jsonl"
    lines = write(path, 40)
    lines[7] = lines[7].replace('"2026-11-20T10:00:00Z"', "1795168800")
    lines[20] = "null"
    path.write_text("\n".join(lines))

    ended = workspace.run(path)

    assert ended.code == 0
    assert len(workspace.published()) == 38
    assert workspace.query("SELECT case_id, reason, detail FROM pcc_quarantine ORDER BY detail DESC") == [
        ("c07", "malformed_row", "line 8: timestamp is a number, not text"),
        (None, "malformed_row", "line 21: it is null, not an object"),
    ]
    assert workspace.query("SELECT total_cases, passed_validation, dropped_cases FROM pcc_monitoring_logs") == [
        (40, 38, 2)
    ]


def test_too_many_malformed_rows_are_refused(workspace: Workspace) -> None:
    path = workspace.folder / "a.jsonl"
    lines = write(path, 20)
    path.write_text("\n".join([*lines[:17], "1", "2", "3"]))
    assert workspace.run(path).code == 3
    assert workspace.published() == []


def test_malformed_rows_pass_between_workers(tmp_path: Path) -> None:
    """A step tells them from rows by their schema, which the coder must keep."""
    (tmp_path / "a.jsonl").write_text("null\n{}\n")
    coder = RecordBatchCoder()
    (rejected,) = [b for b in read_jsonl(str(tmp_path / "a.jsonl")) if "reason" in b.schema.names]
    decoded = coder.decode(coder.encode(rejected))
    assert decoded.schema.equals(schemas.STAGED_REJECTED)
    assert decoded.column("reason").to_pylist() == [faults.MALFORMED_ROW.code]


def test_staging_that_duckdb_cannot_read_is_refused_at_launch(workspace: Workspace) -> None:
    ended = workspace.run("sample://20", "--staging", "gs://bucket/folder")
    assert ended.code == 2
    assert "loads staged files from a disk only" in ended.err
    assert not workspace.warehouse.exists()


def test_relative_and_home_paths_are_published(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write(workspace.folder / "a.jsonl", 20)
    monkeypatch.chdir(workspace.folder)
    monkeypatch.setenv("HOME", str(workspace.folder))
    ended = workspace.call(
        *("run", "--partition", "20261120", "--source", "~/a.jsonl", "--warehouse", f"file://{workspace.warehouse}"),
        *("--models", f"file://{workspace.models}", "--staging", "staged"),
    )
    assert ended.code == 0
    assert len(workspace.published()) == 20
