"""Digests of what defines a case, by which exact copies of a row are told from other rows with its id."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from beam_pcc.cases import schemas

_WORDS = schemas.VECTOR_DIM // 2  # of 64 bits in a vector
# A multilinear hash (Carter and Wegman, 1979) with fixed odd factors: two vectors that differ collide once in 2**32 or
# less. It takes a quarter of a microsecond for a vector, a cryptographic digest twelve times as long.
_FACTORS = np.random.default_rng(584).integers(0, 2**63, _WORDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_HALF = np.uint64(32)


def of_vectors(vectors: schemas.Vectors) -> pa.Int64Array:
    """Of each of n vectors, by their bits."""
    words = np.ascontiguousarray(vectors, dtype=np.float32).view(np.uint64)
    digests = np.empty(len(words), np.uint64)
    for start in range(0, len(words), schemas.BLOCK_ROWS):
        block = slice(start, start + schemas.BLOCK_ROWS)
        # The products lose their upper half: a difference there, such as of a sign, must be seen in the lower one too.
        mixed = words[block] >> _HALF
        mixed ^= words[block]
        np.einsum("ij,j->i", mixed, _FACTORS, out=digests[block])
    return pa.array(digests.view(np.int64))


def of_texts(texts: pa.StringArray) -> pa.Int64Array:
    """Of each of n texts; of a null, 0."""
    digests = [0 if text is None else _of_text(text) for text in texts.to_pylist()]
    return pa.array(digests, pa.int64())


def _of_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
