"""Which window of a long message decides: the one of the highest P(PC). Pure functions, independent of Beam."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.features.featurizer import Featurizer
from beam_pcc.features.windows import Window
from beam_pcc.models import scoring
from beam_pcc.models.scoring import Floats, Scores

Counts = npt.NDArray[np.int64]
"""(n,): how many windows each of n messages has, at least one. The windows of a message follow each other."""


class Decision(NamedTuple):
    """What n messages are: the vectors of their deciding windows, (n, 584), and their scores."""

    vectors: schemas.Vectors
    scores: Scores


def decide(
    scores: Scores, counts: Counts, classes: Sequence[str], discount: float
) -> tuple[npt.NDArray[np.int64], Scores]:
    """The scores of messages from those of their windows.

    A message has the probabilities of its window of the highest P(PC), the first of equals. Its odds of PC are divided
    by windows ** discount, as the maximum over more windows is higher by chance. One window keeps its probabilities as
    they are. A message of which a window could not be scored cannot be scored: that window might have decided.

    Args:
        scores: Of all windows of all messages.
        counts: See `Counts`.
        classes: Of the model.
        discount: See `WindowLimits`.

    Returns:
        The deciding window of each of n messages, (n,), as a row of all windows; and the scores of the messages.
    """
    if not len(counts):
        return np.empty(0, dtype=np.int64), scores
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    message = np.repeat(np.arange(len(counts)), counts)
    errors: dict[int, str] = {}
    for row in sorted(scores.errors):
        errors.setdefault(int(message[row]), scores.errors[row])
    probability = np.nan_to_num(scoring.privacy_probability(scores.probabilities, classes), nan=-1.0)
    highest = np.maximum.reduceat(probability, starts)
    places = np.where(probability == highest[message], np.arange(len(message)), len(message))
    rows = np.minimum.reduceat(places, starts).astype(np.int64)
    probabilities = scores.probabilities[rows]
    probabilities[list(errors)] = np.nan
    discounts = discount * np.log(counts)
    several = np.flatnonzero(counts > 1)
    probabilities[several] = discounted(probabilities[several], discounts[several], classes)
    return rows, dataclasses.replace(scores, probabilities=probabilities, errors=errors, discounts=discounts)


def discounted(probabilities: Floats, discounts: Floats, classes: Sequence[str]) -> Floats:
    """Take `discounts` (n,) from the log-odds of PC of each row; its subtypes keep their proportions."""
    privacy = scoring.privacy_classes(classes)
    factors = np.ones_like(probabilities)
    factors[:, privacy] = np.exp(-discounts)[:, None]
    scaled = probabilities * factors
    normalised: Floats = scaled / scaled.sum(axis=1, keepdims=True)
    return normalised


def score_cases(
    model: Any,
    cases: pa.RecordBatch,
    classes: Sequence[str],
    discount: float,
    *,
    vectors: str = "vector",
    windows: str = schemas.WINDOWS,
) -> Decision:
    """Score a CASES batch. All windows of its messages are scored at once, and the deciding ones chosen.

    Args:
        model: The estimator.
        cases: n rows.
        classes: Of the model.
        discount: See `WindowLimits`.
        vectors: The column of vectors.
        windows: The column of windows, which the batch has if a message has several.

    Returns:
        The vectors of the deciding windows, (n, 584), and the scores of the messages.

    Raises:
        EveryRowFailsError: See `scoring.score`.
    """
    if windows not in cases.schema.names:
        every = schemas.vectors_of(cases, vectors)
        return Decision(every, scoring.score(model, every))
    every, counts, places = schemas.windows_of(cases, vectors, windows)
    rows, scores = decide(scoring.score(model, every), counts, classes, discount)
    return Decision(every[rows], dataclasses.replace(scores, places=tuple(places[row] for row in rows)))


class ScoredText(NamedTuple):
    """One message: its windows, P(PC) of each without the discount, and which of them decides.

    `vectors` is (windows, 584), `scores` has one row: the message's.
    """

    windows: tuple[Window, ...]
    probability: Floats
    deciding: int
    vectors: npt.NDArray[np.float32]
    scores: Scores


def score_text(model: Any, classes: Sequence[str], featurizer: Featurizer, text: str) -> ScoredText:
    """Score one message as a run does, and keep what each of its windows says."""
    split = featurizer.split(featurizer.clean([text]))
    vectors = featurizer.window_vectors(split)
    scores = scoring.score(model, vectors)
    rows, decided = decide(scores, split.counts, classes, featurizer.features.discount)
    probability = scoring.privacy_probability(scores.probabilities, classes)
    return ScoredText(split.windows, probability, int(rows[0]), vectors, decided)


def score_texts(model: Any, classes: Sequence[str], featurizer: Featurizer, texts: Sequence[str]) -> Decision:
    """Score messages as a run does."""
    split = featurizer.split(featurizer.clean(texts))
    vectors = featurizer.window_vectors(split)
    rows, scores = decide(scoring.score(model, vectors), split.counts, classes, featurizer.features.discount)
    return Decision(vectors[rows], scores)
