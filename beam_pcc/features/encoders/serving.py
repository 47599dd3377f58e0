"""Encodes texts to unit vectors: tokenizes and batches them, and calls the runtime.

A process loads each encoder once, at its first use by any thread or step.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.config.settings import BACKENDS, Backend
from beam_pcc.errors import ModelError, one_line
from beam_pcc.features.encoders import package, published_folder
from beam_pcc.features.encoders.base import Compute, Embeddings, TextEncoder
from beam_pcc.features.encoders.package import EncoderRef, Input

DEFAULT_INPUT = Input()
_BATCH_TOKENS = 512  # of a padded batch: its activations stay in the CPU caches (4,096 take half as long again)
_PAD_TO = 8  # lengths are rounded up, so that the runtime sees few shapes


class Encoder:
    """Texts to (n, 384) float32 vectors. Safe to use from several threads.

    Args:
        tokenizer: The bytes of tokenizer.json.
        compute: (n, t) ids and attention mask -> (n, 384).
        inputs: The prefix of each text, and how many tokens count; the rest is cut off, as by sentence-transformers.
    """

    def __init__(self, tokenizer: bytes, compute: Compute, inputs: Input = DEFAULT_INPUT) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.decode("utf-8"))
        self._tokenizer.enable_truncation(inputs.max_tokens)
        self._tokenizer.no_padding()
        self._prefix = inputs.prefix
        self._max_tokens = inputs.max_tokens
        self._compute = compute

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        """The vectors of the texts, in the same order. Computed in batches of similar length, the longest first.

        Args:
            texts: What to encode.
            advance: Called after each batch with the number of its texts.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(self._prefixed(texts))]
        embeddings = np.empty((len(texts), schemas.EMBEDDING_DIM), dtype=np.float32)
        for rows in _batches([len(ids) for ids in tokens]):
            width = min(
                -(-len(tokens[rows[0]]) // _PAD_TO) * _PAD_TO, self._max_tokens
            )  # there may be no more positions
            ids = np.zeros((len(rows), width), dtype=np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(rows):
                length = len(tokens[row])
                ids[place, :length] = tokens[row]
                mask[place, :length] = 1
            embeddings[rows] = self._compute(ids, mask)
            if advance is not None:
                advance(len(rows))
        return embeddings

    def _prefixed(self, texts: Sequence[str]) -> list[str]:
        return [self._prefix + text for text in texts] if self._prefix else list(texts)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers by descending length, in batches of at most _BATCH_TOKENS tokens with padding."""
    order = np.argsort(np.negative(lengths), kind="stable").tolist()
    start = 0
    while start < len(order):
        rows = max(1, _BATCH_TOKENS // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


_loaded: dict[tuple[EncoderRef, Backend, int], TextEncoder] = {}
_loading = threading.Lock()
AS_PUBLISHED: Backend = "sentence-transformers"
"""The backend that computes a folder of published weights; the others compute exported encoders."""


def find_encoder(address: str, backend: Backend) -> EncoderRef:
    """The encoder at `address` that this backend can compute, with its digest. Raises ModelError."""
    address = package.absolute(address)
    files = published_folder.read(address) if backend == AS_PUBLISHED else package.read(address)
    return EncoderRef(address, files.sha256)


def name_of(address: str, backend: Backend) -> str | None:
    """What the encoder at `address` is called; None if it does not say. Raises ModelError."""
    return published_folder.name_of(address) if backend == AS_PUBLISHED else package.name_of(address)


def open_encoder(ref: EncoderRef, backend: Backend, threads: int) -> TextEncoder:
    """The encoder, loaded at the first call in this process.

    Args:
        ref: Its address and digest.
        backend: Its runtime.
        threads: How many threads the runtime may use in this process.

    Raises:
        ConfigurationError: The runtime is not installed.
        ModelError: The files are missing, have another digest, do not fit the backend, or cannot be loaded.
    """
    with _loading:
        key = (ref, backend, threads)
        if key not in _loaded:
            with progress.task("loading the encoder"):
                load = _load_published if backend == AS_PUBLISHED else _load
                _loaded[key] = load(ref, backend, threads)
        return _loaded[key]


def _load(ref: EncoderRef, backend: Backend, threads: int) -> TextEncoder:
    files = ref.read()
    name = "text" if backend == BACKENDS[0] else backend  # the extra text contains the first backend
    with extra(name, "scoring from text"):
        import tokenizers  # noqa: F401

        load: Callable[[bytes, int], Compute] = importlib.import_module(f"{__package__}.{backend}").compute
    try:
        return Encoder(files.tokenizer, load(files.model, threads), Input.from_json(files.input))
    except Exception as error:  # each runtime has its own exceptions
        raise ModelError(
            f"{ref.address} cannot be loaded as an encoder: {type(error).__name__}: {one_line(error, 120)}; "
            "make it again with beam-pcc encoder export"
        ) from None


def _load_published(ref: EncoderRef, backend: Backend, threads: int) -> TextEncoder:
    files = published_folder.read(ref.address)
    ref.require(files.sha256)
    with extra(backend, f"--encoder_backend {backend}"):
        import sentence_transformers  # noqa: F401
        import torch  # noqa: F401
    from beam_pcc.features.encoders.sentence_transformers import SentenceTransformerEncoder

    try:
        return SentenceTransformerEncoder(files, threads)
    except Exception as error:  # the library raises anything
        why = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {one_line(error, 160)}"
        raise ModelError(f"--encoder {ref.address} cannot be used: {why}") from None
