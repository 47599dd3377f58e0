"""`PccModelHandler`: a model of the registry in Beam's RunInference. One element is one batch of cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from beam_pcc.cases import schemas
from beam_pcc.config.threads import limit_libraries
from beam_pcc.errors import RunError
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.models import deciding, scoring
from beam_pcc.models.explaining import Explainer, log_odds
from beam_pcc.models.loading import ModelVersion
from beam_pcc.shielding import shielded


@dataclass(frozen=True)
class LoadedModel:
    """An estimator, and what explains its scores; not a tuple, as Beam keeps a weak reference to it."""

    estimator: Any
    explainer: Explainer | None


class PccModelHandler(ModelHandler[pa.RecordBatch, PredictionResult, LoadedModel]):
    """Scores CASES batches; `PredictionResult.example` is the batch, `.inference` its `Scores`.

    A worker loads the very bytes that the launcher checked (same path, same digest), once per process.

    Args:
        version: The version that the run is fixed to.
        review_band: Rows this near to the threshold are explained by blocks, if the version has its mean vector.
    """

    def __init__(self, version: ModelVersion, review_band: float) -> None:
        super().__init__()
        self._version = version
        self._review_band = review_band

    @shielded
    def load_model(self) -> LoadedModel:
        """Read, check and load the model file. Raises ModelError."""
        limit_libraries()
        estimator = self._version.file.load()
        mean = self._version.metadata.mean_vector
        explainer = None if mean is None else Explainer(estimator, self._version.classes, mean)
        return LoadedModel(estimator, explainer)

    @shielded
    def run_inference(
        self,
        batch: Sequence[pa.RecordBatch],
        model: LoadedModel,
        inference_args: Mapping[str, Any] | None = None,  # noqa: ARG002 - Beam's signature
    ) -> Iterable[PredictionResult]:
        """Score each batch on its own, and put the deciding vectors in it.

        Rows that the model cannot score are in `Scores.errors`.
        """
        for cases in batch:
            vectors, scores = self._score(cases, model)
            if schemas.WINDOWS in cases.schema.names:  # later steps measure the vectors that decided
                place = cases.schema.get_field_index("vector")
                cases = cases.set_column(place, cases.schema.field(place), schemas.vector_column(vectors))
            yield PredictionResult(cases, scores, self._version.name)

    def _score(self, cases: pa.RecordBatch, model: LoadedModel) -> deciding.Decision:
        features = self._version.metadata.features
        classes = self._version.classes
        try:
            vectors, scores = deciding.score_cases(
                model.estimator, cases, classes, features.discount if features else 0.0
            )
        except EveryRowFailsError as error:
            raise RunError(
                f"the model {self._version.name} fails on every row ({error}), also on one that it scored at launch: "
                "give the workers the launcher's packages, or run with another version"
            ) from None
        if model.explainer is None:
            return deciding.Decision(vectors, scores)
        probability = scoring.privacy_probability(scores.probabilities, classes)
        near = scoring.needs_review(probability, self._version.metadata.threshold, self._review_band)
        blocks = np.full((len(vectors), len(schemas.BLOCKS)), np.nan)
        if near.any():
            odds = log_odds(probability[near])
            if scores.discounts is not None:
                odds += scores.discounts[near]
            blocks[near] = model.explainer.blocks(vectors[near], odds)
        return deciding.Decision(vectors, dataclasses.replace(scores, blocks=blocks, base=model.explainer.base))

    def get_num_bytes(self, batch: Sequence[pa.RecordBatch]) -> int:
        """Bytes of the buffers (Beam's default pickles every batch to count them)."""
        return sum(cases.nbytes for cases in batch)

    def get_metrics_namespace(self) -> str:
        """RunInference's own metrics, such as the latency of a batch, stand beside ours."""
        return "pcc_inference"

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """An element is a batch already."""
        return {"min_batch_size": 1, "max_batch_size": 1}
