"""Brings the environment of this Python up to date with lock lists: python requirements/install.py LIST...

Installs nothing that is installed already: it records the pins of what it installed in the environment, and looks up
each pin of each list there. So a changed list is noticed whatever other lists are installed, and a list that is part of
a larger one costs nothing. Needs the standard library and pip only. Exit code 2: wrong usage.
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
LISTS = ("deploy", "run", "gcp", "text", "kubernetes", "signing", "openvino", "dev")
# What an editable installation writes down: entry points and the declared requirements.
PROJECT = ("pyproject.toml", "setup.py")
# The name, an extra, the version, and the marker of one locked package.
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)\s*(?:;\s*(.*?))?\s*\\?$")


@dataclass(frozen=True, order=True)
class Pin:
    """One locked package. `marker` says for which Python and system; empty: for all."""

    name: str
    version: str
    marker: str = ""


def pins(text: str) -> set[Pin]:
    """The pins of a lock list. Hashes are left out: they name the files of a version, not another version."""
    return {Pin(m[1], m[2], m[3] or "") for m in map(_PIN.match, text.splitlines()) if m}


def missing(wanted: Iterable[Pin], recorded: set[Pin]) -> set[Pin]:
    """The pins that are recorded neither with their own marker nor with none."""
    return {pin for pin in wanted if pin not in recorded and Pin(pin.name, pin.version) not in recorded}


def without_other_versions(recorded: set[Pin], wanted: set[Pin]) -> set[Pin]:
    """What stays in the record when `wanted` is installed: pip removes other versions of the same packages."""
    versions = {(pin.name, pin.version) for pin in wanted}
    names = {pin.name for pin in wanted}
    return {pin for pin in recorded if pin.name not in names or (pin.name, pin.version) in versions}


@dataclass
class Record:
    """What this script installed into an environment, as a file in it."""

    path: Path
    pins: set[Pin]
    project: str

    @classmethod
    def read(cls, path: Path) -> Record:
        """An empty record if there is none, or none that can be read: then everything is installed again."""
        try:
            content = json.loads(path.read_text())
            return cls(path, {Pin(*pin) for pin in content["pins"]}, str(content["project"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path, set(), "")

    def write(self) -> None:
        """Replace the file in one step, so that an interrupted run leaves a whole one."""
        content = {"project": self.project, "pins": [[p.name, p.version, p.marker] for p in sorted(self.pins)]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=0))
        new.replace(self.path)


def project_digest() -> str:
    """Of the files that an editable installation depends on."""
    files = [ROOT / name for name in PROJECT]
    content = b"".join(file.read_bytes() for file in files if file.exists())
    return hashlib.sha256(content).hexdigest()


def pip_install(*arguments: str, **environment: str) -> None:
    """Call this environment's pip; end with its exit code if it fails. Its own lines on stderr say why."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)  # noqa: S603 -- own words
    if ended.returncode:
        sys.exit(ended.returncode)


def install(lists: Iterable[str], record: Record) -> None:
    """Install what of the lists is not in the record, then the project itself if it changed."""
    folder = ROOT / "requirements"
    locked = {name: pins((folder / f"{name}.txt").read_text()) for name in ("pip", *dict.fromkeys(lists))}
    lacking = {name: missing(wanted, record.pins) for name, wanted in locked.items()}
    packages = {pin.name for name, lacked in lacking.items() if name != "pip" for pin in lacked}
    if packages:
        sys.stderr.write(f"installing {len(packages)} locked packages (about a minute the first time)\n")
        sys.stderr.flush()
    # pip comes first: an older one takes a locked package with an extra for one without a version.
    for name, wanted in locked.items():
        if not missing(wanted, record.pins):  # installed, or came with the list before it
            continue
        record.pins = without_other_versions(record.pins, wanted)
        record.write()  # before pip begins: it may fail half way
        pip_install("--require-hashes", "--requirement", f"requirements/{name}.txt")
        record.pins |= wanted
        record.write()
    digest = project_digest()
    if record.project != digest:
        # setuptools warns of every editable installation; of anything else it still may.
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
