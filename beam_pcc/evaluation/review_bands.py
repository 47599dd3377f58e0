"""Which share of the cases, and of the errors among them, lies near the threshold: to choose a review band."""

from __future__ import annotations

import numpy as np

from beam_pcc.evaluation.metrics import Truth
from beam_pcc.models.metadata import Review, ReviewBand
from beam_pcc.models.scoring import Floats, needs_review

BANDS = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30)
MOST_CASES = 0.10
"""Of the rows: what people are thought to have the time to review."""
MIN_ERRORS = 10
"""On fewer errors no band is recommended: where the next one will lie cannot be told from them."""


def review(truth: Truth, probability: Floats, threshold: float) -> Review:
    """Measure each band of BANDS on labelled rows, and recommend one.

    Recommended is the band with the most errors in it of those with at most MOST_CASES of the rows, and the narrowest
    of equals; if each has more rows, the narrowest.

    Args:
        truth: Of rows that the model was not fitted on; at least one.
        probability: P(PC) of the same rows.
        threshold: Of P(PC) at which a case is PC.
    """
    wrong = (probability >= threshold) != truth
    inside = [needs_review(probability, threshold, band) for band in BANDS]
    errors = int(wrong.sum())
    bands = tuple(
        ReviewBand(band, _share(rows, len(truth)), _share(rows & wrong, errors))
        for band, rows in zip(BANDS, inside, strict=True)
    )
    if errors < MIN_ERRORS:
        return Review(bands)
    affordable = [band for band in bands if band.cases <= MOST_CASES] or bands[:1]
    return Review(bands, max(affordable, key=lambda band: (band.errors, -band.band)).band)


def _share(rows: Truth, whole: int) -> float:
    return round(float(np.count_nonzero(rows)) / whole, 6) if whole else 0.0
