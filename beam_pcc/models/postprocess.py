"""Converts scores to published labels. Pure functions, independent of Beam."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import faults, schemas
from beam_pcc.models import explaining
from beam_pcc.models.scoring import Floats, Scores, needs_review, privacy_classes, privacy_probability

REVIEW = "review"
_LABELS = pa.array([schemas.NOT_PC, schemas.PC])
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
    case_id, timestamp, content = map(cases.column, ("case_id", "timestamp", "content_digest"))
    probabilities, blocks, discounts, places = scores.probabilities, scores.blocks, scores.discounts, scores.places
    failed = sorted(scores.errors)
    if failed:
        scored = np.ones(cases.num_rows, dtype=bool)
        scored[failed] = False
        keep = pa.array(scored)
        case_id, timestamp, content = (column.filter(keep) for column in (case_id, timestamp, content))
        probabilities = probabilities[scored]
        blocks = None if blocks is None else blocks[scored]
        discounts = None if discounts is None else discounts[scored]
        places = None if places is None else tuple(compress(places, scored))
        untrained = None if untrained is None else list(compress(untrained, scored))
    n = len(probabilities)

    probability = privacy_probability(probabilities, classes)
    positive = probability >= threshold
    notes = _reviews(probability, positive, scores.base, blocks, discounts, threshold, review_band)
    _add_languages(notes, untrained or ())
    _add_places(notes, places or ())
    columns = [
        case_id,
        _LABELS.take(pa.array(positive.view(np.int8))),
        _subtypes(probabilities, positive, classes),
        pa.array(np.where(positive, probability, 1.0 - probability)),
        pa.repeat(pa.scalar(now, timestamp.type), n),
        _sparse(notes, n),
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


def _subtypes(probabilities: Floats, positive: npt.NDArray[np.bool_], classes: Sequence[str]) -> pa.StringArray:
    """The likeliest privacy class of each PC case without its prefix; null for the class PC itself, and if NOT_PC."""
    privacy = privacy_classes(classes)
    names = [classes[c] for c in privacy]
    subtypes = [None if name == schemas.PC else name.removeprefix(schemas.SUBTYPE_PREFIX) for name in names]
    chosen = np.full(len(positive), len(subtypes))  # the null after them
    chosen[positive] = probabilities[np.ix_(positive, privacy)].argmax(axis=1)
    return pa.array([*subtypes, None], pa.string()).take(pa.array(chosen))


def _sparse(notes: Mapping[int, str], n: int) -> pa.StringArray:
    """The notes as a column of n rows, null where there is none."""
    chosen = np.full(n, len(notes))
    chosen[list(notes)] = np.arange(len(notes))
    return pa.array([*notes.values(), None], pa.string()).take(pa.array(chosen))


def _add_places(notes: dict[int, str], places: Sequence[str | None]) -> None:
    """Add the part of a message that decided, if it was not the whole."""
    for row, place in enumerate(places):
        if place is not None:
            notes[row] = f"{notes[row]}; {place}" if row in notes else place


def _add_languages(notes: dict[int, str], untrained: Sequence[str | None]) -> None:
    """Add the review of a language, such as "review: language pl not in training"."""
    for row, language in enumerate(untrained):
        if language is not None:
            before = f"{notes[row]};" if row in notes else f"{REVIEW}:"
            notes[row] = f"{before} language {language} not in training"


def _reviews(
    probability: Floats,
    positive: npt.NDArray[np.bool_],
    base: float,
    blocks: Floats | None,
    discounts: Floats | None,
    threshold: float,
    review_band: float,
) -> dict[int, str]:
    """The notes of the rows to review.

    Such as "review: margin 0.031; log-odds +0.12: base -0.50, embedding +0.52, tfidf +0.10". The log-odds are those of
    the published label, and what follows is them in sum.
    """
    rows = np.flatnonzero(needs_review(probability, threshold, review_band))
    margins = np.abs(probability[rows] - threshold).tolist()
    notes = {row: f"{REVIEW}: margin {margin:.3f}" for row, margin in zip(rows.tolist(), margins, strict=True)}
    if blocks is None or not notes:
        return notes
    less = 0.0 if discounts is None else discounts[rows]  # the same for any vector, as the base is
    parts = np.column_stack([np.full(len(rows), base) - less, blocks[rows]])
    is_explained = np.isfinite(parts).all(axis=1)
    explained, parts = rows[is_explained], parts[is_explained]
    sign = np.where(positive[explained], 1.0, -1.0)
    total, parts = explaining.rounded(
        sign * explaining.log_odds(probability[explained]), sign[:, None] * parts, _NOTE_DIGITS
    )
    for row, values in zip(explained.tolist(), np.column_stack([total, parts]).tolist(), strict=True):
        notes[row] += _EXPLAINED % tuple(values)
    return notes
