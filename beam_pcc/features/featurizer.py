"""Computes the 584-value vectors of texts, with the same code for training and for scoring.

Their parameters (`Features`) are stored in a model version's metadata.json, so that a run computes the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import faults, schemas
from beam_pcc.config.settings import Backend
from beam_pcc.errors import RunError
from beam_pcc.errors.bisecting import EveryRowFailsError, failing_rows
from beam_pcc.errors.machine import blames_no_row
from beam_pcc.features import cleaning, languages, windows
from beam_pcc.features.encoders.base import Embeddings
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.serving import open_encoder
from beam_pcc.features.tfidf import Tfidf
from beam_pcc.features.windows import Window, WindowLimits

MAX_CHARACTERS = 100_000
"""Of a text; the rest is ignored."""
MAX_BATCH_WINDOWS = 4_000
"""Of one batch of cases, which has fewer rows if there are more: 4,000 vectors are 9 MB."""


@dataclass(frozen=True)
class Features:
    """The parameters of a model's vectors.

    Attributes:
        encoder_sha256: The digest of the encoder.
        tfidf: The TF-IDF terms.
        cleaning: The version of the cleaning before both; 0 is none, of models that are older than it.
        windows: How long texts are split after the cleaning; None is not at all, of models that are older than it.
        languages: Language to its share of the training messages; None if the model did not record it.
    """

    encoder_sha256: str
    tfidf: Tfidf
    cleaning: int = 0
    windows: WindowLimits | None = None
    languages: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        cleaning.check(self.cleaning)

    def to_json(self) -> dict[str, Any]:
        """The value in metadata.json."""
        return {
            "encoder_sha256": self.encoder_sha256,
            "tfidf": self.tfidf.to_json(),
            "cleaning": self.cleaning,
            "windows": self.windows.to_json() if self.windows else None,
            **({} if self.languages is None else {"languages": dict(self.languages)}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Features:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        digest = value["encoder_sha256"]
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError("encoder_sha256 is no digest")
        windows = WindowLimits.from_json(value["windows"]) if value.get("windows") is not None else None
        return cls(digest, Tfidf.from_json(value["tfidf"]), value.get("cleaning", 0), windows, value.get("languages"))

    @property
    def discount(self) -> float:
        """See `WindowLimits`."""
        return self.windows.discount if self.windows else 0.0


@dataclass(frozen=True)
class SplitTexts:
    """The windows of n texts, one after the other.

    Attributes:
        windows: m windows; those of a text follow each other.
        counts: (n,) windows of each text; m in sum.
    """

    windows: tuple[Window, ...]
    counts: npt.NDArray[np.int64]

    @property
    def texts(self) -> list[str]:
        """The text of each window."""
        return [window.text for window in self.windows]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """(n,) the first window of each text."""
        return np.cumsum(self.counts) - self.counts

    def take(self, kept: npt.NDArray[np.bool_]) -> SplitTexts:
        """The windows of the texts for which `kept` (n,) is true."""
        return SplitTexts(tuple(compress(self.windows, np.repeat(kept, self.counts))), self.counts[kept])

    def of_texts(self, errors: Mapping[int, str]) -> dict[int, str]:
        """The first error of each text, from those of windows."""
        text = np.repeat(np.arange(len(self.counts)), self.counts)
        firsts: dict[int, str] = {}
        for row in sorted(errors):
            firsts.setdefault(int(text[row]), errors[row])
        return firsts


@dataclass(frozen=True)
class Runtime:
    """The runtime of an encoder, and how many threads it may use in one process."""

    backend: Backend = "onnx"
    threads: int = 2


DEFAULT_RUNTIME = Runtime()


@dataclass(frozen=True)
class Featurizer:
    """Computes the vectors for one or two models. Small and picklable: a worker loads the encoder at the first use.

    Attributes:
        encoder: The encoder's address and digest.
        features: Of the model that scores.
        runtime: The encoder's runtime.
        shadow: The featurizer of the shadow model, if that needs other vectors.
    """

    encoder: EncoderRef
    features: Features
    runtime: Runtime = DEFAULT_RUNTIME
    shadow: Featurizer | None = None

    def shares_embeddings(self) -> bool:
        """Whether the shadow model encodes the same cleaned texts with the same encoder, so that it is done once."""
        return (
            self.shadow is not None
            and self.shadow.encoder.sha256 == self.encoder.sha256
            and self.shadow.features.cleaning == self.features.cleaning
            and _same_windows(self.shadow.features.windows, self.features.windows)
        )

    def clean(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model was trained on them: what `embed` and `join` take."""
        return cleaning.clean(texts, self.features.cleaning)

    def embed(self, cleaned: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        """The (n, 384) half, of cleaned texts. `advance` is called with how many texts more are encoded."""
        return open_encoder(self.encoder, self.runtime.backend, self.runtime.threads).encode(cut(cleaned), advance)

    def split(self, cleaned: Sequence[str]) -> SplitTexts:
        """The windows of cleaned texts."""
        return split_texts(cleaned, self.features.windows)

    def vectors(self, texts: Sequence[str]) -> schemas.Vectors:
        """(n, 584) float32 of whole texts: the embedding, then the TF-IDF values. No text may be blank."""
        cleaned = self.clean(texts)
        return join(self.embed(cleaned), self.features.tfidf, cleaned)

    def window_vectors(self, split: SplitTexts, advance: Callable[[int], None] | None = None) -> schemas.Vectors:
        """(m, 584) float32 of the windows of texts. `advance` is called with how many windows more are encoded."""
        return join(self.embed(split.texts, advance), self.features.tfidf, split.texts)


@dataclass(frozen=True)
class TextMode:
    """The settings of a run that scores messages: their column, and the featurizer."""

    column: str
    featurizer: Featurizer


def join(embeddings: Embeddings, tfidf: Tfidf, texts: Sequence[str]) -> schemas.Vectors:
    """Concatenate embeddings and TF-IDF values of cleaned texts to (n, 584) float32."""
    if not texts:
        return np.empty((0, schemas.VECTOR_DIM), np.float32)
    terms = tfidf.vectorizer().transform(cut(texts)).toarray()
    vectors: schemas.Vectors = np.hstack([embeddings, terms]).astype(np.float32)
    return vectors


def cut(texts: Sequence[str]) -> list[str]:
    """The first MAX_CHARACTERS of each text."""
    return [text[:MAX_CHARACTERS] for text in texts]


def split_texts(cleaned: Sequence[str], limits: WindowLimits | None) -> SplitTexts:
    """The windows of cleaned texts, of which the first MAX_CHARACTERS count."""
    parts = [windows.split(text, limits) for text in cut(cleaned)]
    return SplitTexts(tuple(chain.from_iterable(parts)), np.array([len(part) for part in parts], dtype=np.int64))


def _same_windows(some: WindowLimits | None, other: WindowLimits | None) -> bool:
    """Whether texts are split alike; the discount comes later."""
    if some is None or other is None:
        return some is other
    return replace(some, discount=0.0) == replace(other, discount=0.0)


def slices(texts: pa.RecordBatch, featurizer: Featurizer) -> Iterator[pa.RecordBatch]:
    """TEXTS in parts that have at most MAX_BATCH_WINDOWS windows each, so that long messages take no more memory."""
    limits = [f.features.windows for f in (featurizer, featurizer.shadow) if f and f.features.windows]
    if not limits:
        yield texts
        return
    characters = np.minimum(pc.utf8_length(texts.column("text")).to_numpy(zero_copy_only=False), MAX_CHARACTERS)
    # A window has about `characters` of a text, or a third where each counts three: never more windows than this.
    counts = np.max([np.minimum(1 + 3 * characters // one.characters, one.most) for one in limits], axis=0)
    total = np.cumsum(counts)
    start = 0
    while start < texts.num_rows:
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + MAX_BATCH_WINDOWS, side="right")))
        yield texts.slice(start, end - start)
        start = end


def featurize(texts: pa.RecordBatch, featurizer: Featurizer) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """TEXTS to CASES, and STAGED_REJECTED (model_error) for the texts that cannot be encoded.

    The cases have the additional column LANGUAGE; WINDOWS if a message has several; and SHADOW_VECTOR, SHADOW_WINDOWS
    likewise if a shadow model needs other vectors.
    """
    messages = texts.column("text").to_pylist()
    cleaned = featurizer.clean(messages)
    split = featurizer.split(cleaned)
    embeddings, of_windows = embed_bisecting(featurizer, split.texts)
    errors = split.of_texts(of_windows)
    kept = np.ones(texts.num_rows, dtype=bool)
    kept[list(errors)] = False
    good = texts.filter(pa.array(kept))
    embeddings, split = embeddings[np.repeat(kept, split.counts)], split.take(kept)
    vectors = join(embeddings, featurizer.features.tfidf, split.texts)
    columns = [
        good.column("case_id"),
        schemas.vector_column(vectors[split.starts]),
        good.column("timestamp"),
        good.column("content_digest"),
    ]
    cases = pa.RecordBatch.from_arrays(columns, schema=schemas.CASES)
    spoken = languages.detect(list(compress(cleaned, kept)))
    cases = cases.append_column(schemas.LANGUAGE, pa.array(spoken, pa.string()))
    cases = _with_windows(cases, schemas.WINDOWS, vectors, split)
    if featurizer.shadow is not None:
        if featurizer.shares_embeddings():
            vectors = join(embeddings, featurizer.shadow.features.tfidf, split.texts)
        else:
            split = featurizer.shadow.split(featurizer.shadow.clean(list(compress(messages, kept))))
            vectors = featurizer.shadow.window_vectors(split)
        cases = cases.append_column(schemas.SHADOW_VECTOR, schemas.vector_column(vectors[split.starts]))
        cases = _with_windows(cases, schemas.SHADOW_WINDOWS, vectors, split)
    failed = sorted(errors)
    ids = texts.column("case_id").take(pa.array(failed, pa.int64()))
    return cases, faults.rejected(ids, [faults.MODEL_ERROR.code] * len(failed), [errors[row] for row in failed])


def _with_windows(cases: pa.RecordBatch, name: str, vectors: schemas.Vectors, split: SplitTexts) -> pa.RecordBatch:
    """The cases with a column of windows, if a message has several."""
    if len(vectors) == len(split.counts):
        return cases
    places = [windows.place(window) for window in split.windows]
    return cases.append_column(name, schemas.window_column(vectors, places, split.counts))


def embed_bisecting(featurizer: Featurizer, texts: Sequence[str]) -> tuple[Embeddings, dict[int, str]]:
    """Encode the texts; if the encoder raises, bisect them to isolate the failing rows.

    Returns:
        (n, 384) float32, with NaN in failing rows; and an error message by number of a failing row. The message has
        the exception's type but not its text, which may contain the message.

    Raises:
        RunError: The encoder fails on every text.
        Exception: What was raised is not about a text, such as a MemoryError.
    """
    try:
        return featurizer.embed(texts), {}
    except Exception as error:  # an encoder may raise anything for a text
        if blames_no_row(error):
            raise
    embeddings = np.full((len(texts), schemas.EMBEDDING_DIM), np.nan, np.float32)

    def compute(rows: Sequence[int]) -> None:
        embeddings[rows] = featurizer.embed([texts[row] for row in rows])

    try:
        failures = failing_rows(compute, range(len(texts)), known_good=lambda: featurizer.embed([_PLAIN_TEXT]))
    except EveryRowFailsError as error:
        raise RunError(
            f"the encoder {featurizer.encoder.address} fails on every text ({error}): make it again with beam-pcc "
            "encoder export, or try another --encoder_backend"
        ) from None
    return embeddings, {
        row: f"the text could not be made a vector ({type(error).__name__})" for row, error in failures.items()
    }


_PLAIN_TEXT = "text"  # any encoder that works can encode it
