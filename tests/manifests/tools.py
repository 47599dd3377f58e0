"""The tools that check manifests, Dockerfile and scripts: an environment of linters, and programs built with Go.

Installed once in .linters/. Without a tool its tests are skipped, or fail with CI=true.
"""

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
ROOT = HERE.parent.parent
CACHE = ROOT / ".linters"
REQUIREMENTS = HERE / "requirements.txt"
_GO = {
    "promtool": "github.com/prometheus/prometheus/cmd/promtool@v0.316.0",
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.5.0",
}


def linters() -> Path:
    """The folder of the linters' programs, with a Python that has kubernetes-validate, jsonschema and tree-sitter."""
    folder = CACHE / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    if not (folder / "complete").exists():
        print("making the environment of the linters (two minutes, the first time)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "--requirement", REQUIREMENTS], check=True)
    caches.used(folder, "?" * 12)
    return folder / "bin"


def go_program(name: str) -> Path | None:
    """One of `_GO`, built if it is missing; None without Go."""
    package = _GO[name]
    folder = CACHE / package.rpartition("/")[2].replace("@", "-")
    program = folder / name
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        return None
    # Some need a newer Go than a distribution has; the go command downloads it as a module.
    env = {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "auto"}
    print(f"building {name} (some minutes, the first time)", flush=True)
    subprocess.run([go, "install", package], check=True, env=env)
    return program


def needed(name: str) -> Path:
    """As `go_program`; without Go, skip the test, or fail it with CI=true."""
    program = go_program(name)
    return program if program else missing(f"Go is not found, so {name} cannot be built")


def missing(reason: str) -> Path:
    """Skip the test, or fail it with CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def kustomize(folder: str | Path) -> str:
    """The rendered manifests of a folder (absolute, or below k8s/flink-operator), by kubectl or else kustomize."""
    kubectl = shutil.which("kubectl")
    command = [kubectl, "kustomize"] if kubectl else [str(needed("kustomize")), "build"]
    done = subprocess.run(
        [*command, str(ROOT / "k8s/flink-operator" / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":  # before the tests, to print the progress
    print(linters())
    for program in ("promtool", "actionlint", *(() if shutil.which("kubectl") else ("kustomize",))):
        print(go_program(program) or f"Go is not found, so the tests of {program} are left out")
