"""Faults of the machine: recognised by class, errno or a native library's text, and named with a path and a remedy."""

import errno
import os
import pickle
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.io.filesystem import BeamIOError
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError, ModelError, PccError, RunError, SourceError
from beam_pcc.errors.machine import (
    BROKEN_DISK,
    DISK_FULL,
    FAULTS,
    FILE_TOO_LARGE,
    NO_RIGHT,
    OUT_OF_MEMORY,
    SYSTEM_LIMIT,
    MachineFault,
    explain_machine,
    fault_in_text,
    fault_of,
)
from beam_pcc.errors.messages import from_runner, unexpected
from beam_pcc.shielding import shielded
from tests.inputs import printed_by
from tests.machines import small_disk


class FromNative(RuntimeError):
    """As torch's OutOfMemoryError is one."""


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MemoryError(), OUT_OF_MEMORY),
        (pa.ArrowMemoryError("malloc of size 64 failed"), OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "x"), OUT_OF_MEMORY),
        (FromNative("CUDA out of memory. Tried to allocate 2.00 GiB"), OUT_OF_MEMORY),
        (RuntimeError("Exception from core.cpp:113:\nException from allocator.cpp:79:\nbad allocation"), OUT_OF_MEMORY),
        (duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block of size 2.0 GiB"), OUT_OF_MEMORY),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to offload data block of size 1 KiB"), DISK_FULL),
        (duckdb.IOException('IO Error: Could not write file "/a": No space left on device'), DISK_FULL),
        (duckdb.IOException('IO Error: Cannot open file "/a": Permission denied'), NO_RIGHT),
        (OSError(errno.ENOSPC, "x"), DISK_FULL),
        (OSError(errno.EDQUOT, "x"), DISK_FULL),
        (OSError(errno.EFBIG, "x"), FILE_TOO_LARGE),
        (PermissionError(errno.EACCES, "x"), NO_RIGHT),
        (OSError(errno.EROFS, "x"), NO_RIGHT),
        (OSError(errno.EIO, "x"), BROKEN_DISK),
        (OSError(errno.EMFILE, "x"), SYSTEM_LIMIT),
        (RuntimeError("can't start new thread"), SYSTEM_LIMIT),
        (BeamIOError("Match operation failed", {"/a": OSError(errno.ENOSPC, "x")}), DISK_FULL),
    ],
    ids=repr,
)
def test_fault_of_the_machine_is_recognised(error: Exception, fault: MachineFault) -> None:
    assert fault_of(error) is fault
    assert fault_of(pickle.loads(pickle.dumps(RunError("x")))) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("my phone is out of memory, permission denied"),
        KeyError("No space left on device"),
        pa.ArrowInvalid("JSON parse error: out of memory"),
        duckdb.ConversionException("Could not convert 'No space left on device'"),
        OSError(errno.ENOTDIR, "No space left on device"),
        FileNotFoundError(errno.ENOENT, "x"),
        ConnectionResetError(errno.ECONNRESET, "x"),
        RuntimeError("Traceback (most recent call last):\n  ...\nValueError: out of memory"),
    ],
    ids=repr,
)
def test_other_exception_is_no_fault_of_the_machine(error: Exception) -> None:
    assert fault_of(error) is None


def test_cause_of_an_exception_counts() -> None:
    error = ValueError("a library's own")
    error.__cause__ = PermissionError(errno.EACCES, "x")
    assert fault_of(error) is NO_RIGHT


def test_exception_during_which_another_was_raised_counts_for_memory_only() -> None:
    faults = []
    for first in (MemoryError(), PermissionError(errno.EACCES, "x")):
        error = ValueError("of a row")
        error.__context__ = first
        faults.append(fault_of(error))
    assert faults == [OUT_OF_MEMORY, None]


@pytest.mark.parametrize(
    ("otherwise", "fault", "kind"),
    [
        (SourceError, errno.ENOSPC, SourceError),
        (ConfigurationError, errno.ENOSPC, RunError),
        (ModelError, errno.EIO, RunError),
        (ConfigurationError, errno.EACCES, ConfigurationError),
    ],
)
def test_only_missing_rights_are_an_error_of_use(otherwise: type[PccError], fault: int, kind: type[PccError]) -> None:
    assert type(explain_machine(OSError(fault, "x"), "/a", otherwise)) is kind


def test_path_of_a_full_disk_is_named() -> None:
    line = str(explain_machine(OSError(errno.ENOSPC, "x", "/data/a.parquet"), "the step StageRows"))
    assert line.startswith(
        "the step StageRows: the disk is full (No space left on device: /data/a.parquet); free space"
    )


def test_full_disk_is_named_where_no_path_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        with (disk / "a").open("wb", buffering=0) as file:
            file.write(bytes(1_000_000))  # as much of it as fits
            with pytest.raises(OSError, match="No space left") as raised:
                file.write(b"x")

        assert f"(No space left on device: {disk})" in str(explain_machine(raised.value, "the step X"))


def test_step_names_the_fault_and_blames_no_defect() -> None:
    @shielded
    def step() -> None:
        raise MemoryError("Unable to allocate 8 GiB")

    with pytest.raises(RunError, match=r"^the step step: out of memory \(Unable to allocate 8 GiB\); give the process"):
        step()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB for an array", "out of memory (Unable"),
        ("MemoryError", "out of memory; give"),
        (
            "OSError: [Errno 28] No space left on device: '/tmp/x'",
            "the disk is full (No space left on device: '/tmp/x')",
        ),
        ("PermissionError: [Errno 13] Permission denied: '/tmp/x'", "permission denied (Permission denied: '/tmp/x')"),
        ("RuntimeError: std::bad_alloc", "out of memory (std::bad_alloc)"),
        ("java.io.IOException: No space left on device", "the disk is full (No space left on device)"),
    ],
)
def test_fault_is_extracted_from_a_traceback(last: str, words: str) -> None:
    trace = f"Error from worker:\nTraceback (most recent call last):\n  File 'x'\n{last} [while running 'A']\n"
    error = from_runner(RuntimeError(trace))

    assert type(error) is RunError
    assert words in str(error)
    assert "report it" not in str(error)


def test_error_of_ours_in_a_traceback_goes_before_the_fault() -> None:
    trace = "OSError: [Errno 28] x\n\nTraceback\nbeam_pcc.errors.SourceError: as it was"
    assert str(from_runner(RuntimeError(trace))) == "as it was"


def test_unexplained_full_disk_names_the_path() -> None:
    error = unexpected(OSError(errno.ENOSPC, "x", "/logs/a"))
    assert (error.exit_code, "the disk is full (No space left on device: /logs/a)" in str(error)) == (1, True)


@given(st.text(), st.text())
def test_any_name_and_message_is_a_fault_or_none(name: str, message: str) -> None:
    assert fault_in_text(name, message) in (None, *FAULTS)


@given(st.text(), st.sampled_from([ValueError, KeyError, pa.ArrowInvalid, duckdb.ConversionException]))
def test_text_of_a_parser_is_never_a_fault(text: str, kind: type[Exception]) -> None:
    assert fault_of(kind(text)) is None


def test_memory_of_a_process_is_named(tmp_path: Path) -> None:
    """NumPy's own exception, under a real limit."""
    program = (
        "import resource, numpy as np\n"
        "from beam_pcc.errors.machine import explain_machine\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try: np.ones(2**30)\n"
        "except MemoryError as error: print(explain_machine(error, 'the step X'))"
    )
    assert printed_by(program).startswith("the step X: out of memory (Unable to allocate 8.00 GiB for an array")


def test_text_of_a_native_library_is_searched_without_case() -> None:
    assert fault_of(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")) is OUT_OF_MEMORY


def test_line_that_tells_the_fault_is_quoted() -> None:
    """OpenVINO's comes last."""
    error = RuntimeError("Exception from core.cpp:113:\nException from allocator.cpp:79:\nbad allocation")
    assert str(explain_machine(error, "the step X")).startswith("the step X: out of memory (bad allocation); give")


def test_memory_of_onnxruntime_is_recognised() -> None:
    native = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    words = "Failed to allocate memory for requested buffer of size 9"
    error = native.Fail(f"[ONNXRuntimeError] : 1 : FAIL : {'Non-zero status ' * 20}{words}\n")
    assert str(explain_machine(error, "the step X")).startswith(
        "the step X: out of memory (Failed to allocate memory for requested buffer of size 9); give"
    )
    assert fault_of(native.InvalidArgument("[ONNXRuntimeError] : 2 : unexpected rank")) is None


def test_dev_full_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space left") as raised, pa.OSFile("/dev/full", "wb") as file:
        file.write(np.zeros(10).tobytes())
    assert fault_of(raised.value) is DISK_FULL
    assert os.strerror(errno.ENOSPC) in str(explain_machine(raised.value, "/dev/full"))
