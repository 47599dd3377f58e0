"""Google's clients and their retries. `beam_pcc.errors.foreign` maps their exceptions to ours."""

from __future__ import annotations

from collections.abc import Callable

from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from beam_pcc.errors import ConfigurationError, retrying
from beam_pcc.errors.foreign import explained, is_transient
from beam_pcc.gcp.names import RETRY_TIMEOUT

__all__ = ["RETRY_TIMEOUT", "client", "explained", "paced", "retry", "retry_when", "stream_retry"]


def client(project: str, location: str | None = None) -> bigquery.Client:
    """A BigQuery client that runs its jobs in `project`. Raises ConfigurationError without credentials."""
    with explained(f"project {project}", ConfigurationError):
        return bigquery.Client(project=project, location=location)


def retry(timeout: float) -> Retry:
    """Try a call again on 429, 500, 502, 503, 504 and broken connections, for `timeout` seconds at most."""
    return paced(DEFAULT_RETRY, timeout)


def stream_retry(timeout: float) -> Retry:
    """As `retry`, for the Storage Read API (gRPC: its errors carry no reasons, only their type)."""
    return retry_when(is_transient, timeout)


def retry_when(may_retry: Callable[[Exception], bool], timeout: float) -> Retry:
    """Try a call again on the exceptions for which `may_retry` is true, for `timeout` seconds at most."""
    return paced(Retry(may_retry), timeout)


def paced(policy: Retry, timeout: float) -> Retry:
    """This retry with our pauses and timeout. Google's library draws each pause at random below its length."""
    first, longest, factor = retrying.PAUSES
    return policy.with_delay(initial=first, maximum=longest, multiplier=factor).with_timeout(timeout)
