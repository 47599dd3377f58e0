"""Two versions on the same labelled rows: their metrics, where they differ, and whether one is worse.

The rows must be ones that neither was trained on; that is for the caller to know.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labelled
from beam_pcc.features.encoders import package
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Featurizer, Runtime
from beam_pcc.models import scoring
from beam_pcc.models.registry import ModelVersion, Registry

TOLERANCE = 0.01
"""By how much a metric may be worse before a version counts as worse: less than that is noise on a few hundred rows."""


@dataclass(frozen=True)
class Measured:
    """One version on n rows: P(PC) and label of each, and its metrics with intervals."""

    version: str
    probability: scoring.Floats
    positive: evaluation.Truth
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Difference:
    """Where two versions label otherwise: how many rows, and how many of them each one has right."""

    flipped: int
    first_right: int
    second_right: int

    @property
    def p_value(self) -> float:
        """Of the exact McNemar test: how likely so uneven a split is, were both as good."""
        from scipy.stats import binomtest

        rows = self.first_right + self.second_right
        return float(binomtest(self.first_right, rows).pvalue) if rows else 1.0


def measure(
    registry: Registry, version: str, rows: Labelled, *, encoder: str | None = None, runtime: Runtime = DEFAULT_RUNTIME
) -> Measured:
    """Score labelled rows with a version, and measure it against their labels.

    Raises:
        ConfigurationError: There are too few rows of a class.
        ModelError: The version cannot be used, or was not trained on text and the rows are texts.
    """
    truth = rows.labels != schemas.NOT_PC
    if min(truth.sum(), (~truth).sum()) < evaluation.MIN_ROWS_OF_CLASS:
        raise ConfigurationError(
            "--data must hold rows of PC and of NOT_PC to measure a model on, "
            f"at least {evaluation.MIN_ROWS_OF_CLASS} of each"
        )
    checked, model = registry.load(version)
    vectors = rows.vectors if rows.texts is None else _vectors(registry, checked, rows.texts, encoder, runtime)
    found = scoring.score(model, vectors).probabilities
    probability = np.nan_to_num(scoring.privacy_probability(found, checked.classes))
    threshold = checked.metadata.threshold
    return Measured(
        version,
        probability,
        probability >= threshold,
        evaluation.metrics(truth, probability, threshold),
        evaluation.intervals(truth, probability, threshold),
    )


def _vectors(
    registry: Registry, version: ModelVersion, texts: Sequence[str], encoder: str | None, runtime: Runtime
) -> schemas.Vectors:
    features = version.metadata.features
    if features is None:
        raise ModelError(
            f"{version.name} was trained on vectors and does not say how to make them of text; use a version that was "
            "trained with --text_column"
        )
    address = package.absolute(encoder or package.address_of(registry.root, features.encoder_sha256))
    return Featurizer(EncoderRef(address, features.encoder_sha256), features, runtime).vectors(texts)


def differences(first: Measured, second: Measured, rows: Labelled) -> Difference:
    """Where they label otherwise."""
    truth = rows.labels != schemas.NOT_PC
    flipped = first.positive != second.positive
    return Difference(
        int(flipped.sum()),
        int((flipped & (first.positive == truth)).sum()),
        int((flipped & (second.positive == truth)).sum()),
    )


def f1(metrics: dict[str, float]) -> float:
    """Harmonic mean of precision and recall."""
    return statistics.harmonic_mean((metrics["precision"], metrics["recall"]))


def worse(candidate: dict[str, float], current: dict[str, float]) -> list[str]:
    """In what the candidate is worse than the current by more than TOLERANCE, a phrase each."""

    def better(metrics: dict[str, float]) -> dict[str, float]:
        return {"roc_auc": metrics["roc_auc"], "pr_auc": metrics["pr_auc"], "f1": f1(metrics)}

    found = [
        f"{name} {better(candidate)[name]:.3f} against {value:.3f}"
        for name, value in better(current).items()
        if better(candidate)[name] < value - TOLERANCE
    ]
    if candidate["brier"] > current["brier"] + TOLERANCE:
        found.append(f"brier {candidate['brier']:.3f} against {current['brier']:.3f}")
    return found
