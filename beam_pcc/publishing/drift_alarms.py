"""Which figures of a run differ from the baseline or from the last weeks by more than chance explains.

Every limit is the larger of a practical floor and what sampling noise alone exceeds in at most 1 % of the runs, so a
small day raises no false alarm. Pure functions of counts and sums; docs/models.md lists what they cannot see.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.drift import BlockShift, VectorSums, shifts, swapped_ratio
from beam_pcc.cases.monitoring_row import Alert, Histogram, MonitoringRow
from beam_pcc.models.metadata import Baseline
from beam_pcc.publishing.statistics import psi, psi_of_draws
from beam_pcc.publishing.volume import is_of_volume
from beam_pcc.publishing.warehouse.base import StagedFigures

MIN_CASES = 50  # fewer cases say nothing about a distribution of scores
HISTORY_DAYS = 28
MIN_HISTORY_DAYS = 3
# Share of the baseline's mean norm. A block that half of the rows lack, or that is not normalised, is off by half or
# more; one that is off by less may be due to other messages, so it is an alarm.
NORM_REFUSED, NORM_ALARM = 0.45, 0.05
OVERFLOWS_REFUSED = 0.20  # share of vectors
SWAPPED = 2.0  # times nearer to the baseline with its blocks exchanged
MEAN_ALARM = 0.25  # spreads of the baseline
_FALSE_ALARMS = 0.005  # aimed at; half of what is promised, as the shares of the bins are estimates themselves
_DRAWS = 4_000
# Chebyshev's inequality: a mean lies this many standard errors off in at most 1 % of all samples, of any distribution.
_STANDARD_ERRORS = 10.0
# 99.5 % quantile of chi2 with one degree of freedom. Of all sums of w_i chi2_1 with weights that add up to one, a
# single one has the heaviest tail there (Szekely, Bakirov: Extremal probabilities for Gaussian quadratic forms, 2003):
# the limit holds whatever the covariance of the block is.
_CHI2 = 7.879


@dataclass(frozen=True)
class Drift:
    """What was measured and what came of it.

    Attributes:
        psi: Of the published scores against the training hold-out; None without a baseline or cases.
        psi_recent: The same against the last published weeks; None without enough of them.
        psi_limit: Of psi_recent where there is one, else of psi; None if neither is judged.
        shifts: Of each block with a baseline.
        alerts: The limits that were passed.
        too_few: Whether there are cases, but too few to judge.
    """

    psi: float | None = None
    psi_recent: float | None = None
    psi_limit: float | None = None
    shifts: dict[str, BlockShift] | None = None
    alerts: tuple[Alert, ...] = ()
    too_few: bool = False

    def refusals(self) -> list[str]:
        """What forbids to publish, one phrase each."""
        return [
            f"{alert.name} is {alert.value:.3g} (limit {alert.limit:.3g}): the vectors are not of the kind that the "
            "model was trained on; mend the source, or let this run through with --accept_drift"
            for alert in self.alerts
            if alert.action == "refuse"
        ]

    def notes(self, cases: int) -> str | None:
        """For the monitoring row."""
        alarms = [f"{a.name} {a.value:.3f} is above {a.limit:.3g}" for a in self.alerts if a.action != "refuse"]
        if alarms:
            return f"drift: {'; '.join(alarms)}"
        return f"too few cases to judge drift: {cases:,} of at least {MIN_CASES}" if self.too_few else None


def psi_limit(baseline: Sequence[int], current: Sequence[int], floor: float) -> float:
    """The PSI of two histograms above which they differ by more than chance and more than `floor`.

    Without drift, PSI is about (1/n + 1/m) chi2 with bins - 1 degrees of freedom (Yurdakul: Statistical properties of
    the population stability index, 2018), but sparse bins and the half counts of `psi` bend that at small n. So the
    quantile is drawn: pairs of samples of the two sizes from the pooled shares (a parametric bootstrap, seeded).
    """
    pooled = np.asarray(baseline, np.float64) + np.asarray(current, np.float64) + 0.5
    random = np.random.default_rng(20_180_101)
    shares = pooled / pooled.sum()
    draws = [random.multinomial(sum(counts), shares, size=_DRAWS) for counts in (baseline, current)]
    return max(floor, float(np.quantile(psi_of_draws(*draws), 1 - _FALSE_ALARMS)))


def history_of(rows: Sequence[MonitoringRow], model_version: str | None) -> list[MonitoringRow]:
    """The rows of the same model that have scores; none if they are too few days or cases to compare with.

    A day that was published with a broken block is no example.
    """
    usable = [
        row
        for row in rows
        if row.model_version == model_version
        and row.score_histogram
        and len(row.score_histogram) == schemas.SCORE_BINS
        and not any(alert.action == "accepted" and not is_of_volume(alert) for alert in row.alerts or ())
    ]
    cases = sum(sum(row.score_histogram or ()) for row in usable)
    return usable if len(usable) >= MIN_HISTORY_DAYS and cases >= MIN_CASES else []


def measure(
    figures: StagedFigures,
    vectors: VectorSums,
    baseline: Baseline | None,
    history: Sequence[MonitoringRow],
    max_psi: float,
    *,
    refuse: bool = True,
) -> Drift:
    """Compare a run with the model's baseline and with the last weeks.

    Args:
        figures: Of the rows that would be published.
        vectors: Sums of the vectors that were scored.
        baseline: Of the model; None: only the history is compared with.
        history: As `history_of` returns it.
        max_psi: A PSI below it is never an alarm.
        refuse: Whether a broken block is a refusal; else it is an alert that was accepted.
    """
    scores = figures.score_histogram
    cases = sum(scores)
    alerts: list[Alert] = []
    against_training = psi(baseline.score_histogram, scores) if baseline else None
    recent = _summed([row.score_histogram or () for row in history])
    against_recent = psi(recent, scores) if recent else None
    enough = cases >= MIN_CASES
    limit = None
    name, value, reference = (
        ("score PSI against the last weeks", against_recent, recent)
        if recent
        else ("score PSI against training", against_training, baseline.score_histogram if baseline else ())
    )
    if enough and value is not None:
        limit = psi_limit(reference, scores, max_psi)
        if value > limit:
            alerts.append(Alert(name, value, limit, "alert"))
    moved = shifts(baseline.blocks, vectors) if baseline else {}
    if baseline:
        action = "refuse" if refuse else "accepted"
        scored = figures.predictions + figures.copies + figures.rejected.get(faults.DUPLICATE_CASE_ID.code, 0)
        alerts += _vector_alerts(scored, vectors, baseline, action)
        alerts += _block_alerts(moved, vectors.rows, baseline, history, action)
    judged = baseline is not None or bool(recent)
    return Drift(against_training, against_recent, limit, moved, tuple(alerts), bool(cases and judged and not enough))


def _summed(histograms: Sequence[Histogram]) -> Histogram:
    return tuple(sum(counts) for counts in zip(*histograms, strict=True))


def _vector_alerts(scored: int, vectors: VectorSums, baseline: Baseline, action: str) -> list[Alert]:
    """Of the vectors as a whole; `scored` counts all of them, those beyond float32's range included."""
    alerts = []
    if baseline.blocks and scored and (overflows := 1 - vectors.rows / scored) > OVERFLOWS_REFUSED:
        alerts.append(Alert("share of vectors beyond float32's range", overflows, OVERFLOWS_REFUSED, action))
    if (nearer := swapped_ratio(baseline.blocks, vectors)) > SWAPPED:
        alerts.append(Alert("nearness with swapped blocks", nearer, SWAPPED, action))
    return alerts


def _block_alerts(
    moved: dict[str, BlockShift], rows: int, baseline: Baseline, history: Sequence[MonitoringRow], action: str
) -> list[Alert]:
    """Of each block, which moved so far in the mean of `rows` vectors."""
    alerts = []
    both = 1 / max(rows, 1) + 1 / sum(baseline.score_histogram)
    for name, shift in moved.items():
        norm = baseline.blocks[name].norm_mean
        noise = _STANDARD_ERRORS * baseline.norms.get(name, {}).get("std", 0.0) * math.sqrt(both)
        refused, alarm = (max(share * norm, 1e-3) + noise for share in (NORM_REFUSED, NORM_ALARM))
        if abs(shift.norm) > refused:
            alerts.append(Alert(f"{name} norm shift", abs(shift.norm), refused, action))
        elif abs(shift.norm) > alarm:
            alerts.append(Alert(f"{name} norm shift", abs(shift.norm), alarm, "alert"))
        if rows >= MIN_CASES:
            # Traffic may differ from training every day: with a history, its usual shift is the zero point.
            usual = [v for row in history if (v := getattr(row, f"{name}_mean_shift")) is not None]
            value = abs(shift.mean - statistics.median(usual)) if len(usual) >= MIN_HISTORY_DAYS else shift.mean
            limit = max(MEAN_ALARM, math.sqrt(_CHI2 * both))
            if value > limit:
                alerts.append(Alert(f"{name} mean shift", value, limit, "alert"))
    return alerts
