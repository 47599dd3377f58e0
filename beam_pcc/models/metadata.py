"""`metadata.json` of a model version: what was trained, on what, how good it was, and what its scores looked like.

Nothing here widens the trust in the model file beside it: a digest in metadata.json can only refuse that file.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.cases.drift import BlockBaseline
from beam_pcc.errors import ModelError, one_line
from beam_pcc.features.featurizer import Features
from beam_pcc.models import documents

DEFAULT_THRESHOLD = 0.5
SCORE_BINS = schemas.SCORE_BINS


@dataclass(frozen=True)
class Golden:
    """Rows with known answers: a loaded model must give these probabilities again.

    `vectors` is (n, 584) float32, `probabilities` is (n, classes) float64 in the order of the version's classes.
    """

    vectors: schemas.Vectors
    probabilities: npt.NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """The vectors as base64 of little-endian float32, the probabilities as numbers."""
        encoded = base64.b64encode(self.vectors.astype("<f4").tobytes()).decode("ascii")
        return {"vectors": encoded, "probabilities": self.probabilities.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Golden:
        """Inverse of `to_json`. Raises ValueError or KeyError on anything else."""
        vectors = np.frombuffer(base64.b64decode(value["vectors"], validate=True), dtype="<f4")
        probabilities = np.asarray(value["probabilities"], dtype=np.float64)
        if vectors.size != len(probabilities) * schemas.VECTOR_DIM or probabilities.ndim != 2:
            raise ValueError("golden vectors and probabilities differ in number")
        if not np.isfinite(vectors).all():
            raise ValueError("golden vectors are not finite")
        return cls(vectors.astype(np.float32).reshape(-1, schemas.VECTOR_DIM), probabilities)


@dataclass(frozen=True)
class Baseline:
    """What scores and vectors looked like on the hold-out set, to measure drift against.

    `score_histogram` counts P(PC) in `SCORE_BINS` equal bins over [0, 1]; `class_shares` maps class to share;
    `norms` maps a vector block to the mean and standard deviation of its L2 norm; `blocks` to where it lies.
    `training_mean`, (584,), is the mean vector of all rows that the model was trained on.
    """

    score_histogram: tuple[int, ...]
    class_shares: Mapping[str, float]
    norms: Mapping[str, Mapping[str, float]]
    blocks: Mapping[str, BlockBaseline] = field(default_factory=dict)
    training_mean: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if len(self.score_histogram) != SCORE_BINS or min(self.score_histogram) < 0 or not any(self.score_histogram):
            raise ValueError(f"score_histogram must hold {SCORE_BINS} counts, not all zero")

    def to_json(self) -> dict[str, Any]:
        """The mean blocks as base64 of little-endian float32, the rest as numbers."""
        blocks = {
            name: {
                "norm_mean": block.norm_mean,
                "spread": block.spread,
                "mean": _encoded(block.mean),
            }
            for name, block in self.blocks.items()
        }
        mean = self.training_mean  # here, as earlier releases refuse long texts beside `baseline`
        return {
            "score_histogram": list(self.score_histogram),
            "class_shares": dict(self.class_shares),
            "norms": {name: dict(norm) for name, norm in self.norms.items()},
            "blocks": blocks,
            "training_mean": None if mean is None else _encoded(mean),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Baseline:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        blocks = {}
        for name, block in value.get("blocks", {}).items():
            part = schemas.BLOCKS[name]
            mean = _decoded(block["mean"])
            numbers = float(block["norm_mean"]), float(block["spread"])
            if len(mean) != part.stop - part.start or not np.isfinite([*numbers, *mean]).all():
                raise ValueError(f"the baseline of block {name} is not one of its numbers")
            blocks[name] = BlockBaseline(numbers[0], mean, numbers[1])
        histogram = tuple(int(n) for n in value["score_histogram"])
        text = value.get("training_mean")
        training_mean = None if text is None else _decoded(text)
        if training_mean is not None and (
            len(training_mean) != schemas.VECTOR_DIM or not np.isfinite(training_mean).all()
        ):
            raise ValueError("training_mean is not one of 584 numbers")
        return cls(histogram, value.get("class_shares", {}), value.get("norms", {}), blocks, training_mean)


class ReviewBand(NamedTuple):
    """What lies nearer to the threshold than `band`, on the hold-out: the shares of its rows and of its errors."""

    band: float
    cases: float
    errors: float


@dataclass(frozen=True)
class Review:
    """Review bands that were measured in training, and the recommended one; None if there were too few errors."""

    bands: tuple[ReviewBand, ...]
    recommended: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The value in metadata.json."""
        return {"bands": [band._asdict() for band in self.bands], "recommended": self.recommended}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Review:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        bands = (ReviewBand(*(float(band[name]) for name in ReviewBand._fields)) for band in value["bands"])
        recommended = value.get("recommended")
        return cls(tuple(bands), None if recommended is None else float(recommended))


def _encoded(vector: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _decoded(text: str) -> npt.NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)


@dataclass(frozen=True)
class ModelMetadata:
    """The content of metadata.json; every field but the version has a default for a version that has none."""

    version: str
    classes: tuple[str, ...] | None = None
    threshold: float = DEFAULT_THRESHOLD
    feature_count: int = schemas.VECTOR_DIM
    embedding_model: str = schemas.EMBEDDING_MODEL
    sha256: str | None = None
    trained_at: str | None = None
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    golden: Golden | None = None
    baseline: Baseline | None = None
    features: Features | None = None
    intervals: Mapping[str, Any] = field(default_factory=dict)
    review: Review | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold {self.threshold} is not between 0 and 1")

    @property
    def mean_vector(self) -> npt.NDArray[np.float32] | None:
        """(584,), the mean of the training rows, which scores are explained against; None if it is not known.

        An earlier version of vectors has that of its hold-out, a fifth of the rows. One of texts has none: the mean in
        its baseline is of the terms of another fit.
        """
        if self.baseline and self.baseline.training_mean is not None:
            return self.baseline.training_mean
        blocks = self.baseline.blocks if self.baseline and self.features is None else {}
        if any(name not in blocks for name in schemas.BLOCKS):
            return None
        return np.concatenate([blocks[name].mean for name in schemas.BLOCKS])

    def to_json(self) -> str:
        """The text of metadata.json."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["golden"] = self.golden.to_json() if self.golden else None
        values["baseline"] = self.baseline.to_json() if self.baseline else None
        values["features"] = self.features.to_json() if self.features else None
        values["review"] = self.review.to_json() if self.review else None
        return json.dumps({"format": 1, **values}, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: bytes, *, version: str, where: str) -> ModelMetadata:
        """Read metadata.json of `version`. Unknown keys are ignored; a wrong value is a ModelError naming `where`."""
        try:
            values = documents.parse(text)
            documents.METADATA(values, "")
            known = {f.name for f in dataclasses.fields(cls)} - {"version"}
            given = {k: v for k, v in values.items() if k in known and v is not None}
            if "classes" in given:
                given["classes"] = tuple(given["classes"])
            if "golden" in given:
                given["golden"] = Golden.from_json(given["golden"])
            if "baseline" in given:
                given["baseline"] = Baseline.from_json(given["baseline"])
            if "features" in given:
                given["features"] = Features.from_json(given["features"])
            if "review" in given:
                given["review"] = Review.from_json(given["review"])
            given["threshold"] = float(given.get("threshold", DEFAULT_THRESHOLD))
            return cls(version=version, **given)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelError(
                f"{where} is not a model's metadata.json: {type(error).__name__}: {one_line(error, 120)}; "
                "mend the file, or remove it to run with the defaults"
            ) from None
