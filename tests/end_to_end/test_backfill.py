"""Backfills of several days."""

import datetime as dt
import json

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.conftest import Workspace
from tests.end_to_end.test_run import good_rows

pytestmark = pytest.mark.end_to_end


def test_days_run_in_order_with_a_line_each(workspace: Workspace) -> None:
    ended = workspace.call("backfill", "--from", "20261101", "--to", "20261103", *workspace.flags("sample://100"))

    assert ended.code == 0
    lines = ended.out.strip().splitlines()
    assert [line.split()[:2] for line in lines] == [[f"2026110{day}", "published"] for day in (1, 2, 3)]
    days = workspace.query("SELECT DISTINCT partition_date FROM pcc_inference_output ORDER BY ALL")
    assert [day for (day,) in days] == [dt.date(2026, 11, day) for day in (1, 2, 3)]


def test_a_failed_day_does_not_stop_the_others(workspace: Workspace) -> None:
    for day in ("20261101", "20261103"):
        pq.write_table(good_rows(50), workspace.folder / f"{day}.parquet")
    (workspace.folder / "20261102.parquet").write_text("not Parquet")
    ended = workspace.call(
        "backfill", "--from", "20261101", "--to", "20261103", *workspace.flags(workspace.folder / "{partition}.parquet")
    )

    assert ended.code == 1
    assert [line.split()[1] for line in ended.out.strip().splitlines()] == ["published", "failed", "published"]
    assert [row["status"] for row in workspace.monitoring()] == ["success", "failed", "success"]


def test_one_file_for_many_days_is_refused(workspace: Workspace) -> None:
    pq.write_table(good_rows(50), workspace.folder / "cases.parquet")
    ended = workspace.call(
        "backfill", "--from", "20261101", "--to", "20261102", *workspace.flags(workspace.folder / "cases.parquet")
    )

    assert ended.code == 2
    assert "{partition}" in ended.err
    assert not workspace.warehouse.exists()


def test_reversed_range_is_refused(workspace: Workspace) -> None:
    ended = workspace.call("backfill", "--from", "20261102", "--to", "20261101", *workspace.flags())

    assert ended.code == 2
    assert "swap them" in ended.err


def test_backfill_prints_one_document(workspace: Workspace) -> None:
    ended = workspace.call(
        "backfill", "--from", "20261119", "--to", "20261120", *workspace.flags("sample://100"), "--output", "json"
    )
    result = json.loads(ended.out)

    assert (result["status"], result["exit_code"]) == ("success", 0)
    assert [(day["partition"], day["status"]) for day in result["days"]] == [
        ("20261119", "success"),
        ("20261120", "success"),
    ]
