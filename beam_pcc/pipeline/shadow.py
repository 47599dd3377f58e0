"""Shadow scoring: a second model says what it would have said of each case; only sums come of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from apache_beam.ml.inference.base import PredictionResult

from beam_pcc.cases import schemas
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.models import deciding, scoring
from beam_pcc.models.registry import ModelVersion
from beam_pcc.pipeline.bundles import StatsDoFn
from beam_pcc.publishing.statistics import ShadowStats, score_histogram
from beam_pcc.shielding import shielded
from beam_pcc.terminal import logger

_log = logger(__name__)


def compare(own: scoring.Floats, other: scoring.Floats, *, own_threshold: float, other_threshold: float) -> ShadowStats:
    """What the P(PC) of two models, each (n,) and NaN where it could not score, say of the same cases."""
    both = np.isfinite(own) & np.isfinite(other)
    own, other = own[both], other[both]
    flipped = int(((own >= own_threshold) != (other >= other_threshold)).sum())
    return ShadowStats(len(own), flipped, score_histogram(own), score_histogram(other))


@shielded
class CompareShadow(StatsDoFn):
    """PredictionResult -> RunStats of a bundle: scores the same cases with the shadow model.

    Args:
        shadow: The second model; the bytes that the launcher checked are loaded.
        classes: Of the run's own model.
        threshold: Of the run's own model.
    """

    stats_tag = None

    def __init__(self, shadow: ModelVersion, classes: Sequence[str], threshold: float) -> None:
        self._shadow = shadow
        self._classes = tuple(classes)
        self._threshold = threshold

    def setup(self) -> None:
        """Load the model, checked as the run's own is."""
        self._model = self._shadow.file.load()

    def process(self, result: PredictionResult) -> None:
        """Compare one batch."""
        cases = result.example
        own_features = schemas.SHADOW_VECTOR in cases.schema.names
        vectors, windows = (
            (schemas.SHADOW_VECTOR, schemas.SHADOW_WINDOWS) if own_features else ("vector", schemas.WINDOWS)
        )
        features = self._shadow.metadata.features
        try:
            probabilities = deciding.score_cases(
                self._model,
                cases,
                self._shadow.classes,
                features.discount if features else 0.0,
                vectors=vectors,
                windows=windows,
            ).scores.probabilities
        except EveryRowFailsError as error:  # the day does not depend on the shadow
            _log.warning("the shadow %s fails on every row (%s); it is compared on none", self._shadow.name, error)
            probabilities = np.full((cases.num_rows, len(self._shadow.classes)), np.nan)
        own = scoring.privacy_probability(result.inference.probabilities, self._classes)
        other = scoring.privacy_probability(probabilities, self._shadow.classes)
        self.stats.shadow += compare(
            own, other, own_threshold=self._threshold, other_threshold=self._shadow.metadata.threshold
        )
