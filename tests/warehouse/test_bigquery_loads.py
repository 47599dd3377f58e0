"""More staged files than one BigQuery load job may name: on a client that only keeps what it is asked for.

The emulator cannot hold so many files within a test; it loads few ones in tests/end_to_end/bigquery.
"""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import Conflict

from beam_pcc.publishing.capacity import URIS_OF_A_JOB
from beam_pcc.publishing.warehouse.base import Run, StagedFile
from beam_pcc.publishing.warehouse.bigquery.warehouse import BigQueryWarehouse

FILES = 2 * URIS_OF_A_JOB + 1
RUN = Run("20261120-a1b2c3", dt.date(2026, 11, 20), dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc))
STAGED = [StagedFile("predictions", f"gs://b/{number:06d}.parquet", 1) for number in range(FILES)]


class Client:
    """Makes tables and jobs; a job runs once by its id."""

    def __init__(self) -> None:
        self.loads: dict[str, tuple[list[str], str]] = {}

    def create_table(self, _: Any, **__: Any) -> Any:
        return SimpleNamespace(created="2026-11-21")

    def delete_table(self, *_: Any, **__: Any) -> None:
        """Nothing is kept."""

    def load_table_from_uri(self, uris: list[str], _: str, *, job_id: str, job_config: Any, retry: Any) -> Any:
        del retry
        if job_id in self.loads:
            raise Conflict("the job is there")
        self.loads[job_id] = (uris, job_config.write_disposition)
        return SimpleNamespace(result=lambda **_: None)

    def get_job(self, job_id: str, **_: Any) -> Any:
        assert job_id in self.loads
        return SimpleNamespace(result=lambda **_: None)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def warehouse(client: Client) -> BigQueryWarehouse:
    made = BigQueryWarehouse("bq://project.dataset")
    made.__dict__["_client"] = client
    return made


def test_many_files_are_loaded_by_several_jobs(warehouse: BigQueryWarehouse, client: Client) -> None:
    with warehouse.load(RUN, STAGED[::-1]):
        loads = list(client.loads.values())
    assert [len(uris) for uris, _ in loads] == [URIS_OF_A_JOB, URIS_OF_A_JOB, 1]
    assert [uri for uris, _ in loads for uri in uris] == [file.uri for file in STAGED]


def test_only_the_first_job_empties_the_table(warehouse: BigQueryWarehouse, client: Client) -> None:
    with warehouse.load(RUN, STAGED):
        dispositions = [disposition for _, disposition in client.loads.values()]
    assert dispositions == ["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_APPEND"]


def test_a_load_that_is_repeated_appends_nothing(warehouse: BigQueryWarehouse, client: Client) -> None:
    with warehouse.load(RUN, STAGED):
        first = dict(client.loads)
    with warehouse.load(RUN, STAGED):
        assert client.loads == first


@pytest.mark.parametrize("place", [0, FILES - 1])
def test_another_attempts_files_replace_those_before(warehouse: BigQueryWarehouse, client: Client, place: int) -> None:
    with warehouse.load(RUN, STAGED):
        before = set(client.loads)
    other = [*STAGED[:place], STAGED[place]._replace(uri="gs://b/again.parquet"), *STAGED[place + 1 :]]
    with warehouse.load(RUN, other):
        loads = [load for job, load in client.loads.items() if job not in before]
    assert sorted(uri for uris, _ in loads for uri in uris) == sorted(file.uri for file in other)
    assert [disposition for _, disposition in loads] == ["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_APPEND"]
