"""Explains scores: what the parts of a vector add to the log-odds of PC. Pure functions, independent of Beam.

All is relative to the mean vector of the training rows: the base is the log-odds of that vector, and a part adds what
changes when its values take the place of the mean's. The two blocks of a vector get their Shapley value (Shapley,
1953): the mean of what a block adds to the mean vector, and of what it adds last. So the base and the two blocks are
the log-odds in sum, for any model. Where the log-odds are linear, a block adds its weights times (vector - mean).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.models import scoring
from beam_pcc.models.scoring import Floats

SUREST = 1e-6
"""A probability nearer to 0 or 1 counts as this near, so that its log-odds are finite: at most 13.8 on either side."""

EMBEDDING, TFIDF = schemas.BLOCKS.values()


def log_odds(probability: Floats) -> Floats:
    """Of P(PC), natural logarithm; NaN of NaN."""
    clipped = np.clip(probability, SUREST, 1.0 - SUREST)
    odds: Floats = np.log(clipped) - np.log1p(-clipped)
    return odds


class TermParts(NamedTuple):
    """What the 200 TF-IDF values of one vector add, and what is left of their block's part."""

    terms: Floats
    rest: float


class Explainer:
    """Explains the scores of one model.

    Args:
        model: The estimator.
        classes: Its classes.
        mean: (584,), the mean vector of its training rows.

    Attributes:
        base: The log-odds of PC of the mean vector; NaN if the model cannot score it.
    """

    def __init__(self, model: Any, classes: Sequence[str], mean: npt.NDArray[np.float32]) -> None:
        self._model = model
        self._classes = tuple(classes)
        self._mean = np.ascontiguousarray(mean, dtype=np.float32)
        self.base = float(self._log_odds(self._mean[None, :])[0])

    def blocks(self, vectors: schemas.Vectors, odds: Floats) -> Floats:
        """(n, 2): what the embedding and the TF-IDF block of each vector add; with the base they sum to `odds`.

        Args:
            vectors: (n, 584).
            odds: (n,), the log-odds of PC of the same rows.

        Returns:
            NaN where the model cannot score a vector of which one block is the mean's.
        """
        n = len(vectors)
        mixed = np.concatenate([vectors, vectors])
        mixed[:n, TFIDF] = self._mean[TFIDF]
        mixed[n:, EMBEDDING] = self._mean[EMBEDDING]
        first = self._log_odds(mixed)
        embedding, tfidf = first[:n], first[n:]
        both: Floats = 0.5 * np.column_stack(
            [embedding - self.base + odds - tfidf, tfidf - self.base + odds - embedding]
        )
        return both

    def terms(self, vector: npt.NDArray[np.float32], odds: float, tfidf: float) -> TermParts:
        """What each TF-IDF value of one vector adds: the mean of that to the mean vector, and of that as the last.

        Exact where the log-odds are linear; else `rest` is not 0.

        Args:
            vector: (584,).
            odds: Its log-odds of PC.
            tfidf: What its TF-IDF block adds.
        """
        places = np.arange(TFIDF.start, TFIDF.stop)
        row = np.arange(len(places))
        alone, without = np.tile(self._mean, (len(row), 1)), np.tile(vector, (len(row), 1))
        alone[row, places] = vector[places]
        without[row, places] = self._mean[places]
        of_alone, of_without = np.split(self._log_odds(np.concatenate([alone, without])), 2)
        parts = 0.5 * (of_alone - self.base + odds - of_without)
        return TermParts(parts, float(tfidf - parts.sum()))

    def _log_odds(self, vectors: schemas.Vectors) -> Floats:
        try:
            probabilities = scoring.score(self._model, vectors).probabilities
        except EveryRowFailsError:  # rows of the run did not
            return np.full(len(vectors), np.nan)
        return log_odds(scoring.privacy_probability(probabilities, self._classes))


def rounded(total: Floats, parts: Floats, digits: int) -> tuple[Floats, Floats]:
    """Round so that the rounded parts are the rounded total in sum: the largest part takes the difference.

    Args:
        total: (n,).
        parts: (n, k), each row the total in sum.
        digits: After the point.
    """
    scale = 10.0**digits
    whole, wholes = np.rint(total * scale), np.rint(parts * scale)
    largest = np.abs(parts).argmax(axis=1)
    wholes[np.arange(len(parts)), largest] += whole - wholes.sum(axis=1)
    return (whole + 0.0) / scale, (wholes + 0.0) / scale  # + 0.0: no minus before a zero
