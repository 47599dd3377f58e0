"""The reference encoder: sentence-transformers on torch, for tests and benchmarks, not for serving.

It runs in a separate environment (tests/encoders/reference.txt), so it imports nothing of this package:
python -m beam_pcc.features.encoders.reference WEIGHTS TEXTS.json OUT.npy
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def load(weights: str, threads: int) -> Any:
    """The SentenceTransformer of a folder of published weights."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    return SentenceTransformer(weights, device="cpu", local_files_only=True)


def encode(model: Any, texts: Sequence[str]) -> np.ndarray:
    """(n, 384) float32, with the library's defaults."""
    embeddings: np.ndarray = np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)
    return embeddings


def main(weights: str, texts: str, out: str) -> None:
    """Encode a JSON array of texts into a .npy file."""
    np.save(out, encode(load(weights, threads=2), json.loads(Path(texts).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(*sys.argv[1:])
