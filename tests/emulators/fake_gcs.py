"""fake-gcs-server: Cloud Storage on this machine that honours generation preconditions (gcp-storage-emulator does not).

It is built once, with Go, and kept in .emulators/ between runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.environment import CACHE, needed
from tests.emulators.running import _process, _wait
from tests.ports import free_ports

VERSION = "v1.56.1"
MISSING = "Go is not found, so the tests of two promoters on fake-gcs-server are left out"


def binary() -> Path:
    """The server's program; skips the test where Go is missing, and fails it with CI=true."""
    return needed(make(), MISSING)


def make() -> Path | None:
    """Build the server if it is not there; None without Go."""
    folder = CACHE / f"fake-gcs-server-{VERSION}"
    made = folder / "fake-gcs-server"
    if made.exists():
        return made
    go = shutil.which("go")
    if go is None:
        return None
    print("building fake-gcs-server (a minute or two, the first time)", flush=True)
    package = f"github.com/fsouza/fake-gcs-server@{VERSION}"
    subprocess.run([go, "install", package], check=True, env={**os.environ, "GOBIN": str(folder)})
    return made


@contextmanager
def running(program: Path, folder: Path) -> Iterator[str]:
    """The server with nothing in it, its log in `folder`, until the context ends; its address for Google's clients."""
    port = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [str(program), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-public-host", f"127.0.0.1:{port}", "-external-url", address]
    with _process(command, {"PATH": os.environ["PATH"]}, folder / "fake-gcs") as process:
        _wait(f"{address}/storage/v1/b", process, folder / "fake-gcs.log")
        yield address


if __name__ == "__main__":  # before the tests, so that it is seen
    print(make() or MISSING)
