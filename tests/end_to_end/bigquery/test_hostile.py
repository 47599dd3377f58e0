"""Hostile names and statements on BigQuery and Cloud Storage."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from google.cloud import storage

from beam_pcc.publishing.staging import KEEP, StagingArea, remove_dead_runs
from tests.end_to_end.bigquery.conftest import Cloud

FOLDERS = ["we[i]rd", "what?", "a[!b]c", "sp ace#", "{x}", "[", "end]"]


def objects(bucket: storage.Bucket, cloud: Cloud) -> list[str]:
    return [blob.name.removeprefix(cloud.name) for blob in bucket.list_blobs(prefix=cloud.name)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_staging_folder_is_removed_by_its_name(cloud: Cloud, bucket: storage.Bucket, folder: str) -> None:
    area = StagingArea(f"{cloud.staging}/{folder}", "run")
    area.begin()
    for kept in ("weird/run/kept", "what1/run/kept", "abc/run/kept", f"{folder}/run2/kept"):
        bucket.blob(f"{cloud.name}/{kept}").upload_from_string(b"x")
    before = objects(bucket, cloud)

    area.remove()

    assert set(before) - set(objects(bucket, cloud)) == {f"/{folder}/run/begun"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_stale_files_in_folder_with_pattern_are_removed(cloud: Cloud, bucket: storage.Bucket, folder: str) -> None:
    root = f"{cloud.staging}/{folder}"
    dead, other = "20261120-20261120T020000Z-0000000a", "20261120-20261120T020000Z-0000000b"
    StagingArea(root, dead).begin()
    StagingArea(f"{cloud.staging}/weird", other).begin()
    now = datetime(2026, 11, 20, 2, tzinfo=timezone.utc) + KEEP + timedelta(minutes=1)

    assert remove_dead_runs(root, now) == [dead]

    assert objects(bucket, cloud) == [f"/weird/{other}/begun"]


@pytest.mark.parametrize("folder", ["a*b", "a[b]", "a?b", "a#b"])
@pytest.mark.parametrize("method", ["arrow", "export"])
def test_name_that_is_a_pattern_for_google_is_refused(
    cloud: Cloud, bucket: storage.Bucket, folder: str, method: str
) -> None:
    ended = cloud.run("--staging", f"{cloud.staging}/{folder}", "--read_method", method)
    assert (ended.code, "for patterns" in ended.err, len(ended.err.splitlines())) == (2, True, 1), ended.err
    assert objects(bucket, cloud) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM pcc_quarantine WHERE TRUE",
        "DROP TABLE pcc_quarantine",
        "CREATE TABLE x AS SELECT 1 AS a",
        "INSERT INTO pcc_quarantine SELECT * FROM pcc_quarantine WHERE ingestion_time > '1970-01-01'",
        "UPDATE pcc_quarantine SET detail = 'x' WHERE TRUE",
        "TRUNCATE TABLE pcc_quarantine",
        "SELECT 1; DROP TABLE pcc_quarantine",
        "BEGIN TRANSACTION; SELECT 1; COMMIT TRANSACTION",
    ],
)
def test_a_query_only_selects(cloud: Cloud, sql: str) -> None:
    assert cloud.call("tables", "create", "--warehouse", f"bq://{cloud.output}").code == 0
    before = cloud.output_tables()

    ended = cloud.call("tables", "query", "--warehouse", f"bq://{cloud.output}", sql)

    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), ended.err
    assert cloud.output_tables() == before
