"""Encodes texts to unit vectors: tokenizes and batches them, and calls the runtime.

A process loads each encoder once, at its first use by any thread or step.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.config.settings import BACKENDS, Backend
from beam_pcc.config.threads import cores
from beam_pcc.errors import ModelError, one_line
from beam_pcc.features.encoders import package, published_folder
from beam_pcc.features.encoders.base import Compute, Embeddings, Ids, TextEncoder
from beam_pcc.features.encoders.package import EncoderRef, Input

DEFAULT_INPUT = Input()
_BATCH_TOKENS = 512  # of a padded batch: its activations stay in the CPU caches (4,096 take half as long again)
_TOKENIZED = 64  # texts that a thread tokenizes at once
_PAD_TO = 4  # lengths are rounded up, so that the runtime sees few shapes

Batch = tuple[list[int], int]
"""Row numbers, and the number of tokens to which each is padded."""


class Encoder:
    """Texts to (n, 384) float32 vectors. Safe to use from several threads.

    A vector does not depend on the other texts: a text is padded to its own length, rounded up, and batched with texts
    of that length only.

    Args:
        tokenizer: The bytes of tokenizer.json.
        compute: (n, t) ids and attention mask -> (n, 384), on one thread; called from several at once.
        inputs: The prefix of each text, and how many tokens count; the rest is cut off, as by sentence-transformers.
        threads: How many threads to use for all calls together.
    """

    def __init__(self, tokenizer: bytes, compute: Compute, inputs: Input = DEFAULT_INPUT, threads: int = 1) -> None:
        os.putenv("TOKENIZERS_PARALLELISM", "false")  # for its Rust code, which takes a thread for each core otherwise
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.decode("utf-8"))
        self._tokenizer.enable_truncation(inputs.max_tokens)
        self._tokenizer.no_padding()
        self._prefix = inputs.prefix
        self._max_tokens = inputs.max_tokens
        self._compute = compute
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="encoder")

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        """See `TextEncoder`. Computes the longest texts first."""
        parts = [texts[start : start + _TOKENIZED] for start in range(0, len(texts), _TOKENIZED)]
        tokens = list(chain.from_iterable(self._threads.map(self._tokens, parts)))
        batches = list(_batches([len(ids) for ids in tokens], self._max_tokens))
        embeddings = np.empty((len(texts), schemas.EMBEDDING_DIM), dtype=np.float32)
        computed = self._threads.map(lambda batch: self._compute(*_padded(tokens, batch)), batches)
        for (rows, _), vectors in zip(batches, computed, strict=True):
            embeddings[rows] = vectors
            if advance is not None:
                advance(len(rows))
        return embeddings

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        prefixed = [self._prefix + text for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(prefixed)]


def _batches(lengths: Sequence[int], max_tokens: int) -> Iterator[Batch]:
    """The rows by descending length; batches have at most _BATCH_TOKENS tokens with padding, or one row."""
    widths = np.minimum(-(-np.asarray(lengths, dtype=np.int64) // _PAD_TO) * _PAD_TO, max_tokens)  # no more positions
    for width in np.unique(widths)[::-1].tolist():
        rows = np.flatnonzero(widths == width).tolist()
        size = max(1, _BATCH_TOKENS // max(1, width))
        for start in range(0, len(rows), size):
            yield rows[start : start + size], width


def _padded(tokens: Sequence[Sequence[int]], batch: Batch) -> tuple[Ids, Ids]:
    """The ids and the attention mask of a batch."""
    rows, width = batch
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        length = len(tokens[row])
        ids[place, :length] = tokens[row]
        mask[place, :length] = 1
    return ids, mask


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
        threads: How many threads the runtime may use in this process; no more than its cores are used.

    Raises:
        ConfigurationError: The runtime is not installed.
        ModelError: The files are missing, have another digest, do not fit the backend, or cannot be loaded.
    """
    threads = min(threads, cores())
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
        return Encoder(files.tokenizer, load(files.model, threads), Input.from_json(files.input), threads)
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
