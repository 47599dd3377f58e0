"""Converts scores to published labels. Pure functions, independent of Beam."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import faults, schemas
from beam_pcc.models import explaining
from beam_pcc.models.scoring import Floats, Scores, needs_review, privacy_classes, privacy_probability

REVIEW = "review"
_NOTE_DIGITS = 2
_PARTS = ("base", *schemas.BLOCKS)
_EXPLAINED = f"; log-odds %+.{_NOTE_DIGITS}f: " + ", ".join(f"{part} %+.{_NOTE_DIGITS}f" for part in _PARTS)


def postprocess(
    cases: pa.RecordBatch,
    scores: Scores,
    *,
    classes: Sequence[str],
    threshold: float,
    review_band: float,
    now: dt.datetime,
    untrained: Sequence[str | None] | None = None,
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Label each scored case; each case is in exactly one of the results.

    A case is PC if P(PC), the sum over PC and its subtypes, is at least `threshold`; its subtype is then the most
    likely privacy class (null for the plain class PC). `confidence` is the probability of the published label.

    Args:
        cases: n CASES rows.
        scores: Their scores.
        classes: The model's classes, in the order of the scores' columns.
        threshold: Of P(PC), between 0 and 1.
        review_band: Cases whose P(PC) is closer to the threshold than this get a note that begins with "review".
        now: The time of scoring (UTC).
        untrained: For each case, the language of its message if the model was not trained on it; it gets a note, too.

    Returns:
        STAGED_PREDICTIONS of the scored cases, STAGED_REJECTED (model_error) of the others.
    """
    scored = np.ones(cases.num_rows, dtype=bool)
    scored[list(scores.errors)] = False
    case_id, timestamp, content = map(cases.column, ("case_id", "timestamp", "content_digest"))
    probabilities, blocks, discounts = scores.probabilities, scores.blocks, scores.discounts
    places = np.array(scores.places or [None] * len(scored), dtype=object)[scored]
    failed = sorted(scores.errors)
    if failed:
        keep = pa.array(scored)
        case_id, timestamp, content = (column.filter(keep) for column in (case_id, timestamp, content))
        probabilities = probabilities[scored]
        blocks = None if blocks is None else blocks[scored]
        discounts = None if discounts is None else discounts[scored]
        untrained = None if untrained is None else list(compress(untrained, scored))
    n = len(probabilities)

    probability = privacy_probability(probabilities, classes)
    positive = probability >= threshold
    privacy = privacy_classes(classes)
    names = [classes[c] for c in privacy]
    subtypes = np.array([None if n == schemas.PC else n.removeprefix(schemas.SUBTYPE_PREFIX) for n in names], object)
    most_likely = probabilities[:, privacy].argmax(axis=1)
    reviews = _reviews(probability, positive, scores.base, blocks, discounts, threshold, review_band)
    columns = [
        case_id,
        pa.array(np.where(positive, schemas.PC, schemas.NOT_PC), pa.string()),
        pa.array(np.where(positive, subtypes[most_likely], None), pa.string()),
        pa.array(np.where(positive, probability, 1.0 - probability)),
        pa.array(np.full(n, np.datetime64(now.replace(tzinfo=None), "us"))).cast(timestamp.type),
        _notes(_with_languages(reviews, untrained), places),
        timestamp,
        content,
    ]
    predictions = pa.RecordBatch.from_arrays(columns, schema=schemas.STAGED_PREDICTIONS)
    reasons = [faults.MODEL_ERROR.code] * len(failed)
    not_scored = faults.rejected(
        cases.column("case_id").take(pa.array(failed, pa.int64())),
        reasons,
        [scores.errors[row] for row in failed],
    )
    return predictions, not_scored


def _notes(reviews: npt.NDArray[np.object_], places: npt.NDArray[np.object_]) -> pa.StringArray:
    """The reviews, each with the part of the message that decided if it was not the whole; null where neither is."""
    for row in np.flatnonzero([place is not None for place in places]):
        reviews[row] = places[row] if reviews[row] is None else f"{reviews[row]}; {places[row]}"
    return pa.array(reviews, pa.string())


def _with_languages(
    reviews: npt.NDArray[np.object_], untrained: Sequence[str | None] | None
) -> npt.NDArray[np.object_]:
    """The reviews, and that of a language, such as "review: language pl not in training"."""
    for row, language in enumerate(untrained or ()):
        if language is not None:
            before = f"{REVIEW}:" if reviews[row] is None else f"{reviews[row]};"
            reviews[row] = f"{before} language {language} not in training"
    return reviews


def _reviews(
    probability: Floats,
    positive: npt.NDArray[np.bool_],
    base: float,
    blocks: Floats | None,
    discounts: Floats | None,
    threshold: float,
    review_band: float,
) -> npt.NDArray[np.object_]:
    """The notes of the rows to review; others None.

    Such as "review: margin 0.031; log-odds +0.12: base -0.50, embedding +0.52, tfidf +0.10". The log-odds are those of
    the published label, and what follows is them in sum.
    """
    notes = np.full(len(probability), None, dtype=object)
    rows = np.flatnonzero(needs_review(probability, threshold, review_band))
    margin = np.abs(probability[rows] - threshold).tolist()
    notes[rows] = [f"{REVIEW}: margin {value:.3f}" for value in margin]
    if blocks is None:
        return notes
    less = np.zeros(len(probability)) if discounts is None else discounts  # the same for any vector, as the base is
    parts = np.column_stack([base - less[rows], blocks[rows]])
    is_explained = np.isfinite(parts).all(axis=1)
    explained, parts = rows[is_explained], parts[is_explained]
    sign = np.where(positive[explained], 1.0, -1.0)
    total, parts = explaining.rounded(
        sign * explaining.log_odds(probability[explained]), sign[:, None] * parts, _NOTE_DIGITS
    )
    values = np.column_stack([total, parts]).tolist()
    notes[explained] += np.array([_EXPLAINED % tuple(row) for row in values], dtype=object)
    return notes
