"""The encoder as published, a SentenceTransformer on torch: float32, on the CPU."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.errors import ModelError
from beam_pcc.features.encoders import published
from beam_pcc.features.encoders.base import Embeddings
from beam_pcc.features.encoders.published_folder import PublishedFiles
from beam_pcc.storage.temporary_folders import temporary_folder

_BATCH = 32  # texts, the library's own default
_PREFIX = "beam-pcc-encoder-"


class SentenceTransformerEncoder:
    """Texts to (n, 384) float32 vectors. Safe to use from several threads, which take turns.

    Args:
        files: Of the folder, as `published_folder` checked them.
        threads: How many threads torch may use. They are the process's: encoders take turns with their own number.

    Raises:
        ModelError: Its vectors have other than 384 values.
        Exception: The library cannot load it.
    """

    def __init__(self, files: PublishedFiles, threads: int) -> None:
        self._threads = threads
        with temporary_folder(Path(tempfile.gettempdir()), _PREFIX) as folder:
            files.write_to(folder)
            self._prompt = published.prefix_of(folder)
            with _turn:
                self._model = _load(folder, threads)
        size = self.encode(["text"]).shape[1]
        if size != schemas.EMBEDDING_DIM:
            raise ModelError(
                f"its vectors have {size} values, and a model takes {schemas.EMBEDDING_DIM}; use another encoder"
            )

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        """See `TextEncoder`."""
        import torch

        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        parts = []
        for start in range(0, len(order), _BATCH):
            batch = [texts[row] for row in order[start : start + _BATCH]]
            with _turn:
                torch.set_num_threads(self._threads)
                parts.append(
                    self._model.encode(
                        batch,
                        prompt=self._prompt or None,
                        batch_size=_BATCH,
                        show_progress_bar=False,
                        convert_to_numpy=True,
                    )
                )
            if advance is not None:
                advance(len(batch))
        if not parts:
            return np.empty((0, schemas.EMBEDDING_DIM), dtype=np.float32)
        embeddings = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        embeddings[order] = np.concatenate(parts)
        return embeddings


_turn = threading.Lock()  # torch's number of threads is the process's


def _load(folder: Path, threads: int) -> Any:
    os.putenv("TOKENIZERS_PARALLELISM", "false")  # for its Rust code, which takes a thread for each core otherwise
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.set_num_threads(threads)
    return SentenceTransformer(
        str(folder),
        device="cpu",
        backend="torch",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
    )
