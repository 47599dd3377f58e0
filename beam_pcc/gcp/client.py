"""Google's clients, how long they try, and what they raise in a person's words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from beam_pcc.errors import ConfigurationError, PccError, one_line
from beam_pcc.gcp.names import RETRY_TIMEOUT as RETRY_TIMEOUT

_NO_CREDENTIALS = (
    "no usable Google credentials: set GOOGLE_APPLICATION_CREDENTIALS to a key or federation file, or run "
    "gcloud auth application-default login"
)


def client(project: str, location: str | None = None) -> bigquery.Client:
    """A BigQuery client that runs its jobs in `project`. Raises ConfigurationError without credentials."""
    with explained(f"project {project}", ConfigurationError):
        return bigquery.Client(project=project, location=location)


def retry(timeout: float) -> Retry:
    """Try a call again on 429, 500, 502, 503, 504 and broken connections, for `timeout` seconds at most.

    The pauses double from 1 s up to 60 s, each drawn at random below that (Google's own retry does so).
    """
    return DEFAULT_RETRY.with_timeout(timeout)


def stream_retry(timeout: float) -> Retry:
    """As `retry`, for the Storage Read API (gRPC: its errors carry no reasons, only their kind)."""
    transient = if_exception_type(
        exceptions.ServiceUnavailable, exceptions.InternalServerError, exceptions.TooManyRequests
    )
    return Retry(transient, initial=1.0, maximum=60.0, multiplier=2.0, timeout=timeout)


@contextlib.contextmanager
def explained(where: str, otherwise: type[PccError]) -> Iterator[None]:
    """Turn what Google's clients raise into one line.

    Args:
        where: What was asked for, such as "table p.d.t".
        otherwise: The error of whatever is not the configuration's fault.

    Raises:
        ConfigurationError: No credentials, no right, nothing of that name.
        PccError: `otherwise`, of anything else.
    """
    try:
        yield
    except google.auth.exceptions.DefaultCredentialsError:
        raise ConfigurationError(_NO_CREDENTIALS) from None
    except google.auth.exceptions.RefreshError as error:
        raise ConfigurationError(f"Google refused the credentials ({one_line(error, 120)}); {_RENEW}") from None
    except exceptions.Forbidden as error:
        if _reason(error) in _QUOTA:
            raise otherwise(f"{where}: a quota is used up ({_said(error)}); run again later, or ask for more") from None
        raise ConfigurationError(f"{where}: no permission ({_said(error)}); see docs/permissions.md") from None
    except exceptions.NotFound as error:
        if "in location" in str(error):  # BigQuery says so too of what is nowhere
            raise ConfigurationError(f"{where}: {_said(error)}; {_ONE_LOCATION}") from None
        raise ConfigurationError(f"{where} is not there; check its name, or make it") from None
    except exceptions.RetryError as error:
        raise otherwise(
            f"{where}: Google did not answer well for as long as it was asked ({_said(error.cause or error)}); "
            "run again later, or wait longer with --retry_timeout"
        ) from None
    except exceptions.TooManyRequests as error:
        raise otherwise(f"{where}: a quota is used up ({_said(error)}); run again later, or ask for more") from None
    except exceptions.BadRequest as error:
        if "different locations" in str(error):
            raise ConfigurationError(f"{where}: {_said(error)}; {_ONE_LOCATION}") from None
        raise otherwise(f"{where}: {_said(error)}; {_SEE_TRACE}") from None
    except (exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, OSError) as error:
        raise otherwise(f"{where}: {_said(error)}; {_SEE_TRACE}") from None


_ONE_LOCATION = "check the name, and that the datasets and the staging bucket are in one location"
_SEE_TRACE = "run again, and see the trace with --debug"
_RENEW = "renew them: gcloud auth application-default login, or another key"
_QUOTA = {"quotaExceeded", "rateLimitExceeded"}


def _reason(error: Any) -> str | None:
    errors = getattr(error, "errors", None) or [{}]
    first = errors[0]
    return first.get("reason") if isinstance(first, dict) else None


def _said(error: BaseException) -> str:
    """The error's own words, without the address that was called; of a value that did not fit only the error's kind."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    for line in str(message).splitlines():
        words = line.partition("prettyPrint=false: ")[2] or line
        if words.strip():
            return type(error).__name__ if _QUOTES.search(words) else one_line(words, 200)
    return type(error).__name__


# What Google says of a row that it cannot take quotes the row: "Could not parse 'words of a case' as INT64".
_QUOTES = re.compile(r"\b(pars|convert|cast|decod|malformed|bad \w+ value|invalid \w+ value|row )", re.IGNORECASE)
