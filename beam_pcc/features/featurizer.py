"""Computes the 584-value vectors of texts, with the same code for training and for scoring.

Their parameters (`Features`) are stored in a model version's metadata.json, so that a run computes the same vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from beam_pcc.cases import faults, schemas
from beam_pcc.config.settings import Backend
from beam_pcc.errors import RunError
from beam_pcc.errors.bisecting import EveryRowFailsError, failing_rows
from beam_pcc.errors.machine import blames_no_row
from beam_pcc.features import cleaning, languages
from beam_pcc.features.encoders.base import Embeddings
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.serving import open_encoder
from beam_pcc.features.tfidf import Tfidf

MAX_CHARACTERS = 100_000
"""Of a text; the rest is ignored."""


@dataclass(frozen=True)
class Features:
    """The parameters of a model's vectors.

    Attributes:
        encoder_sha256: The digest of the encoder.
        tfidf: The TF-IDF terms.
        cleaning: The version of the cleaning before both; 0 is none, of models that are older than it.
        languages: Language to its share of the training messages; None if the model did not record it.
    """

    encoder_sha256: str
    tfidf: Tfidf
    cleaning: int = 0
    languages: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        cleaning.check(self.cleaning)

    def to_json(self) -> dict[str, Any]:
        """The value in metadata.json."""
        return {
            "encoder_sha256": self.encoder_sha256,
            "tfidf": self.tfidf.to_json(),
            "cleaning": self.cleaning,
            **({} if self.languages is None else {"languages": dict(self.languages)}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Features:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        digest = value["encoder_sha256"]
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError("encoder_sha256 is no digest")
        return cls(digest, Tfidf.from_json(value["tfidf"]), value.get("cleaning", 0), value.get("languages"))


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
        )

    def clean(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model was trained on them: what `embed` and `join` take."""
        return cleaning.clean(texts, self.features.cleaning)

    def embed(self, cleaned: Sequence[str]) -> Embeddings:
        """The (n, 384) half, of cleaned texts."""
        return open_encoder(self.encoder, self.runtime.backend, self.runtime.threads).encode(cut(cleaned))

    def vectors(self, texts: Sequence[str]) -> schemas.Vectors:
        """(n, 584) float32: the embedding, then the TF-IDF values. No text may be blank."""
        cleaned = self.clean(texts)
        return join(self.embed(cleaned), self.features.tfidf, cleaned)


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


def featurize(texts: pa.RecordBatch, featurizer: Featurizer) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """TEXTS to CASES, and STAGED_REJECTED (model_error) for the texts that cannot be encoded.

    The cases have the additional column LANGUAGE, and SHADOW_VECTOR if a shadow model needs other vectors.
    """
    messages = texts.column("text").to_pylist()
    cleaned = featurizer.clean(messages)
    embeddings, errors = embed_bisecting(featurizer, cleaned)
    kept = np.ones(texts.num_rows, dtype=bool)
    kept[list(errors)] = False
    good = texts.filter(pa.array(kept))
    cleaned = list(compress(cleaned, kept))
    vectors = join(embeddings[kept], featurizer.features.tfidf, cleaned)
    columns = [
        good.column("case_id"),
        schemas.vector_column(vectors),
        good.column("timestamp"),
        good.column("content_digest"),
    ]
    cases = pa.RecordBatch.from_arrays(columns, schema=schemas.CASES)
    cases = cases.append_column(schemas.LANGUAGE, pa.array(languages.detect(cleaned), pa.string()))
    if featurizer.shadow is not None:
        if featurizer.shares_embeddings():
            shadow = join(embeddings[kept], featurizer.shadow.features.tfidf, cleaned)
        else:
            shadow = featurizer.shadow.vectors(list(compress(messages, kept)))
        cases = cases.append_column(schemas.SHADOW_VECTOR, schemas.vector_column(shadow))
    failed = sorted(errors)
    ids = texts.column("case_id").take(pa.array(failed, pa.int64()))
    return cases, faults.rejected(ids, [faults.MODEL_ERROR.code] * len(failed), [errors[row] for row in failed])


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
