"""Converts scores to published labels. Pure functions, independent of Beam."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from beam_pcc.cases import faults, schemas
from beam_pcc.models.scoring import Scores, needs_review, privacy_classes, privacy_probability

REVIEW = "review"


def postprocess(
    cases: pa.RecordBatch,
    scores: Scores,
    *,
    classes: Sequence[str],
    threshold: float,
    review_band: float,
    now: dt.datetime,
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

    Returns:
        STAGED_PREDICTIONS of the scored cases, STAGED_REJECTED (model_error) of the others.
    """
    scored = np.ones(cases.num_rows, dtype=bool)
    scored[list(scores.errors)] = False
    case_id, timestamp, content = map(cases.column, ("case_id", "timestamp", "content_digest"))
    probabilities, blocks = scores.probabilities, scores.blocks
    failed = sorted(scores.errors)
    if failed:
        keep = pa.array(scored)
        case_id, timestamp, content = (column.filter(keep) for column in (case_id, timestamp, content))
        probabilities = probabilities[scored]
        blocks = None if blocks is None else blocks[scored]
    n = len(probabilities)

    probability = privacy_probability(probabilities, classes)
    positive = probability >= threshold
    privacy = privacy_classes(classes)
    names = [classes[c] for c in privacy]
    subtypes = np.array([None if n == schemas.PC else n.removeprefix(schemas.SUBTYPE_PREFIX) for n in names], object)
    most_likely = probabilities[:, privacy].argmax(axis=1)
    columns = [
        case_id,
        pa.array(np.where(positive, schemas.PC, schemas.NOT_PC), pa.string()),
        pa.array(np.where(positive, subtypes[most_likely], None), pa.string()),
        pa.array(np.where(positive, probability, 1.0 - probability)),
        pa.array(np.full(n, np.datetime64(now.replace(tzinfo=None), "us"))).cast(timestamp.type),
        _notes(probability, blocks, threshold, review_band),
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


def _notes(probability: np.ndarray, blocks: np.ndarray | None, threshold: float, review_band: float) -> pa.StringArray:
    """The notes of the rows to review, such as "review: margin 0.031; embedding +0.52, tfidf -0.10"; others null."""
    notes = np.full(len(probability), None, dtype=object)
    for row in np.flatnonzero(needs_review(probability, threshold, review_band)):
        note = f"{REVIEW}: margin {abs(probability[row] - threshold):.3f}"
        if blocks is not None:
            strongest = sorted(zip(schemas.BLOCKS, blocks[row], strict=True), key=lambda b: -abs(b[1]))
            note += "; " + ", ".join(f"{name} {weight:+.2f}" for name, weight in strongest)
        notes[row] = note
    return pa.array(notes, pa.string())
