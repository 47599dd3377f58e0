"""Compares two versions on the same labelled rows: metrics, and differing labels.

The caller must pass rows that neither was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labelled
from beam_pcc.evaluation.paired import Scored
from beam_pcc.features.encoders import package
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Featurizer, Runtime
from beam_pcc.models import deciding, scoring
from beam_pcc.models.registry import ModelVersion, Registry


@dataclass(frozen=True)
class Measurement:
    """A version on n rows: P(PC) and label of each row, and the metrics with intervals."""

    version: str
    probability: scoring.Floats
    positive: evaluation.Truth
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Difference:
    """The number of rows that two versions label differently, and how many of them each one labels correctly."""

    flipped: int
    first_right: int
    second_right: int

    @property
    def p_value(self) -> float:
        """The p-value of the exact McNemar test."""
        from scipy.stats import binomtest

        rows = self.first_right + self.second_right
        return float(binomtest(self.first_right, rows).pvalue) if rows else 1.0


def measure(
    registry: Registry, version: str, rows: Labelled, *, encoder: str | None = None, runtime: Runtime = DEFAULT_RUNTIME
) -> Measurement:
    """Score labelled rows with a version, and compute its metrics.

    Raises:
        ConfigurationError: There are too few rows of a class.
        ModelError: The version cannot be used, or the rows are texts and it was trained on vectors.
    """
    truth = rows.labels != schemas.NOT_PC
    if min(truth.sum(), (~truth).sum()) < evaluation.MIN_ROWS_OF_CLASS:
        raise ConfigurationError(
            "--data must hold rows of PC and of NOT_PC to measure a model on, "
            f"at least {evaluation.MIN_ROWS_OF_CLASS} of each"
        )
    probability, threshold = score(registry, version, rows, encoder=encoder, runtime=runtime)
    return Measurement(
        version,
        probability,
        probability >= threshold,
        evaluation.metrics(truth, probability, threshold),
        evaluation.intervals(truth, probability, threshold),
    )


def score(
    registry: Registry, version: str, rows: Labelled, *, encoder: str | None = None, runtime: Runtime = DEFAULT_RUNTIME
) -> tuple[scoring.Floats, float]:
    """P(PC) of labelled rows by a version, 0 of a row that it cannot score; and its threshold.

    Raises:
        ModelError: The version cannot be used, or the rows are texts and it was trained on vectors.
    """
    scored = score_rows(registry, version, rows, encoder=encoder, runtime=runtime)
    return np.nan_to_num(scored.probability), scored.threshold


def score_rows(
    registry: Registry, version: str, rows: Labelled, *, encoder: str | None = None, runtime: Runtime = DEFAULT_RUNTIME
) -> Scored:
    """P(PC) of labelled rows by a version, NaN of a row that it cannot score; and its threshold.

    Raises:
        ModelError: The version cannot be used, or the rows are texts and it was trained on vectors.
    """
    checked, model = registry.load(version)
    try:
        if rows.texts is None:
            with progress.task(f"scoring with {version}"):
                probabilities = scoring.score(model, rows.vectors).probabilities
        else:
            featurizer = _featurizer(registry, checked, encoder, runtime)
            with progress.task(f"scoring with {version}", unit="windows") as step:
                decision = deciding.score_texts(model, checked.classes, featurizer, rows.texts, step.advance)
            probabilities = decision.scores.probabilities
    except EveryRowFailsError as error:
        raise ModelError(f"{version} fails on every row of --data ({error}); do not use it, train again") from None
    return Scored(scoring.privacy_probability(probabilities, checked.classes), checked.metadata.threshold)


def shared_encoder(registry: Registry, version: str, other: str, encoder: str | None) -> str | None:
    """`encoder`, which was named for `version`, if `other` was trained with the same; else None: the registry's own."""
    digests = [
        features.encoder_sha256 if (features := registry.metadata(name).features) else None for name in (version, other)
    ]
    return encoder if digests[0] == digests[1] else None


def _featurizer(registry: Registry, version: ModelVersion, encoder: str | None, runtime: Runtime) -> Featurizer:
    features = version.metadata.features
    if features is None:
        raise ModelError(
            f"{version.name} was trained on vectors and does not say how to make them of text; use a version that was "
            "trained with --text_column"
        )
    address = package.absolute(encoder or package.address_of(registry.root, features.encoder_sha256))
    return Featurizer(EncoderRef(address, features.encoder_sha256), features, runtime)


def differences(first: Measurement, second: Measurement, rows: Labelled) -> Difference:
    """Count the rows that they label differently."""
    truth = rows.labels != schemas.NOT_PC
    flipped = first.positive != second.positive
    return Difference(
        int(flipped.sum()),
        int((flipped & (first.positive == truth)).sum()),
        int((flipped & (second.positive == truth)).sum()),
    )
