"""The functions that every runtime of an encoder provides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Embeddings = npt.NDArray[np.float32]
Compute = Callable[[Ids, Ids], Embeddings]
"""(n, t) ids and attention mask -> (n, 384) vectors, on the thread that calls it."""


class TextEncoder(Protocol):
    """Texts to vectors. Safe to use from several threads."""

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        """The (n, 384) vectors of the texts, in the same order.

        Args:
            texts: What to encode.
            advance: Called after each batch with the number of its texts.
        """
