"""What the tests with real weights need, made once and kept in .encoders/ between runs: the published weights of
all-MiniLM-L6-v2, the serving encoder made of them, and an environment with the reference encoder (4 GB of torch).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beam_pcc.features.encoders import export, package

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".encoders"
REFERENCE = HERE / "reference.txt"
MISSING = "the encoders of the tests are not made: run make encoders"


def weights() -> Path:
    """The folder of published weights, fetched if it is not there."""
    script = ROOT / "requirements/weights.sh"
    result = subprocess.run([script, CACHE / "minilm", sys.executable], check=True, capture_output=True, text=True)
    return Path(result.stdout.strip())


def encoders() -> Path:
    """A folder of encoders that holds the one of the published weights, made by the code as it is now."""
    code = b"".join(Path(module.__file__).read_bytes() for module in (export, export.graph, package))
    folder = CACHE / f"encoders-{hashlib.sha256(code).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        export.export(str(weights()), str(folder))
        (folder / "complete").touch()
    return folder


def reference() -> Path:
    """The Python of the reference's environment."""
    folder = CACHE / f"reference-{hashlib.sha256(REFERENCE.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print("making the environment of the reference encoder (a minute or two and 4 GB, the first time)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-cache-dir",
        ]
        subprocess.run([*install, "--require-hashes", "--requirement", REFERENCE], check=True)
        (folder / "complete").touch()
    return python


def reference_vectors(texts: list[str], folder: Path) -> np.ndarray:
    """What the reference says of the texts, (n, 384); computed in its own environment."""
    import json

    texts_file, out = folder / "texts.json", folder / "vectors.npy"
    texts_file.write_text(json.dumps(texts), encoding="utf-8")
    command = [reference(), "-m", "beam_pcc.features.encoders.reference", weights(), texts_file, out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=ROOT)
    return np.load(out)


def require() -> None:
    """Skip a test where the encoders were not made; fail it with CI=true."""
    if not (CACHE / "minilm" / "complete").exists():
        pytest.fail(MISSING) if os.environ.get("CI") == "true" else pytest.skip(MISSING)


if __name__ == "__main__":  # before the tests, so that it is seen
    print(encoders())
    print(reference())
