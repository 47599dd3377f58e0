"""Faults of the machine: memory, disk space, rights, a broken disk, limits of the system.

No row is to blame for them, and no file is damaged: `foreign` and `messages` ask here before they blame either. A fault
is recognised by the exception's class or errno; by its text only where a native library raised it, as other texts may
quote a row.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from beam_pcc.errors import PccError, RunError, documented_name, one_line, qualified_name


@dataclass(frozen=True)
class MachineFault:
    """One kind of fault.

    Args:
        cause: What is wrong, in a few words.
        advice: What to do.
        errnos: The error numbers of the system that mean it.
        texts: The words, in lower case, of native libraries that mean it.
    """

    cause: str
    advice: str
    errnos: frozenset[int]
    texts: tuple[str, ...]

    def line(self, where: str, detail: str) -> str:
        """Our message: `where` it came up, and the `detail` that the system or a library gives."""
        return f"{where}: {self.cause} ({detail}); {self.advice}" if detail else f"{where}: {self.cause}; {self.advice}"


OUT_OF_MEMORY = MachineFault(
    "out of memory",
    "give the process more memory, or lower --batch_rows",
    frozenset({errno.ENOMEM}),
    (
        *("std::bad_alloc", "bad allocation", "out of memory", "not enough memory", "java.lang.outofmemoryerror"),
        *("failed to allocate", "unable to allocate", "could not allocate", "can't allocate", "cannot allocate"),
        "alloc_failed",  # of cuBLAS and cuDNN
    ),
)
DISK_FULL = MachineFault(
    "the disk is full",
    "free space there, or choose another folder, and run again",
    frozenset({errno.ENOSPC, errno.EDQUOT}),
    # The second is DuckDB's, whose temporary files may take the free space of the disk.
    ("no space left on device", "failed to offload data block", "disk quota exceeded", "not enough space on the disk"),
)
FILE_TOO_LARGE = MachineFault(
    "a file has reached the largest size that is allowed",
    "raise the limit (ulimit -f), or choose another file system, and run again",
    frozenset({errno.EFBIG}),
    ("file too large",),
)
NO_RIGHT = MachineFault(
    "permission denied",
    "give the account that runs this the right to it, or choose another path",
    frozenset({errno.EACCES, errno.EPERM, errno.EROFS}),
    ("permission denied", "operation not permitted", "read-only file system"),
)
BROKEN_DISK = MachineFault(
    "the disk or network share does not work",
    "check the machine, and run again",
    frozenset({errno.EIO, errno.ESTALE}),
    ("input/output error", "stale file handle"),
)
SYSTEM_LIMIT = MachineFault(
    "a limit of the system is reached",
    "raise the limit of open files (ulimit -n), or of processes and threads (ulimit -u), and run again",
    frozenset({errno.EMFILE, errno.ENFILE}),
    ("too many open files", "can't start new thread"),
)
FAULTS = (OUT_OF_MEMORY, DISK_FULL, FILE_TOO_LARGE, NO_RIGHT, BROKEN_DISK, SYSTEM_LIMIT)

# By full name. What these raise is about memory and files; the text of other exceptions may be that of a row.
_NATIVE = re.compile(
    r"(RuntimeError|OSError|IOError)"
    r"|duckdb\.(IO|OutOfMemory|Fatal|Transaction|Internal)Exception"
    r"|(onnxruntime|openvino|torch|java\.io|java\.lang)\..*"
)
_DISK_OF_DUCKDB = "failed to offload data block"
_KIND_OF_DUCKDB = re.compile(r"^(IO|Out of Memory|TransactionContext|FATAL|INTERNAL) Error: ")
_ERRNO = re.compile(r"\[Errno (\d+)\] ")


def fault_of(error: BaseException) -> MachineFault | None:
    """The fault of the machine that an exception, or what caused it, is about; None if it is about none."""
    found = _find(error)
    return found and found[0]


def explain_machine(error: BaseException, where: str, otherwise: type[PccError] = RunError) -> PccError | None:
    """Our error for a fault of the machine; None if the exception is about none.

    Args:
        error: What was raised.
        where: What was read, written or computed. A full disk is named by the path here or in the exception.
        otherwise: Its class. If that is not a `RunError`, it holds for missing rights only: all other faults may come
            up at any time, and mean that a run could not finish (exit code 1).
    """
    found = _find(error)
    if found is None:
        return None
    fault, cause = found
    kind = otherwise if issubclass(otherwise, RunError) or fault is NO_RIGHT else RunError
    return kind(fault.line(where, _detail(fault, cause, where)))


def fault_in_text(name: str, message: str) -> MachineFault | None:
    """The fault that an exception of this full name with this message is about, of which only the text is left.

    A message that holds a whole traceback, as Beam's do, tells nothing by a word somewhere in it.
    """
    number = _ERRNO.match(message)
    if number:
        return _by_errno(int(number[1]))
    if name.rpartition(".")[2].endswith("MemoryError"):
        return OUT_OF_MEMORY
    name = documented_name(name)
    if not _NATIVE.fullmatch(name) or "Traceback (most recent call last)" in message:
        return None
    text = f"{name}: {message}".lower()
    faults = FAULTS if _DISK_OF_DUCKDB not in text else (DISK_FULL,)
    for fault in faults:
        if any(words in text for words in fault.texts):
            return fault
    return OUT_OF_MEMORY if name == "duckdb.OutOfMemoryException" else None


def blames_no_row(error: BaseException) -> bool:
    """Whether an exception that came up while rows were computed has another cause than the rows."""
    return isinstance(error, (PccError, MemoryError, OSError, ImportError)) or fault_of(error) is not None


def _find(error: BaseException) -> tuple[MachineFault, BaseException] | None:
    for cause, is_explicit in _causes(error):
        fault = _own_fault(cause)
        if fault is not None and (is_explicit or fault is OUT_OF_MEMORY):
            return fault, cause
    return None


def _own_fault(error: BaseException) -> MachineFault | None:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return _by_errno(error.errno)
    for kind in type(error).__mro__:
        fault = fault_in_text(qualified_name(kind), str(error))
        if fault is not None:
            return fault
    return None


def _by_errno(number: int) -> MachineFault | None:
    return next((fault for fault in FAULTS if number in fault.errnos), None)


def _causes(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """An exception and its causes, the latest first, and whether each is one for sure.

    What was being handled when an exception was raised may have nothing to do with it.
    """
    is_explicit = True
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause, is_explicit
        details = getattr(cause, "exception_details", None)  # of Beam's filesystems: exceptions by path
        if isinstance(details, dict):
            yield from ((detail, is_explicit) for detail in details.values() if isinstance(detail, BaseException))
        if cause.__cause__ is None:
            is_explicit = False
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _detail(fault: MachineFault, error: BaseException, where: str) -> str:
    if isinstance(error, OSError) and isinstance(error.errno, int):
        detail = os.strerror(error.errno)
        if isinstance(error.filename, (str, bytes)):
            return f"{detail}: {os.fsdecode(error.filename)}"
        if detail.lower() == fault.cause:
            return ""
    else:
        detail = _telling_part(fault, str(error)) or type(error).__name__
    if fault is DISK_FULL and "/" not in where + detail:
        return ": ".join([detail, *_full_folders()[:1]])
    return detail


def _telling_part(fault: MachineFault, text: str) -> str:
    """The first line of a library's text; if that is long, or does not tell the fault, from the words that do."""
    text = _KIND_OF_DUCKDB.sub("", text)
    line = text.partition("\n")[0]
    start = min((place for words in fault.texts if (place := text.lower().find(words)) >= 0), default=0)
    if len(line) > 160 or start >= len(line):
        line = text[start:]
    return one_line(line, 160).rstrip(".")


def _full_folders() -> list[str]:
    """Of the folders that libraries write to by themselves, those whose disk is full."""
    full = []
    for folder in (tempfile.gettempdir(), os.path.abspath(os.curdir)):  # noqa: PTH100 - Path.cwd() raises if it is gone
        try:
            if shutil.disk_usage(folder).free < 2**20:
                full.append(folder)
        except OSError:
            continue
    return full
