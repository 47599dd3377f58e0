"""The function that every runtime of an encoder provides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Embeddings = npt.NDArray[np.float32]
Compute = Callable[[Ids, Ids], Embeddings]
"""(n, t) ids and attention mask -> (n, 384) vectors."""
