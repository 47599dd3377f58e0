"""Whether a candidate is worse than another version on the same rows: a paired bootstrap of the differences.

Both versions are measured on the same resampled rows, so that what makes rows easy or hard for both cancels out. Knows
nothing of a registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from beam_pcc import progress
from beam_pcc.evaluation.metrics import CONFIDENCE, Truth
from beam_pcc.models.scoring import Floats

NAMES = ("roc_auc", "pr_auc", "f1", "brier")
TOLERANCE = 0.01
"""A metric is not worse for a loss up to this, even if it is certain: it would not be noticed."""
RESAMPLES = 1_000
_FEWEST_RESAMPLES = 200
_MOST_CELLS = 40_000_000  # rows times resamples in all: of very many rows fewer resamples tell as much
_CONSTANT = 1e-9  # a standard error below it is of rounding
_CELLS = 1_000_000  # rows times resamples in memory at once


class Scored(NamedTuple):
    """What a version says of n rows: P(PC), (n,), and the threshold at which a case is PC."""

    probability: Floats
    threshold: float


class Change(NamedTuple):
    """A metric of both versions, and the interval of the candidate's gain, which is negative if it is worse.

    `low` and `high` hold the gains of all metrics at once in CONFIDENCE of the samples.
    """

    name: str
    current: float
    candidate: float
    gain: float
    low: float
    high: float

    @property
    def is_worse(self) -> bool:
        """Whether the loss is above TOLERANCE, and more than chance explains."""
        return self.gain < -TOLERANCE and self.high < 0


def changes(truth: Truth, current: Scored, candidate: Scored, *, seed: int = 0) -> list[Change]:
    """Compare two versions on n rows, at least one of each class.

    The interval of each gain is of the same number of standard errors: the one that the largest error of the four
    exceeds in 1 - CONFIDENCE of the resamples on both sides together (the max-t method of Westfall and Young, 1993).
    So the chance that equally good versions differ in any of them is bounded, not that of each. Classes are resampled
    separately.

    Args:
        truth: (n,) whether the row is PC.
        current: Of the same rows.
        candidate: Of the same rows.
        seed: Of the resamples.
    """
    once = np.ones((1, len(truth)))
    before, after = (values(truth, one, once)[0] for one in (current, candidate))
    gain = _higher_is_better(after) - _higher_is_better(before)
    resampled = np.concatenate(
        [
            _higher_is_better(values(truth, candidate, counts)) - _higher_is_better(values(truth, current, counts))
            for counts in _resamples(truth, np.random.default_rng(seed))
        ]
    )
    error = resampled.std(axis=0, ddof=1)
    # A metric that is the same in every resample has no error, and its gain is certain.
    deviations = np.divide(resampled - gain, error, out=np.zeros_like(resampled), where=error > _CONSTANT)
    tail = (1 - CONFIDENCE) / 2
    over, under = (float(np.quantile((sign * deviations).max(axis=1), 1 - tail)) for sign in (1, -1))
    return [
        Change(
            name,
            current=round(float(before[place]), 6),
            candidate=round(float(after[place]), 6),
            gain=round(float(gain[place]), 6),
            low=round(float(gain[place] - over * error[place]), 6),
            high=round(float(gain[place] + under * error[place]), 6),
        )
        for place, name in enumerate(NAMES)
    ]


def _higher_is_better(metrics: Floats) -> Floats:
    turned: Floats = metrics * np.array([1.0, 1.0, 1.0, -1.0])
    return turned


def _resamples(truth: Truth, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each row is drawn, (k, n), RESAMPLES in all, or fewer of more than 40,000 rows."""
    resamples = min(RESAMPLES, max(_FEWEST_RESAMPLES, _MOST_CELLS // len(truth)))
    size = max(1, min(resamples, _CELLS // len(truth)))
    groups = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    with progress.task("comparing the versions", total=resamples, unit="resamples") as step:
        for start in range(0, resamples, size):
            number = min(size, resamples - start)
            counts = np.zeros((number, len(truth)))
            for rows in groups:
                counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=number)
            yield counts
            step.advance(number)


def values(truth: Truth, scored: Scored, counts: Floats) -> Floats:
    """The metrics of NAMES, (k, 4), of k samples in which row i is counts[:, i] times.

    The same as scikit-learn's with sample weights, but of all samples at once. Each sample needs rows of both classes.

    Args:
        truth: (n,).
        scored: Of n rows.
        counts: (k, n).
    """
    order = np.argsort(-scored.probability, kind="stable")
    probability, pc = scored.probability[order], truth[order]
    ends = np.append(np.flatnonzero(np.diff(probability)), len(probability) - 1)  # equal scores are one step
    sorted_counts = counts[:, order]
    hits = np.cumsum(sorted_counts * pc, axis=1)[:, ends]
    reached = np.cumsum(sorted_counts, axis=1)[:, ends]
    false_alarms = reached - hits
    positives, negatives = hits[:, -1], false_alarms[:, -1]
    new_hits, new_alarms = np.diff(hits, axis=1, prepend=0), np.diff(false_alarms, axis=1, prepend=0)
    roc_auc = (new_alarms * (hits - new_hits / 2)).sum(axis=1) / (positives * negatives)
    precision = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
    pr_auc = (new_hits * precision).sum(axis=1) / positives
    positive = scored.probability >= scored.threshold
    found, wrong = counts @ (truth & positive), counts @ (~truth & positive)
    f1 = 2 * found / (positives + found + wrong)
    brier = counts @ (scored.probability - truth) ** 2 / counts.sum(axis=1)
    return np.stack([roc_auc, pr_auc, f1, brier], axis=1)
