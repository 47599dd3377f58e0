"""The exceptions of other libraries: which of our errors each becomes, what may be told of it, and if it is transient.

For code that knows what it asked a library for; `messages` is for the rest. `TABLE` is the one place that says so. It
knows exceptions by name, so that no library is imported for it. To map another exception, add a row.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import ConfigurationError, PccError, WarehouseError, one_line

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


def _mentions(words: str) -> Callable[[BaseException], bool]:
    return lambda error: words in str(error)


def _type_name(error: BaseException) -> str:
    return type(error).__name__


def _message(error: BaseException) -> str:
    return one_line(error, 200) or _type_name(error)


def _safe_message(error: BaseException) -> str:
    """The message without the address that was called; of a value that did not fit, only the error's type."""
    cause = getattr(error, "cause", None) or error  # of a RetryError, the last error
    message = getattr(cause, "message", None) or str(cause)
    for line in str(message).splitlines():
        words = line.partition("prettyPrint=false: ")[2] or line
        if words.strip():
            return _type_name(cause) if QUOTES_A_ROW.search(words) else one_line(words, 200)
    return _type_name(cause)


# What a service says of a row that it cannot take quotes the row: "Could not parse 'words of a case' as INT64".
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
    """What one type of exception means to us.

    Args:
        name: Its fully qualified name. The row is about subclasses too, unless they have a row of their own.
        line: Our message: {where} is what was asked for, {words} what may be told of the exception.
        ours: Our error; None: the one that the caller names, as it depends on what was tried.
        words: What may be told of the exception. The default tells its type only.
        transient: The same call may succeed when it is made again.
        when: The exceptions of this type that the row is about; the others go on to the next row.
        of_file: The row is only about reading the content of a file.
    """

    name: str
    line: str = "{where}: {words}; run again, and see the trace with --debug"
    ours: type[PccError] | None = None
    words: Callable[[BaseException], str] = _type_name
    transient: bool = False
    when: Callable[[BaseException], bool] = _always
    of_file: bool = False


_GOOGLE = "google.api_core.exceptions"
_KUBERNETES = "kubernetes.client.exceptions.ApiException"
_QUOTA = "{where}: a quota is used up ({words}); run again later, or ask for more"
_ONE_LOCATION = "{where}: {words}; check the name, and that the datasets and the staging bucket are in one location"
_UNREADABLE = "{where} cannot be read as {file_format} ({words}); it may be cut off: write it again"
_NOT_WRITTEN = "{where}: {words}; nothing of this step was written, run again"
# Of DuckDB's many exceptions these speak of files, memory and tables, the others of values.
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
        "Google refused the credentials ({words}); renew them: gcloud auth application-default login, or another key",
        ConfigurationError,
        _message,
    ),
    Foreign("google.auth.exceptions.TransportError", words=_safe_message, transient=True),
    Foreign("google.auth.exceptions.GoogleAuthError", words=_safe_message),
    Foreign(f"{_GOOGLE}.Forbidden", _QUOTA, None, _safe_message, when=_is_quota),
    Foreign(
        f"{_GOOGLE}.Forbidden",
        "{where}: no permission ({words}); see docs/permissions.md",
        ConfigurationError,
        _safe_message,
    ),
    Foreign(  # BigQuery says so too of what is nowhere
        f"{_GOOGLE}.NotFound", _ONE_LOCATION, ConfigurationError, _safe_message, when=_mentions("in location")
    ),
    Foreign(f"{_GOOGLE}.NotFound", "{where} is not there; check its name, or make it", ConfigurationError),
    Foreign(
        f"{_GOOGLE}.RetryError",
        "{where}: Google did not answer well for as long as it was asked ({words}); run again later, or wait longer "
        "with --retry_timeout",
        None,
        _safe_message,
    ),
    Foreign(f"{_GOOGLE}.TooManyRequests", _QUOTA, None, _safe_message, transient=True),
    Foreign(
        f"{_GOOGLE}.BadRequest", _ONE_LOCATION, ConfigurationError, _safe_message, when=_mentions("different locations")
    ),
    *(Foreign(f"{_GOOGLE}.{name}", words=_safe_message) for name in ("MethodNotImplemented", "DataLoss")),
    Foreign(f"{_GOOGLE}.ServerError", words=_safe_message, transient=True),
    Foreign(f"{_GOOGLE}.GoogleAPIError", words=_safe_message),
    Foreign(
        "google.resumable_media.common.DataCorruption",
        "{where} arrived damaged ({words}); run again",
        None,
        _message,
        transient=True,
    ),
    Foreign(_KUBERNETES, words=_kubernetes, transient=True, when=_has_transient_status),
    Foreign(
        _KUBERNETES,
        "Kubernetes refused {where} ({words}); see docs/eks-deployment.md",
        ConfigurationError,
        _kubernetes,
        when=lambda error: _status(error) in (401, 403),
    ),
    Foreign(
        _KUBERNETES,
        "{where} is not there ({words}); run deploy-to-eks.sh check, then deploy",
        ConfigurationError,
        _kubernetes,
        when=lambda error: _status(error) == 404,
    ),
    Foreign(
        _KUBERNETES,
        "Kubernetes did not take {where}: {words}; correct it, or run deploy-to-eks.sh check",
        ConfigurationError,
        _kubernetes,
    ),
    Foreign("duckdb.IOException", _NOT_WRITTEN, WarehouseError, _message, transient=True, when=_mentions("set lock")),
    *(Foreign(f"duckdb.{name}", _NOT_WRITTEN, WarehouseError, _message) for name in OF_DUCKDB_FILE),
    Foreign("duckdb.Error", _NOT_WRITTEN, WarehouseError, _duckdb),
    # Files and their parsers, whose messages quote rows: who reads a file says what may be told.
    Foreign("FileNotFoundError", "{where} is gone since the run started; run again", of_file=True),
    Foreign("pyarrow.lib.ArrowException", _UNREADABLE, of_file=True),
    *(Foreign(name, _UNREADABLE, of_file=True) for name in ("OSError", "ValueError", "EOFError")),
    # HTTP and the system.
    Foreign("requests.exceptions.HTTPError", words=_safe_message, transient=True, when=_has_transient_status),
    Foreign("requests.exceptions.HTTPError", words=_safe_message),
    Foreign("requests.exceptions.RequestException", words=_safe_message, transient=True),
    Foreign("urllib3.exceptions.HTTPError", words=_safe_message, transient=True),
    Foreign("ConnectionError", words=_safe_message, transient=True),
    Foreign("TimeoutError", words=_safe_message, transient=True),
    Foreign("OSError", words=_safe_message),
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


def qualified_name(kind: type) -> str:
    """The full name of a class, as its library documents it and as rows have it."""
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return documented_name(name)


def documented_name(name: str) -> str:
    """The documented form of a full name that Python wrote: DuckDB's classes are of a private module."""
    return name.removeprefix("_") if name.startswith("_duckdb.") else name


def is_transient(error: BaseException) -> bool:
    """Whether the call that raised this may succeed when it is made again."""
    row = _row_of(error)
    return row is not None and row.transient


def explain(
    error: BaseException,
    where: str,
    otherwise: type[PccError],
    *,
    file_format: str = "",
    words: Callable[[BaseException], str] | None = None,
) -> PccError | None:
    """Our error for a foreign one; None if the table does not know it.

    Args:
        error: What was raised.
        where: What was asked for, such as "table p.d.t".
        otherwise: Our error where the exception alone does not decide; also where it is a narrower one than the row's.
        file_format: Of the file whose content is read.
        words: What may be told of an exception of that file's reader; default: its type.
    """
    row = _row_of(error, of_file=bool(file_format))
    if row is None:
        return None
    ours = otherwise if row.ours is None or issubclass(otherwise, row.ours) else row.ours
    told = (words if row.of_file and words else row.words)(error)
    return ours(row.line.format(where=where, words=told, file_format=file_format))


@contextlib.contextmanager
def explained(
    where: str,
    otherwise: type[PccError],
    *,
    file_format: str = "",
    words: Callable[[BaseException], str] | None = None,
) -> Iterator[None]:
    """Turn the foreign exceptions that the table knows into ours, as `explain` does; let the others pass."""
    try:
        yield
    except PccError:
        raise
    except Exception as error:
        ours = explain(error, where, otherwise, file_format=file_format, words=words)
        if ours is None:
            raise
        raise ours from None
