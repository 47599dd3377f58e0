"""Updates the environment of this Python from lock lists: python requirements/install.py LIST...

Records the installed pins in the environment, and installs only the lists with a missing pin. This detects a changed
list, whatever other lists are installed, and skips a list that is part of a larger one. Needs the standard library and
pip only. Exit code 2: wrong usage.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTS = (
    "deploy",
    "run",
    "gcp",
    "text",
    "kubernetes",
    "signing",
    "openvino",
    "sentence-transformers",
    "completion",
    "dev",
)
# Lists that leave out what their packages ask for and this project does not use: the compilers for GPUs.
INCOMPLETE = ("sentence-transformers",)
# The files on which an editable installation depends: entry points and declared requirements.
PROJECT = ("pyproject.toml", "setup.py")
# The name, an extra, the version, and the marker of one locked package.
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$")


@dataclass(frozen=True, order=True)
class Pin:
    """A locked package. `marker` restricts it to a Python version and system; empty for all."""

    name: str
    version: str
    marker: str = ""


def pins(text: str) -> set[Pin]:
    """The pins of a lock list, without the hashes."""
    return {Pin(m[1], m[2], m[3] or "") for m in map(_PIN.match, text.splitlines()) if m}


def missing(wanted: Iterable[Pin], recorded: set[Pin]) -> set[Pin]:
    """The pins that are recorded neither with their marker nor without one."""
    return {pin for pin in wanted if pin not in recorded and Pin(pin.name, pin.version) not in recorded}


def without_other_versions(recorded: set[Pin], wanted: set[Pin]) -> set[Pin]:
    """The record after an installation of `wanted`, for which pip removes other versions of the same packages."""
    versions = {(pin.name, pin.version) for pin in wanted}
    names = {pin.name for pin in wanted}
    return {pin for pin in recorded if pin.name not in names or (pin.name, pin.version) in versions}


@dataclass
class Record:
    """The file in an environment that records what this script installed."""

    path: Path
    pins: set[Pin]
    project: str

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read the record; an empty one, which installs everything again, if it is missing or malformed."""
        try:
            content = json.loads(path.read_text())
            return cls(path, {Pin(*pin) for pin in content["pins"]}, str(content["project"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path, set(), "")

    def write(self) -> None:
        """Replace the file atomically."""
        content = {"project": self.project, "pins": [[p.name, p.version, p.marker] for p in sorted(self.pins)]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=0))
        new.replace(self.path)


def project_digest() -> str:
    """The digest of the files that an editable installation depends on."""
    files = [ROOT / name for name in PROJECT]
    content = b"".join(file.read_bytes() for file in files if file.exists())
    return hashlib.sha256(content).hexdigest()


def pip_install(*arguments: str, **environment: str) -> None:
    """Call the environment's pip; exits with its exit code if it fails. pip prints the reason on stderr."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)  # noqa: S603 -- no input
    if result.returncode:
        sys.exit(result.returncode)


def install(lists: Iterable[str], record: Record) -> None:
    """Install the lists with missing pins, then the project itself if it changed."""
    folder = ROOT / "requirements"
    locked = {name: pins((folder / f"{name}.txt").read_text()) for name in ("pip", *dict.fromkeys(lists))}
    lacking = {name: missing(wanted, record.pins) for name, wanted in locked.items()}
    packages = {pin.name for name, lacked in lacking.items() if name != "pip" for pin in lacked}
    if packages:
        sys.stderr.write(f"installing {len(packages)} locked packages (about a minute the first time)\n")
        sys.stderr.flush()
    # pip comes first: an older one reports a locked package with an extra as not locked.
    for name, wanted in locked.items():
        if not missing(wanted, record.pins):  # installed already, perhaps by an earlier list
            continue
        record.pins = without_other_versions(record.pins, wanted)
        record.write()  # before pip runs, since it may fail half way
        dependencies = ["--no-deps"] if name in INCOMPLETE else []
        pip_install(*dependencies, "--require-hashes", "--requirement", f"requirements/{name}.txt")
        record.pins |= wanted
        record.write()
    digest = project_digest()
    if record.project != digest:
        # setuptools warns of every editable installation; keep its other warnings.
        warnings = {"PYTHONWARNINGS": "ignore:Editable installation"}
        pip_install("--no-deps", "--no-build-isolation", "--editable", str(ROOT), **warnings)
        record.project = digest
        record.write()


def main(lists: list[str]) -> None:
    """Check the names, then install."""
    if not lists or not set(lists) <= set(LISTS):
        sys.stderr.write(f"usage: requirements/venv.sh LIST..., of {', '.join(LISTS)}\n")
        sys.exit(2)
    install(lists, Record.read(Path(sys.prefix) / "installed.json"))


if __name__ == "__main__":
    main(sys.argv[1:])
