"""Killed runs on BigQuery: the table always contains exactly one complete run of the partition."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator

import pytest

from tests.emulators.faults import Delay, RestProxy, Rule
from tests.emulators.running import Emulators
from tests.end_to_end.bigquery.conftest import Cloud, sample

KILLS = 6
ROWS = 500
ARROW = ("--read_method", "arrow")
INSERT = r"/jobs(\?|$)"
LOAD = "sourceUris"  # in the body of a load job's insert
PUBLISH = "BEGIN TRANSACTION"  # in the body of the publishing query's insert
DELAY = 1.0  # seconds: the kill comes at their beginning


@pytest.fixture
def proxy(cloud: Cloud, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestProxy]:
    """What the killed runs talk to; the test's own client goes straight to the emulator."""
    with RestProxy(emulators.rest) as started:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", started.address)
        yield started


@pytest.fixture
def published(cloud: Cloud, proxy: RestProxy) -> Cloud:
    """With a partition that an earlier run has published."""
    cloud.seed(sample(ROWS))
    ended = cloud.run(*ARROW)
    assert ended.code == 0, ended.err
    return cloud


WHOLE = """
SELECT run_id, published.n, published.ids, passed_validation, status, rejected.n
FROM (
    SELECT run_id, COUNT(*) AS n, COUNT(DISTINCT case_id) AS ids
    FROM pcc_inference_output WHERE ingestion_time > '1970-01-01' GROUP BY run_id
) AS published
FULL JOIN (
    SELECT run_id, COUNT(*) AS n FROM pcc_quarantine WHERE ingestion_time > '1970-01-01' GROUP BY run_id
) AS rejected USING (run_id)
LEFT JOIN (
    SELECT run_id, passed_validation, status FROM pcc_monitoring_logs WHERE ingestion_time > '1970-01-01'
) AS logged USING (run_id)
"""


def whole_run(cloud: Cloud) -> str:
    """The run whose rows the tables hold, seen by one query: all rows of one run, whose one log row says success."""
    ((run_id, rows, ids, passed, status, rejected),) = cloud.query(WHOLE)
    assert (ids, passed, status, rejected) == (rows, rows, "success", ROWS - rows)
    return str(run_id)


def kill_at(cloud: Cloud, rule: Rule) -> None:
    """Kill a run the moment that it falls under the rule."""
    process = cloud.spawn(*ARROW)
    assert rule.met.wait(120)
    process.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == -9, err


def next_run(cloud: Cloud, earlier: str) -> str:
    """The run that a job has published that was taken already; it is done a moment later."""
    deadline = time.monotonic() + 30
    while (later := whole_run(cloud)) == earlier:
        assert time.monotonic() < deadline, "nothing was published"
    return later


def assert_next_run_publishes(cloud: Cloud, seen: set[str]) -> None:
    ended = cloud.run(*ARROW)
    assert ended.code == 0, ended.err
    assert whole_run(cloud) not in seen


@pytest.mark.parametrize("work_first", [False, True], ids=["asked for", "done"])
def test_kill_9_while_loading_leaves_earlier_run(published: Cloud, proxy: RestProxy, work_first: bool) -> None:
    earlier = whole_run(published)
    rule = proxy.on("POST", INSERT, Delay(DELAY, work_first), body=LOAD)

    kill_at(published, rule)

    assert whole_run(published) == earlier
    assert rule.done.wait(30)  # what was asked for is done though nobody waits for it
    assert whole_run(published) == earlier
    assert_next_run_publishes(published, {earlier})


def test_kill_9_before_the_transaction_leaves_one_run(published: Cloud, proxy: RestProxy) -> None:
    """The request is on its way when its sender is killed: the transaction is done all the same, or not at all."""
    earlier = whole_run(published)
    rule = proxy.on("POST", INSERT, Delay(DELAY, work_first=False), body=PUBLISH)

    kill_at(published, rule)

    assert whole_run(published) == earlier
    assert rule.done.wait(30)
    later = next_run(published, earlier)
    assert_next_run_publishes(published, {earlier, later})


def test_kill_9_during_the_transaction_leaves_one_run(published: Cloud, proxy: RestProxy) -> None:
    earlier = whole_run(published)
    seen = {earlier}
    rule = proxy.on("POST", INSERT, Delay(DELAY, work_first=True), body=PUBLISH)

    kill_at(published, rule)

    while not rule.done.wait(0.05):
        seen.add(whole_run(published))
    seen.add(next_run(published, earlier))
    assert len(seen) == 2
    assert_next_run_publishes(published, seen)


def test_kill_9_at_any_moment_leaves_one_run(published: Cloud, proxy: RestProxy) -> None:
    """The moments are those of requests: a run spends most of its time on what nobody could lose."""
    seen = {whole_run(published)}
    proxy.seen.clear()
    assert published.run(*ARROW).code == 0
    seen.add(whole_run(published))
    requests = len(proxy.seen)
    moment = random.Random(20_261_120)
    killed = 0
    while killed < KILLS:
        proxy.seen.clear()
        process = published.spawn(*ARROW)
        until = moment.randrange(1, requests)
        while len(proxy.seen) < until and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moment.uniform(0.0, 0.05))
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -9  # or it was done with fewer requests
        seen.add(whole_run(published))

    assert_next_run_publishes(published, seen)


def test_staging_tables_of_a_killed_run_expire(published: Cloud, proxy: RestProxy) -> None:
    kill_at(published, proxy.on("POST", INSERT, Delay(DELAY), body=PUBLISH))

    left = [published.client.get_table(table) for table in published.client.list_tables(published.output)]
    staging = [table for table in left if table.table_id.startswith("pcc_staging_")]
    assert len(staging) == 2  # predictions and rejected
    now = dt.datetime.now(dt.timezone.utc)
    for table in staging:
        assert table.expires is not None
        assert now < table.expires < now + dt.timedelta(days=1)
