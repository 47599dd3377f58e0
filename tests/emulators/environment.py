"""The emulators' own virtual environment: made once from a hash-locked list, kept in .emulators/ between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import caches

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".emulators"
MISSING = "Python 3.13 is not found, so the tests on the BigQuery and Cloud Storage emulators are left out"
REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """The environment's Python; skips the test where Python 3.13 is missing, and fails it with CI=true."""
    return needed(make(), MISSING)


def needed(made: Path | None, otherwise: str) -> Path:
    """What was made; where it cannot be, the test is skipped in these words, and fails in CI."""
    if made is None:
        pytest.fail(otherwise) if os.environ.get("CI") == "true" else pytest.skip(otherwise)
    return made


def make() -> Path | None:
    """Make the environment if it is not there; None without Python 3.13."""
    folder = CACHE / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    made = folder / "bin" / "python"
    if (folder / "complete").exists():
        caches.used(folder, "?" * 12)
        return made
    base = find_python()
    if base is None:
        return None
    print("making the environment of the emulators (half a minute, the first time)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", folder], check=True)
    install = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*install, "--requirement", REQUIREMENTS], check=True)
    caches.used(folder, "?" * 12)
    return made


def find_python() -> str | None:
    """A Python 3.13 of this machine."""
    # pyenv keeps versions side by side; its python3.13 on PATH may be a shim that runs none of them.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [Path(sys.base_prefix).parent, pyenv / "versions"]
    beside = [str(python) for folder in folders for python in sorted(folder.glob("3.13.*/bin/python"))]
    found = [*beside, shutil.which("python3.13")]
    for candidate in filter(None, [os.environ.get("PYTHON_313"), *found]):
        said = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
        )
        if said.stdout.strip() == "(3, 13)":
            return candidate
    return None


if __name__ == "__main__":  # before the tests, so that it is seen
    print(make() or MISSING)
