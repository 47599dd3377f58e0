"""BigQuery jobs under ids that follow from what they do, so that a step that is done again finds its own job."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery

from beam_pcc.errors import WarehouseError
from beam_pcc.errors.foreign import TRANSIENT_REASONS
from beam_pcc.gcp.client import explained, retry, retry_when
from beam_pcc.publishing.warehouse.bigquery import sql, tables


class Jobs:
    """Runs jobs to their end.

    Args:
        client: Of the project and location that they run in.
        retry_timeout: Seconds to try again for when Google is unwell or another transaction is in the way.

    Raises:
        WarehouseError: From any method: the job failed, or failed in passing for as long as `retry_timeout`.
    """

    def __init__(self, client: bigquery.Client, retry_timeout: float) -> None:
        self._client = client
        self._retry_timeout = retry_timeout

    @property
    def _retry(self) -> Retry:
        return retry(self._retry_timeout)

    def run(self, what: str, job_id: str, start: Callable[[str], Any]) -> Any:
        """Run a job to its end, or find it ended or running; try again with the next id when it failed in passing."""
        ids = (f"{job_id}_{attempt}" for attempt in itertools.count())
        again = retry_when(_may_run_again, self._retry_timeout)

        def once() -> Any:
            this = next(ids)
            try:
                job = start(this)
            except exceptions.Conflict:
                job = self._client.get_job(this, retry=self._retry)
            try:
                job.result(retry=self._retry, timeout=None)
            except concurrent.futures.TimeoutError as error:  # asked in vain how a load goes: the cause tells more
                raise error.__context__ or error from None
            return job

        with explained(what, WarehouseError):
            return again(once)()

    def query(self, what: str, template: str, names: Mapping[str, object], row: Mapping[str, Any]) -> Any:
        """Run a statement that may well be run twice; its rows."""
        # Without an id of its own the query would be tried again for as long as Google's library likes: ten minutes.
        job = self.change(what, f"pcc_{uuid4().hex}", template, names, row)
        with explained(what, WarehouseError):
            return list(job.result(retry=self._retry))

    def change(self, what: str, job_id: str, template: str, names: Mapping[str, object], row: Mapping[str, Any]) -> Any:
        """Run a script that changes tables, once; the job."""
        config = bigquery.QueryJobConfig(query_parameters=tables.parameters(row) if row else [])
        text = sql.filled(template, names)
        return self.run(
            what,
            job_id,
            lambda this: self._client.query(text, job_config=config, job_id=this, retry=self._retry, job_retry=None),
        )


def _may_run_again(error: BaseException) -> bool:
    """Whether a job that failed so may succeed when it is run again: a transient error, or a concurrent transaction."""
    if not isinstance(error, exceptions.GoogleAPICallError):
        return False
    reasons = {e.get("reason") for e in error.errors or () if isinstance(e, dict)}
    return bool(reasons & TRANSIENT_REASONS) or "concurrent update" in str(error) or "aborted" in str(error).lower()
