"""Maps the exceptions of other libraries to our errors, and says which are transient.

For code that knows what it asked a library for; `messages` is for all other code. `TABLE` names exceptions, so that it
imports no library. To map another exception, add a row. Faults of the machine are in `machine`, and go first.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import ConfigurationError, PccError, WarehouseError, one_line, qualified_name
from beam_pcc.errors.machine import explain_machine

TRANSIENT_REASONS = frozenset(
    {"backendError", "internalError", "rateLimitExceeded", "jobBackendError", "jobInternalError"}
)
"""Reasons that BigQuery gives for a job that may succeed when it is run again."""
_QUOTA_REASONS = frozenset({"quotaExceeded", "rateLimitExceeded"})


def is_transient_status(status: int) -> bool:
    """Whether a request that got this HTTP status may succeed when it is sent again."""
    return status in (408, 429) or (status >= 500 and status != 501)


def _always(_: BaseException) -> bool:
    return True


def _mentions(text: str) -> Callable[[BaseException], bool]:
    return lambda error: text in str(error)


def _type_name(error: BaseException) -> str:
    return type(error).__name__


def _message(error: BaseException) -> str:
    return one_line(error, 200) or _type_name(error)


def _safe_message(error: BaseException) -> str:
    """The message without the address of the request; if it may quote a row, the exception's type."""
    cause = getattr(error, "cause", None) or error  # of a RetryError, the last error
    message = getattr(cause, "message", None) or str(cause)
    for line in str(message).splitlines():
        detail = line.partition("prettyPrint=false: ")[2] or line  # after the address
        if detail.strip():
            return _type_name(cause) if QUOTES_A_ROW.search(detail) else one_line(detail, 200)
    return _type_name(cause)


# A service quotes the value that it cannot take: "Could not parse 'text of a case' as INT64".
QUOTES_A_ROW = re.compile(r"\b(pars|convert|cast|decod|malformed|bad \w+ value|invalid \w+ value|row )", re.IGNORECASE)


def google_reason(error: BaseException) -> str | None:
    """The reason code of Google's JSON APIs, such as quotaExceeded."""
    first = (getattr(error, "errors", None) or [None])[0]
    return first.get("reason") if isinstance(first, dict) else None


def _is_quota(error: BaseException) -> bool:
    return google_reason(error) in _QUOTA_REASONS


def _duckdb(error: BaseException) -> str:
    return f"DuckDB raised {_type_name(error)}"


def _kubernetes(error: BaseException) -> str:
    """The message of the API server's answer, else the HTTP reason."""
    body: Any = None
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        body = json.loads(getattr(error, "body", None) or "null")
    message = body.get("message") if isinstance(body, dict) else None
    return one_line(message or getattr(error, "reason", None) or _type_name(error))


def _status(error: BaseException) -> int:
    """The HTTP status that an exception of a client is about; 0 if none."""
    response = getattr(error, "response", None)
    status = getattr(error, "status", None) or getattr(response, "status_code", None)
    return status if isinstance(status, int) else 0


def _has_transient_status(error: BaseException) -> bool:
    return is_transient_status(_status(error))


@dataclass(frozen=True)
class Foreign:
    """How one type of exception is mapped.

    Args:
        name: Its fully qualified name. Subclasses without a row of their own are included.
        line: Our message. {where} is what was asked for, {detail} what `detail` returns.
        ours: Our class; None: the caller's, as it depends on what was tried.
        detail: The part of the exception that may be published; by default its type.
        transient: The same call may succeed when it is repeated.
        when: Limits the row to exceptions for which this is true; the others are compared with the next row.
        of_file: The row is used only while the content of a file is read.
    """

    name: str
    line: str = "{where}: {detail}; run again, and see the trace with --debug"
    ours: type[PccError] | None = None
    detail: Callable[[BaseException], str] = _type_name
    transient: bool = False
    when: Callable[[BaseException], bool] = _always
    of_file: bool = False


_GOOGLE = "google.api_core.exceptions"
_KUBERNETES = "kubernetes.client.exceptions.ApiException"
_QUOTA = "{where}: a quota is used up ({detail}); run again later, or ask for more"
_ONE_LOCATION = "{where}: {detail}; check the name, and that the datasets and the staging bucket are in one location"
_UNREADABLE = "{where} cannot be read as {file_format} ({detail}); write it again"
_NOT_WRITTEN = "{where}: {detail}; nothing of this step was written, run again"
# The messages of these exceptions of DuckDB are about files, memory and tables; those of others quote values.
OF_DUCKDB_FILE = ("IOException", "OutOfMemoryException", "PermissionException", "CatalogException")

TABLE = (
    # Google: credentials, then what the services answer.
    Foreign(
        "google.auth.exceptions.DefaultCredentialsError",
        "no usable Google credentials: set GOOGLE_APPLICATION_CREDENTIALS to a key or federation file, or run gcloud "
        "auth application-default login",
        ConfigurationError,
    ),
    Foreign(
        "google.auth.exceptions.RefreshError",
        "Google refused the credentials ({detail}); renew them: gcloud auth application-default login, or another key",
        ConfigurationError,
        _message,
    ),
    Foreign("google.auth.exceptions.TransportError", detail=_safe_message, transient=True),
    Foreign("google.auth.exceptions.GoogleAuthError", detail=_safe_message),
    Foreign(f"{_GOOGLE}.Forbidden", _QUOTA, None, _safe_message, when=_is_quota),
    Foreign(
        f"{_GOOGLE}.Forbidden",
        "{where}: no permission ({detail}); see docs/permissions.md",
        ConfigurationError,
        _safe_message,
    ),
    Foreign(  # BigQuery says so too of what is nowhere
        f"{_GOOGLE}.NotFound", _ONE_LOCATION, ConfigurationError, _safe_message, when=_mentions("in location")
    ),
    Foreign(f"{_GOOGLE}.NotFound", "{where} is not there; check its name, or make it", ConfigurationError),
    Foreign(
        f"{_GOOGLE}.RetryError",
        "{where}: Google did not answer well for as long as it was asked ({detail}); run again later, or wait longer "
        "with --retry_timeout",
        None,
        _safe_message,
    ),
    Foreign(f"{_GOOGLE}.TooManyRequests", _QUOTA, None, _safe_message, transient=True),
    Foreign(
        f"{_GOOGLE}.BadRequest", _ONE_LOCATION, ConfigurationError, _safe_message, when=_mentions("different locations")
    ),
    *(Foreign(f"{_GOOGLE}.{name}", detail=_safe_message) for name in ("MethodNotImplemented", "DataLoss")),
    Foreign(f"{_GOOGLE}.ServerError", detail=_safe_message, transient=True),
    Foreign(f"{_GOOGLE}.GoogleAPIError", detail=_safe_message),
    Foreign(
        "google.resumable_media.common.DataCorruption",
        "{where} arrived damaged ({detail}); run again",
        None,
        _message,
        transient=True,
    ),
    Foreign(_KUBERNETES, detail=_kubernetes, transient=True, when=_has_transient_status),
    Foreign(
        _KUBERNETES,
        "Kubernetes refused {where} ({detail}); see docs/eks-deployment.md",
        ConfigurationError,
        _kubernetes,
        when=lambda error: _status(error) in (401, 403),
    ),
    Foreign(
        _KUBERNETES,
        "{where} is not there ({detail}); run deploy-to-eks.sh check, then deploy",
        ConfigurationError,
        _kubernetes,
        when=lambda error: _status(error) == 404,
    ),
    Foreign(
        _KUBERNETES,
        "Kubernetes did not take {where}: {detail}; correct it, or run deploy-to-eks.sh check",
        ConfigurationError,
        _kubernetes,
    ),
    Foreign("duckdb.IOException", _NOT_WRITTEN, WarehouseError, _message, transient=True, when=_mentions("set lock")),
    *(Foreign(f"duckdb.{name}", _NOT_WRITTEN, WarehouseError, _message) for name in OF_DUCKDB_FILE),
    Foreign("duckdb.Error", _NOT_WRITTEN, WarehouseError, _duckdb),
    # Files and their parsers, whose messages quote rows: whoever reads a file chooses the detail.
    Foreign("FileNotFoundError", "{where} is gone since the run started; run again", of_file=True),
    Foreign("pyarrow.lib.ArrowException", _UNREADABLE, of_file=True),
    *(Foreign(name, _UNREADABLE, of_file=True) for name in ("OSError", "ValueError", "EOFError")),
    # HTTP and the system.
    Foreign("requests.exceptions.HTTPError", detail=_safe_message, transient=True, when=_has_transient_status),
    Foreign("requests.exceptions.HTTPError", detail=_safe_message),
    Foreign("requests.exceptions.RequestException", detail=_safe_message, transient=True),
    Foreign("urllib3.exceptions.HTTPError", detail=_safe_message, transient=True),
    Foreign("ConnectionError", detail=_safe_message, transient=True),
    Foreign("TimeoutError", detail=_safe_message, transient=True),
    Foreign("OSError", detail=_safe_message),
)
_ROWS: dict[str, list[Foreign]] = {}
for _row in TABLE:
    _ROWS.setdefault(_row.name, []).append(_row)


def _row_of(error: BaseException, *, of_file: bool = False) -> Foreign | None:
    for kind in type(error).__mro__:
        for row in _ROWS.get(qualified_name(kind), ()):
            if (of_file or not row.of_file) and row.when(error):
                return row
    return None


def is_transient(error: BaseException) -> bool:
    """Whether the call that raised this may succeed when it is repeated."""
    row = _row_of(error)
    return row is not None and row.transient


def explain(
    error: BaseException,
    where: str,
    otherwise: type[PccError],
    *,
    file_format: str = "",
    detail: Callable[[BaseException], str] | None = None,
) -> PccError | None:
    """Our error for an exception of a library; None if it is not in the table.

    Args:
        error: What was raised.
        where: What was asked for, such as "table p.d.t".
        otherwise: Our class for rows without one; also used if it is a subclass of the row's.
        file_format: Of the file whose content is read.
        detail: The part of an exception of that file's reader that may be published; by default its type.
    """
    of_machine = explain_machine(error, where, otherwise)
    if of_machine is not None:
        return of_machine
    row = _row_of(error, of_file=bool(file_format))
    if row is None:
        return None
    ours = otherwise if row.ours is None or issubclass(otherwise, row.ours) else row.ours
    describe = detail if row.of_file and detail else row.detail
    return ours(row.line.format(where=where, detail=describe(error), file_format=file_format))


@contextlib.contextmanager
def explained(
    where: str,
    otherwise: type[PccError],
    *,
    file_format: str = "",
    detail: Callable[[BaseException], str] | None = None,
) -> Iterator[None]:
    """Convert exceptions to ours as `explain` does; others pass unchanged."""
    try:
        yield
    except PccError:
        raise
    except Exception as error:
        ours = explain(error, where, otherwise, file_format=file_format, detail=detail)
        if ours is None:
            raise
        raise ours from None
