"""Faults of Google: a run retries transient errors, ends with one line on others, and never publishes a part."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.windowed_value import WindowedValue
from google.cloud import bigquery

from beam_pcc.cli import main as cli
from beam_pcc.errors import retrying
from beam_pcc.errors.retrying import Pauses
from beam_pcc.publishing import publish
from tests.emulators import faults
from tests.emulators.faults import ABORTED, ReadProxy, RestProxy
from tests.emulators.running import PROJECT, Emulators
from tests.end_to_end.bigquery.conftest import TABLES, Cloud, sample
from tests.end_to_end.conftest import Ended

ROWS = 500
ARROW = ("--read_method", "arrow")  # Beam's own client keeps the address that it was imported with
INSERT = r"/jobs(\?|$)"
POLL = r"/(jobs|queries)/"
PUBLISH = "BEGIN TRANSACTION"  # in the body of the publishing query's insert


@pytest.fixture
def proxy(cloud: Cloud, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestProxy]:
    """What the runs of this test talk to; the test's own client goes straight to the emulator."""
    # The pauses before a call is made again are of up to ten seconds; here they are as good when short.
    monkeypatch.setattr(retrying, "PAUSES", Pauses(0.05, 0.2))
    with RestProxy(emulators.rest) as started:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", started.address)
        yield started


@pytest.fixture(scope="module")
def undisturbed(emulators: Emulators, models: Path) -> list[tuple[Any, ...]]:
    """What a run of the sample publishes when nothing goes wrong."""
    cloud = Cloud(bigquery.Client(project=PROJECT), models, capture=None)  # type: ignore[arg-type]
    cloud.seed(sample(ROWS))
    assert cli.main(cloud.flags(*ARROW)) == 0
    return cloud.published()


def one_line(ended: Ended, code: int, *words: str) -> str:
    """Ended with this code and one line on stderr that says these words, and no row's text."""
    (line,) = ended.err.strip().splitlines()
    assert ended.code == code, line
    assert line.startswith("beam-pcc: ")
    assert "Traceback" not in line
    assert "secret" not in line
    for word in words:
        assert word in line
    return line


def assert_same(rows: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """The same cases in every column; how the rows fell into batches shows in a confidence's eighth digit."""
    assert [row[:3] + row[4:] for row in rows] == [row[:3] + row[4:] for row in expected]
    assert [row[3] for row in rows] == pytest.approx([row[3] for row in expected], abs=1e-6)


def assert_published_once(cloud: Cloud, rows: list[tuple[Any, ...]], ended: Ended) -> None:
    """Exactly these rows of one run are published, it has one monitoring row, and no staging table is left."""
    assert ended.code == 0, ended.err
    assert_same(cloud.published(), rows)
    (monitoring,) = cloud.monitoring()
    assert monitoring["status"] == "success"
    assert monitoring["passed_validation"] == len(rows)
    rejected = monitoring["dropped_cases"]
    assert rejected == ROWS - len(rows)
    of_run = f"WHERE run_id = '{monitoring['run_id']}' AND ingestion_time > '1970-01-01'"
    assert cloud.query(f"SELECT count(*) FROM pcc_inference_output {of_run}") == [(len(rows),)]
    assert cloud.query(f"SELECT count(*) FROM pcc_quarantine {of_run}") == [(rejected,)]
    assert cloud.output_tables() == TABLES


def assert_failed(cloud: Cloud, ended: Ended, code: int, *words: str) -> None:
    """One line; a failed monitoring row says the same; nothing is published."""
    line = one_line(ended, code, *words)
    (monitoring,) = cloud.monitoring()
    assert monitoring["status"] == "failed"
    assert monitoring["error_message"] == line.removeprefix("beam-pcc: ")
    assert cloud.published() == []
    assert cloud.query("SELECT count(*) FROM pcc_quarantine WHERE ingestion_time > '1970-01-01'") == [(0,)]


@pytest.fixture
def ready(cloud: Cloud) -> Cloud:
    """With a source and empty tables, so that also a failed run can leave its row."""
    cloud.seed(sample(ROWS))
    assert cloud.call("tables", "create", "--warehouse", f"bq://{cloud.output}").code == 0
    return cloud


# What passes is survived.


@pytest.mark.parametrize(
    "fault",
    [faults.TOO_MANY, faults.INTERNAL, faults.UNAVAILABLE, faults.Reset(), faults.LostAnswer()],
    ids=["429", "500", "503", "reset", "lost answers"],
)
def test_burst_of_errors_at_each_step_is_retried(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]], fault: faults.Fault
) -> None:
    steps = {
        "look at the dataset": proxy.on("GET", rf"/datasets/{ready.name}_output\?", fault, times=2),
        "look at the source": proxy.on("GET", "/tables/redacted_snapshot", fault, times=2),
        "look at a table": proxy.on("GET", "/tables/pcc_inference_output", fault, times=2),
        "make a staging table": proxy.on("POST", r"/tables(\?|$)", fault, body="pcc_staging", times=2),
        "load": proxy.on("POST", INSERT, fault, body="sourceUris", times=2),
        "count": proxy.on("POST", INSERT, fault, body="COUNTIF", times=2),
        "publish": proxy.on("POST", INSERT, fault, body=PUBLISH, times=2),
        "wait for a job": proxy.on("GET", POLL, fault, times=2),
        "drop a staging table": proxy.on("DELETE", "/tables/pcc_staging", fault, times=2),
    }

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    assert [step for step, rule in steps.items() if rule.times] == []


def test_publish_makes_six_jobs(ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]) -> None:
    """The days before, two loads, two counts, one transaction: each job takes a second or more."""
    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    kinds = {"days": "ROW_NUMBER.*success", "load": "sourceUris", "counts": "COUNTIF", "reasons": "GROUP BY reason"}
    made = {kind: proxy.count("POST", INSERT, body=words) for kind, words in (kinds | {"publish": PUBLISH}).items()}
    assert made == {"days": 1, "load": 2, "counts": 1, "reasons": 1, "publish": 1}
    assert proxy.count("POST", INSERT) == 6


@pytest.mark.parametrize("kind", ["predictions", "rejected"])
def test_load_with_lost_response_is_not_started_twice(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]], kind: str
) -> None:
    proxy.on("POST", INSERT, faults.LostAnswer(), body=f"_load_{kind}_")

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    first, second = proxy.job_ids(f"_load_{kind}_")
    assert first == second  # the second insert found the job of the first
    assert proxy.count("GET", f"/jobs/{first}") >= 1
    run_id = ready.monitoring()[0]["run_id"]
    made = [job.job_id for job in ready.client.list_jobs() if f"{run_id}_load_{kind}_" in job.job_id]
    assert made == [first]


def test_publish_with_lost_response_is_done_once(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]
) -> None:
    proxy.on("POST", INSERT, faults.LostAnswer(), body=PUBLISH)

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    first, second = proxy.job_ids("_publish_")
    assert first == second


def test_repeated_publish_changes_nothing(
    ready: Cloud, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Flink does when a worker dies after the staging tables were dropped, before it could say that it is done."""
    once = publish.publish_run

    def twice(*given: Any) -> publish.Outcome:
        once(*given)
        return once(*given)

    monkeypatch.setattr(publish, "publish_run", twice)

    assert_published_once(ready, undisturbed, ready.run(*ARROW))


def test_long_job_is_awaited(ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]) -> None:
    """The emulator's jobs are done at once: here the answers to their inserts say that they are not."""
    load = proxy.on("POST", INSERT, faults.StillRunning(), body="sourceUris")
    transaction = proxy.on("POST", INSERT, faults.StillRunning(), body=PUBLISH)

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    assert load.met.is_set()
    assert transaction.met.is_set()


def test_conflicting_transaction_is_awaited(ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]) -> None:
    proxy.on("POST", INSERT, ABORTED, body=PUBLISH, times=2)

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    assert len(set(proxy.job_ids("_publish_"))) == 3  # a job that failed is never asked for again


@pytest.mark.parametrize("reason", ["backendError", "internalError", "rateLimitExceeded"])
def test_load_with_transient_error_is_retried(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]], reason: str
) -> None:
    failed = faults.FailedJob(reason, "An internal error occurred and the request could not be completed.")
    proxy.on("POST", INSERT, failed, body="sourceUris")

    ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)


def test_arrow_stream_broken_midway_is_resumed(
    ready: Cloud, emulators: Emulators, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReadProxy(emulators.grpc, rows=100, after=1, breaks=3) as read:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR", read.address)
        ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    assert read.offsets == [0, 100, 200, 300]


def test_arrow_stream_broken_at_start_is_retried(
    ready: Cloud, emulators: Emulators, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReadProxy(emulators.grpc, after=0, breaks=2) as read:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR", read.address)
        ended = ready.run(*ARROW)

    assert_published_once(ready, undisturbed, ended)
    assert read.offsets == [0, 0, 0]


def test_concurrent_publishes_leave_one_run(ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]) -> None:
    """Both publish for the first time, so neither deletes a row: only the lock makes BigQuery abort one of them."""
    proxy.on("POST", INSERT, faults.Meeting(), body=PUBLISH, times=2)

    processes = [ready.spawn(*ARROW) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], ended
    assert len(proxy.job_ids("_publish_")) == 3  # one of them was tried again
    assert_same(ready.published(), undisturbed)
    runs = ready.query("SELECT DISTINCT run_id FROM pcc_inference_output WHERE ingestion_time > '1970-01-01'")
    assert len(runs) == 1
    assert [row["status"] for row in ready.monitoring()] == ["success", "success"]
    assert ready.output_tables() == TABLES


def test_concurrent_replacements_leave_one_run(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]
) -> None:
    """Nothing is made up here: both delete the same rows, so the emulator aborts one of them."""
    assert ready.run(*ARROW).code == 0

    processes = [ready.spawn(*ARROW) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], ended
    assert_same(ready.published(), undisturbed)
    runs = ready.query("SELECT DISTINCT run_id FROM pcc_inference_output WHERE ingestion_time > '1970-01-01'")
    assert len(runs) == 1
    assert [row["status"] for row in ready.monitoring()] == ["success"] * 3


# What lasts ends the run with one line.

LASTING = [
    ("GET", "/tables/redacted_snapshot", "", "--source table"),
    ("POST", INSERT, "sourceUris", "loading into"),
    ("POST", INSERT, "COUNTIF", "counting what was staged"),
    ("POST", INSERT, PUBLISH, "publishing to bq://"),
]


@pytest.mark.parametrize(("method", "path", "body", "what"), LASTING, ids=[step[-1] for step in LASTING])
def test_error_beyond_retry_timeout_is_one_line(
    ready: Cloud, proxy: RestProxy, method: str, path: str, body: str, what: str
) -> None:
    proxy.on(method, path, faults.UNAVAILABLE, body=body, times=1_000)

    ended = ready.run(*ARROW, "--retry_timeout", 3)

    assert_failed(ready, ended, 1, what, "--retry_timeout")


def test_unreachable_load_job_is_one_line(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("POST", INSERT, faults.StillRunning(), body="sourceUris", times=2)
    proxy.on("GET", "/(jobs|queries)/.*_load_", faults.UNAVAILABLE, times=1_000)

    ended = ready.run(*ARROW, "--retry_timeout", 3)

    assert_failed(ready, ended, 1, "loading into", "made up by a test", "--retry_timeout")


def test_unreachable_publish_that_succeeded_is_no_failure(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]
) -> None:
    proxy.on("POST", INSERT, faults.StillRunning(), body=PUBLISH)
    proxy.on("GET", "/(jobs|queries)/.*_publish_", faults.UNAVAILABLE, times=1_000)

    ended = ready.run(*ARROW, "--retry_timeout", 3)

    one_line(ended, 1, "after partition 20261120 was published", "publishing to bq://", "--retry_timeout")
    assert_same(ready.published(), undisturbed)
    assert [row["status"] for row in ready.monitoring()] == ["success"]


def test_lasting_transaction_conflict_is_one_line(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("POST", INSERT, ABORTED, body=PUBLISH, times=1_000)
    assert_failed(ready, ready.run(*ARROW, "--retry_timeout", 3), 1, "publishing to bq://", "concurrent update")


def test_publish_with_lost_outcome_is_no_failure(
    ready: Cloud, proxy: RestProxy, undisturbed: list[tuple[Any, ...]]
) -> None:
    proxy.on("POST", INSERT, faults.LostAnswer(), body=PUBLISH)
    proxy.on("POST", INSERT, faults.UNAVAILABLE, body=PUBLISH, times=1_000)

    ended = ready.run(*ARROW, "--retry_timeout", 3)

    one_line(ended, 1, "after partition 20261120 was published")
    assert_same(ready.published(), undisturbed)
    assert [row["status"] for row in ready.monitoring()] == ["success"]


def test_unwritten_failed_row_does_not_hide_reason(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("POST", INSERT, faults.DENIED, body="sourceUris", times=1_000)
    proxy.on("POST", INSERT, faults.INTERNAL, body="_record_", times=1_000)

    ended = ready.run(*ARROW, "--retry_timeout", 3)

    one_line(ended, 2, "loading into", "docs/permissions.md")
    assert ready.monitoring() == []
    assert ready.published() == []


def test_stream_down_for_too_long_is_one_line(
    ready: Cloud, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReadProxy(emulators.grpc, after=0, breaks=1_000) as read:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR", read.address)
        ended = ready.run(*ARROW, "--retry_timeout", 3)

    assert_failed(ready, ended, 1, "--source table", "--retry_timeout")


# What is the configuration's fault is exit code 2, and what is a quota's, 1.


def test_no_permission_on_source(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("GET", "/tables/redacted_snapshot", faults.DENIED)

    assert_failed(ready, ready.run(*ARROW), 2, "--source table", "no permission", "docs/permissions.md")


def test_no_permission_on_warehouse(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("GET", rf"/datasets/{ready.name}_output\?", faults.DENIED, times=1_000)

    one_line(ready.run(*ARROW), 2, "--warehouse dataset", "no permission", "docs/permissions.md")
    assert ready.published() == []


def test_no_permission_to_publish(ready: Cloud, proxy: RestProxy) -> None:
    proxy.on("POST", INSERT, faults.FailedJob("accessDenied", "Access Denied: Table p:d.t"), body=PUBLISH)

    assert_failed(ready, ready.run(*ARROW), 2, "publishing to bq://", "no permission", "docs/permissions.md")


@pytest.mark.parametrize(
    "fault",
    [faults.QUOTA, faults.FailedJob("quotaExceeded", "Quota exceeded: Your project exceeded a quota.")],
    ids=["request", "job"],
)
def test_quota_exceeded(ready: Cloud, proxy: RestProxy, fault: faults.Fault) -> None:
    proxy.on("POST", INSERT, fault, body="sourceUris", times=1_000)

    assert_failed(ready, ready.run(*ARROW), 1, "loading into", "quota is used up", "run again later")


def test_no_table_of_the_day(ready: Cloud) -> None:
    ended = ready.run(*ARROW, "--source", f"bq://{ready.source}.nothing_{{partition}}")

    assert_failed(ready, ended, 2, f"--source table {ready.source}.nothing_20261120 is not there")


def test_no_bucket_to_stage_in(ready: Cloud) -> None:
    ended = ready.run(*ARROW, "--staging", "gs://no-such-bucket/folder")

    assert_failed(ready, ended, 2, "--staging gs://no-such-bucket/folder cannot be written (HTTP 404)")


def test_no_temp_dataset(ready: Cloud) -> None:
    ended = ready.run(*ARROW, "--temp_dataset", f"{PROJECT}.nowhere")

    assert_failed(ready, ended, 2, f"--temp_dataset {PROJECT}.nowhere is not there")


def test_temp_dataset_in_other_location_fails_at_start(ready: Cloud) -> None:
    abroad = bigquery.Dataset(f"{ready.source}_abroad")
    abroad.location = "europe-west3"
    ready.client.create_dataset(abroad)

    ended = ready.run(*ARROW, "--temp_dataset", f"{ready.source}_abroad")

    assert_failed(ready, ended, 2, "_abroad is in europe-west3, and the warehouse", "in US; name a dataset there")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("notFound", "Not found: Dataset p:temp was not found in location EU"),
        ("invalid", "Cannot read and write in different locations: source: US, destination: EU"),
    ],
    ids=["dataset", "bucket"],
)
def test_dataset_or_bucket_in_other_location(ready: Cloud, proxy: RestProxy, reason: str, said: str) -> None:
    proxy.on("POST", INSERT, faults.FailedJob(reason, said), body="sourceUris")

    assert_failed(ready, ready.run(*ARROW), 2, "loading into", said, "in one location")


def test_failed_first_run_leaves_its_row(cloud: Cloud) -> None:
    """There are no tables yet: the one of the row is made."""
    line = one_line(cloud.run(*ARROW), 2, f"--source table {cloud.source}.redacted_snapshot_20261120 is not there")

    (monitoring,) = cloud.monitoring()
    assert (monitoring["status"], monitoring["error_message"]) == ("failed", line.removeprefix("beam-pcc: "))
    assert cloud.client.get_table(f"{cloud.output}.pcc_monitoring_logs").require_partition_filter


def test_no_dataset_of_the_warehouse(ready: Cloud) -> None:
    ended = ready.run(*ARROW, "--warehouse", f"bq://{PROJECT}.nowhere")

    one_line(ended, 2, f"--warehouse dataset {PROJECT}.nowhere is not there")
    assert ready.published() == []


@pytest.mark.parametrize("given", [True, False], ids=["a missing file", "nothing"])
def test_no_credentials(ready: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: bool) -> None:
    if given:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    else:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    for name in ("HOME", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # else Google's library looks for a machine of Google's around it

    one_line(ready.run(*ARROW), 2, "no usable Google credentials", "gcloud auth application-default login")


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1 my secret, which is no Parquet PAR1",
        _parquet(pa.table({"case_id": ["my secret"], "confidence": ["my secret"]})),
    ],
    ids=["not Parquet", "other columns"],
)
def test_staged_file_that_cannot_be_loaded(ready: Cloud, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    finish = publish.StageRows.finish_bundle

    def spoil(self: publish.StageRows) -> Iterator[WindowedValue]:
        for staged in finish(self):
            with FileSystems.create(staged.value.uri, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(content)
            yield staged

    monkeypatch.setattr(publish.StageRows, "finish_bundle", spoil)

    assert_failed(ready, ready.run(*ARROW), 1, "loading into")
