"""Text to the 584-value vector: the same code, and the same description of it, for training and for scoring.

The description (`Features`) is part of a model version's metadata.json; a run cannot make vectors in another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from beam_pcc.cases import faults, schemas
from beam_pcc.config.settings import Backend
from beam_pcc.errors import PccError, one_line
from beam_pcc.features.encoders.base import Embeddings
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.serving import open_encoder
from beam_pcc.features.tfidf import Tfidf

MAX_CHARACTERS = 100_000
"""Of a text; what comes after is not looked at."""


@dataclass(frozen=True)
class Features:
    """How a model's vectors are made of text: with which encoder, by its digest, and with which terms."""

    encoder_sha256: str
    tfidf: Tfidf

    def to_json(self) -> dict[str, Any]:
        """For metadata.json."""
        return {"encoder_sha256": self.encoder_sha256, "tfidf": self.tfidf.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Features:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        digest = value["encoder_sha256"]
        if not isinstance(digest, str) or len(digest) != 64:
            raise ValueError("encoder_sha256 is no digest")
        return cls(digest, Tfidf.from_json(value["tfidf"]))


@dataclass(frozen=True)
class Runtime:
    """With what an encoder is computed: which runtime, and how many threads it may use in one process."""

    backend: Backend = "onnx"
    threads: int = 2


DEFAULT_RUNTIME = Runtime()


@dataclass(frozen=True)
class Featurizer:
    """Makes vectors as one or two models want them. Small and picklable; a worker's encoder is loaded when needed.

    Attributes:
        encoder: Where the encoder is.
        features: Of the model that scores.
        runtime: How to compute.
        shadow: That of the shadow model, if it wants other vectors.
    """

    encoder: EncoderRef
    features: Features
    runtime: Runtime = DEFAULT_RUNTIME
    shadow: Featurizer | None = None

    def shares_encoder(self) -> bool:
        """Whether the shadow model has the same encoder, so that each text is encoded once."""
        return self.shadow is not None and self.shadow.encoder.sha256 == self.encoder.sha256

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """The (n, 384) half."""
        return open_encoder(self.encoder, self.runtime.backend, self.runtime.threads).encode(cut(texts))

    def vectors(self, texts: Sequence[str], embeddings: Embeddings | None = None) -> schemas.Vectors:
        """(n, 584) float32: what the encoder says, then what the terms say. None of the texts may be blank."""
        if embeddings is None:
            embeddings = self.embed(texts)
        return join(embeddings, self.features.tfidf, texts)


@dataclass(frozen=True)
class TextMode:
    """That a run makes its vectors of messages: of which column, and how."""

    column: str
    featurizer: Featurizer


def join(embeddings: Embeddings, tfidf: Tfidf, texts: Sequence[str]) -> schemas.Vectors:
    """Both halves of the vectors, beside each other."""
    if not texts:
        return np.empty((0, schemas.VECTOR_DIM), np.float32)
    terms = tfidf.vectorizer().transform(cut(texts)).toarray()
    made: schemas.Vectors = np.hstack([embeddings, terms]).astype(np.float32)
    return made


def cut(texts: Sequence[str]) -> list[str]:
    """What of each text is looked at."""
    return [text[:MAX_CHARACTERS] for text in texts]


def featurize(texts: pa.RecordBatch, featurizer: Featurizer) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """TEXTS to CASES, and STAGED_REJECTED (model_error) of the texts that no vector could be made of.

    Where a shadow model wants other vectors, the cases have a column SHADOW_VECTOR besides.
    """
    embeddings, errors = embed_each(featurizer, texts.column("text").to_pylist())
    kept = np.ones(texts.num_rows, dtype=bool)
    kept[list(errors)] = False
    good = texts.filter(pa.array(kept))
    messages = good.column("text").to_pylist()
    vectors = join(embeddings[kept], featurizer.features.tfidf, messages)
    columns = [good.column("case_id"), schemas.vector_column(vectors), good.column("timestamp")]
    cases = pa.RecordBatch.from_arrays(columns, schema=schemas.CASES)
    if featurizer.shadow is not None:
        shadow = featurizer.shadow.vectors(messages, embeddings[kept] if featurizer.shares_encoder() else None)
        cases = cases.append_column(schemas.SHADOW_VECTOR, schemas.vector_column(shadow))
    failed = sorted(errors)
    ids = texts.column("case_id").take(pa.array(failed, pa.int64()))
    return cases, faults.rejected(ids, [faults.MODEL_ERROR.code] * len(failed), [errors[row] for row in failed])


def embed_each(featurizer: Featurizer, texts: Sequence[str]) -> tuple[Embeddings, dict[int, str]]:
    """What the encoder says of each text; if it raises, part the texts until only the guilty ones are left.

    Returns:
        (n, 384) float32, of a guilty row NaN; and for each of those the row number and the name of what it raised
        (never its words, which may hold the text).
    """
    try:
        return featurizer.embed(texts), {}
    except PccError:  # about the encoder, not about a text
        raise
    except Exception as error:  # whatever a library raises is about these texts
        if len(texts) <= 1:
            said = one_line(f"the text could not be made a vector ({type(error).__name__})")
            return np.full((len(texts), schemas.EMBEDDING_DIM), np.nan, np.float32), dict.fromkeys(
                range(len(texts)), said
            )
    half = len(texts) // 2
    (first, errors), (second, more) = embed_each(featurizer, texts[:half]), embed_each(featurizer, texts[half:])
    return np.vstack([first, second]), errors | {row + half: said for row, said in more.items()}
