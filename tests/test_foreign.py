"""What the exceptions of other libraries become: one line without a word of a row, and whether to try again."""

import importlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import kubernetes
import pyarrow as pa
import pyarrow.json
import pytest
import requests
import urllib3
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import (
    ConfigurationError,
    ModelError,
    PccError,
    RunError,
    SourceError,
    WarehouseError,
    qualified_name,
)
from beam_pcc.errors.foreign import TABLE, Foreign, explain, explained, is_transient
from beam_pcc.errors.messages import logged, safe_description, unexpected
from tests.inputs import printed_by


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def api_error(status: int, **body: Any) -> kubernetes.client.ApiException:
    error = kubernetes.client.ApiException(status=status, reason="Reason")
    error.body = json.dumps(body)
    return error


def quota(reason: str) -> google.Forbidden:
    return google.Forbidden("exceeded", errors=[{"reason": reason}])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_names_an_exception_as_its_library_does(row: Foreign) -> None:
    module, _, name = row.name.rpartition(".")
    kind = getattr(importlib.import_module(module or "builtins"), name)

    assert issubclass(kind, Exception)
    assert qualified_name(kind) == row.name


def test_the_table_imports_none_of_the_libraries() -> None:
    program = (
        "import sys, beam_pcc.errors.retrying as retrying; retrying.is_transient(ValueError())\n"
        "print({'google.auth', 'google.api_core', 'pyarrow', 'duckdb', 'kubernetes', 'requests', 'urllib3', "
        "'apache_beam', 'numpy'} & set(sys.modules))"
    )
    assert printed_by(program) == "set()\n"


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        (auth.DefaultCredentialsError("x"), ConfigurationError, "no usable Google credentials"),
        (auth.RefreshError("expired"), ConfigurationError, "Google refused the credentials (expired); renew them"),
        (quota("accessDenied"), ConfigurationError, "table t: no permission ("),
        (quota("quotaExceeded"), WarehouseError, "table t: a quota is used up ("),
        (google.NotFound("x"), ConfigurationError, "table t is not there; check its name"),
        (google.NotFound("not found in location EU"), ConfigurationError, "are in one location"),
        (google.BadRequest("in different locations"), ConfigurationError, "are in one location"),
        (google.BadRequest("Unrecognized name: x"), WarehouseError, "table t: Unrecognized name"),
        (
            google.RetryError("x", google.ServiceUnavailable("busy")),
            WarehouseError,
            "as long as it was asked (busy",
        ),
        (google.InternalServerError("broken"), WarehouseError, "table t: broken; run again"),
        (api_error(403, message="no right"), ConfigurationError, "Kubernetes refused table t (no right); see docs/"),
        (api_error(404, message="none"), ConfigurationError, "table t is not there (none); run deploy-to-eks.sh check"),
        (api_error(422), ConfigurationError, "Kubernetes did not take table t: Reason; correct it"),
        (duckdb.IOException("disk full"), WarehouseError, "table t: disk full; nothing of this step was written"),
        (DataCorruption(None, "crc32c"), WarehouseError, "table t arrived damaged (crc32c); run again"),
        (PermissionError(13, "Permission denied"), WarehouseError, "table t: permission denied; give the account"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_known_exception_becomes_its_line(error: Exception, ours: type[PccError], words: str) -> None:
    explained_error = explain(error, "table t", WarehouseError)

    assert type(explained_error) is ours
    assert words in str(explained_error)


def test_a_narrower_error_of_the_caller_is_kept() -> None:
    assert type(explain(google.NotFound("x"), "gs://b", ModelError)) is ModelError


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), ValueError("x"), AssertionError("x")])
def test_unknown_exception_passes(error: Exception) -> None:
    with pytest.raises(type(error)), explained("here", RunError):
        raise error


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(SourceError, match=r"^as it was$"), explained("here", WarehouseError):
        raise SourceError("as it was")


QUOTING: list[Callable[[str], Exception]] = [
    lambda text: google.BadRequest(f"Could not parse '{text}' as INT64"),
    lambda text: google.InvalidArgument(f"Bad int64 value: {text}"),
    lambda text: google.InternalServerError(f"Could not convert value {text}"),
    lambda text: OSError(f"Could not decode {text}"),
    lambda text: duckdb.ConversionException(f"Could not convert string '{text}' to INT32"),
    lambda text: duckdb.ConstraintException(f"Duplicate key {text}"),
    lambda text: pa.ArrowInvalid(f"JSON parse error: Invalid value {text}"),
    lambda text: ValueError(f"could not convert string to float: '{text}'"),
    lambda text: UnicodeDecodeError("utf-8", text.encode(), 0, 1, "invalid start byte"),
]


@given(st.sampled_from(QUOTING), st.sampled_from(["", "JSONL"]), st.text("qxz", min_size=4, max_size=20))
def test_message_quotes_nothing_of_a_row(make: Callable[[str], Exception], file_format: str, text: str) -> None:
    error = make(text)

    assert text not in str(explain(error, "here", WarehouseError, file_format=file_format))
    assert text not in safe_description(error)
    assert text not in str(unexpected(error))


def test_duckdb_message_about_its_file_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(duckdb.IOException) as raised:
        duckdb.connect(str(tmp_path / "a.duckdb"))

    assert "not a valid DuckDB database file" in safe_description(raised.value)


def test_file_that_is_read_is_named_with_its_format() -> None:
    with pytest.raises(pa.ArrowInvalid) as raised:
        pyarrow.json.read_json(pa.BufferReader(b'{"a": 1'))
    said = str(explain(raised.value, "day.jsonl", SourceError, file_format="JSONL", detail=lambda _: "cut off"))

    assert said == "day.jsonl cannot be read as JSONL (cut off); write it again"


@pytest.mark.parametrize(
    "error",
    [
        *(http_error(status) for status in (408, 429, 500, 502, 503, 504)),
        *(api_error(status) for status in (408, 429, 500, 503)),
        requests.ConnectionError("reset"),
        requests.ReadTimeout("30 s"),
        requests.exceptions.JSONDecodeError("no JSON", "", 0),
        urllib3.exceptions.ProtocolError("broken"),
        urllib3.exceptions.ReadTimeoutError(None, "", "silent"),  # type: ignore[arg-type]
        google.ServiceUnavailable("x"),
        google.InternalServerError("x"),
        google.TooManyRequests("x"),
        auth.TransportError("x"),
        ConnectionResetError(104, "reset"),
        TimeoutError("x"),
        duckdb.IOException("Could not set lock on file"),
    ],
    ids=repr,
)
def test_transient_exception_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        *(http_error(status) for status in (400, 401, 403, 404, 409, 501)),
        *(api_error(status) for status in (401, 403, 404, 409, 422)),
        google.BadRequest("x"),
        google.Forbidden("x"),
        google.NotFound("x"),
        google.MethodNotImplemented("x"),
        google.DataLoss("x"),
        auth.RefreshError("x"),
        duckdb.IOException("disk full"),
        FileNotFoundError(2, "x"),
        ValueError("x"),
        RunError("x"),
    ],
    ids=repr,
)
def test_permanent_exception_is_not_transient(error: Exception) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NotADirectoryError(20, "Not a directory", "/a"), 1, "/a: Not a directory; check the path and the rights"),
        (OSError(36, "File name too long", "/a"), 2, "/a: File name too long; check the path and the rights"),
        (ZeroDivisionError("a secret"), 1, "unexpected ZeroDivisionError; see the trace with --debug"),
    ],
)
def test_unexplained_exception_is_one_line(error: Exception, code: int, words: str) -> None:
    assert (unexpected(error).exit_code, str(unexpected(error))) == (code, words)


def test_logged_failure_ends_nothing_and_quotes_no_row(caplog: pytest.LogCaptureFixture) -> None:
    with logged(logging.getLogger("beam_pcc").warning, "the row of %s stays", "a run"):
        raise duckdb.ConversionException("Could not convert 'a secret'")
    with logged(logging.getLogger("beam_pcc").warning, "the row stays"):
        raise WarehouseError("the disk is full")

    assert caplog.messages == ["the row of a run stays: ConversionException", "the row stays: the disk is full"]
