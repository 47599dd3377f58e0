"""Precision, recall and calibration of what was published, from rows of pcc_feedback, with 95 % intervals.

Cases that were drawn for a sample are estimated with their weights, and hold for all published cases; other labels are
counted as they are, and hold for the labelled cases alone. The two are never mixed. Knows nothing of a warehouse.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.evaluation.metrics import CONFIDENCE
from beam_pcc.feedback.sampling import period_of_sample

Basis = Literal["sample", "labels"]
"""What an estimate holds for: all published cases, by a sample of them; or the cases that somebody labelled."""
By = Literal["all", "day", "version", "review", "score"]
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_GRID = np.linspace(0.0, 1.0, 2001)
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A share with its interval; `value` is None if there is nothing to count."""

    value: float | None
    low: float
    high: float


UNKNOWN = Estimate(None, 0.0, 1.0)


@dataclass(frozen=True)
class Measured:
    """What is known of some published cases.

    Attributes:
        by: What the cases have in common.
        value: The day, version, review status or range of scores; None of all cases.
        basis: What the figures hold for.
        labels: Labelled cases.
        cases: Cases that they stand for.
        precision: Of the cases published as PC, the share that is PC; not of a range of scores, as recall.
        recall: Of the cases that are PC, the share that was published as PC.
        probability: Mean P(PC) of the cases.
        actual: Share of the cases that is PC: equal to `probability` if that is calibrated.
        brier: Mean squared difference between P(PC) and what the case is.
    """

    by: By
    value: str | None
    basis: Basis
    labels: int
    cases: float
    precision: Estimate
    recall: Estimate
    probability: float
    actual: Estimate
    brier: float


@dataclass(frozen=True)
class Feedback:
    """What the labels say.

    Attributes:
        measured: All, then each day, version, review status and range of scores; each by samples, then by other labels.
        labelled: Predictions with a label: cases, counted on each day.
        unknown: Labels for which no prediction was published.
        replaced: Labels that a newer one of the same source replaces.
        disagreeing: Cases of which sources say different things; the newest label counts.
        drawn: Cases of the samples of which some are labelled; None if a sample does not say how many it has.
        answered: Those of them that are labelled.
    """

    measured: tuple[Measured, ...] = ()
    labelled: int = 0
    unknown: int = 0
    replaced: int = 0
    disagreeing: int = 0
    drawn: int | None = 0
    answered: int = 0

    def of(self, by: By) -> tuple[Measured, ...]:
        """The figures of one kind of group."""
        return tuple(one for one in self.measured if one.by == by)


class _Draw(NamedTuple):
    sample: str
    stratum: str
    weight: float
    drawn: int | None


@dataclass
class _Case:
    """A case of a day: its label, what was published of it, and the samples that it is in."""

    truth: bool
    replaced: int
    disagreeing: bool
    predictions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    draws: dict[str, _Draw] = field(default_factory=dict)

    def latest(self) -> Mapping[str, Any]:
        """The prediction that was published last."""
        return max(self.predictions.values(), key=_published)


def _published(row: Mapping[str, Any]) -> tuple[float, str]:
    at = row["published_at"]
    return (at.timestamp() if isinstance(at, dt.datetime) else -math.inf, str(row["model_version"]))


_Key = tuple[str, dt.date]


def feedback_of(rows: pa.Table, first: dt.date, last: dt.date, source: str | None = None) -> Feedback:
    """Estimate from FEEDBACK rows, which a person may have changed: those that do not fit are left out.

    Args:
        rows: Of the days, and the others of the samples that these days are in: weights are of a whole sample.
        first: The first day to report on.
        last: The last day.
        source: Only labels of this source.
    """
    known, unknown_keys = [], set()
    known_labels = set()
    for row in rows.to_pylist():
        if not _fits(row) or (source is not None and row["source"] != source):
            continue
        label = (row["case_id"], row["source"], row["label_time"])
        if row["model_version"] is None or row["partition_date"] is None or not _has_prediction(row):
            unknown_keys.add(label)
        else:
            known.append(row)
            known_labels.add(label)
    every = _cases(known)
    cases = {key: case for key, case in every.items() if first <= key[1] <= last}
    drawn, answered = _response(every)
    return Feedback(
        tuple(_measure(cases, every)),
        len(cases),
        len(unknown_keys - known_labels),
        sum(case.replaced for case in cases.values()),
        sum(case.disagreeing for case in cases.values()),
        drawn,
        answered,
    )


def _fits(row: Mapping[str, Any]) -> bool:
    return row["label"] in (schemas.PC, schemas.NOT_PC) and row["label_time"] is not None and bool(row["case_id"])


def _has_prediction(row: Mapping[str, Any]) -> bool:
    confidence = row["confidence"]
    return (
        row["predicted_label"] in (schemas.PC, schemas.NOT_PC)
        and isinstance(confidence, float)
        and 0.0 <= confidence <= 1.0
    )


def _said(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The order of labels: by their time, then by when they were imported."""
    imported = row["ingestion_time"]
    return (row["label_time"].timestamp(), imported.timestamp() if imported else -math.inf, str(row["source"]))


def _cases(rows: Iterable[Mapping[str, Any]]) -> dict[_Key, _Case]:
    """The cases of each day."""
    of_key: dict[_Key, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        of_key[row["case_id"], row["partition_date"]].append(row)
    cases: dict[_Key, _Case] = {}
    for key, labels in sorted(of_key.items()):
        newest: dict[str, Mapping[str, Any]] = {}
        for row in sorted(labels, key=_said):
            newest[row["source"]] = row
        case = _Case(
            max(newest.values(), key=_said)["label"] == schemas.PC,
            replaced=len({(row["source"], row["label_time"], row["label"]) for row in labels}) - len(newest),
            disagreeing=len({row["label"] for row in newest.values()}) > 1,
        )
        for row in sorted(labels, key=_published):
            case.predictions[row["model_version"]] = row
        for row in labels:
            weight = row["weight"]
            if isinstance(weight, float) and 1.0 <= weight < math.inf:
                sample = row["sample"] or ""
                case.draws[sample] = _Draw(sample, row["stratum"] or "", weight, row["drawn"])
        cases[key] = case
    return cases


def _response(cases: Mapping[_Key, _Case]) -> tuple[int | None, int]:
    """Cases of the samples, and the labelled ones of them."""
    answered: dict[str, int] = defaultdict(int)
    for case in cases.values():
        for sample in case.draws:
            answered[sample] += 1
    periods = [period_of_sample(sample) for sample in answered]
    drawn = None if None in periods else sum(period[2] for period in periods if period)
    return drawn, sum(answered.values())


class _Units(NamedTuple):
    """n labelled predictions, a case once for each sample that it is in.

    `weight` is of the sample alone, `share` what of it counts where a day has several samples.
    """

    cell: npt.NDArray[np.int64]
    weight: Floats
    share: Floats
    positive: Flags
    truth: Flags
    probability: Floats

    def take(self, mask: Flags) -> _Units:
        return _Units(
            self.cell[mask],
            self.weight[mask],
            self.share[mask],
            self.positive[mask],
            self.truth[mask],
            self.probability[mask],
        )


def _measure(cases: Mapping[_Key, _Case], every: Mapping[_Key, _Case]) -> Iterator[Measured]:
    """Each group of the cases; `every` has the rest of their samples too."""
    adjusted = _adjustments(every)
    samples = {sample for case in every.values() for sample in case.draws}
    periods = {sample: period_of_sample(sample) for sample in samples}
    days_of_sample: dict[str, set[dt.date]] = defaultdict(set)
    for (_, day), case in every.items():
        for sample in case.draws:
            days_of_sample[sample].add(day)

    def covering(day: dt.date) -> int:
        """How many samples the day is in: each estimates the whole, so that their mean does."""
        return sum(
            period[0] <= day <= period[1] if (period := periods[sample]) else day in days_of_sample[sample]
            for sample in samples
        )

    latest = [(key, case, case.latest()) for key, case in cases.items()]
    of_versions = [(key, case, row) for key, case in cases.items() for row in case.predictions.values()]
    groups: list[tuple[By, str | None, list[tuple[_Key, _Case, Mapping[str, Any]]]]] = [("all", None, latest)]
    groups += _grouped("day", latest, lambda key, _: key[1].isoformat())
    groups += _grouped("version", of_versions, lambda _, row: str(row["model_version"]))
    groups += _grouped("review", latest, lambda _, row: "review" if row["review"] else "no review")
    groups += _grouped("score", latest, lambda _, row: _bin(row))
    for by, value, members in groups:
        for basis in ("sample", "labels"):
            units = _units(members, basis, adjusted, covering)
            if len(units.cell):
                labels = sum(bool(case.draws) == (basis == "sample") for _, case, _ in members)
                yield _measured(by, value, basis, labels, units)


def _grouped(by: By, members: Sequence[tuple[_Key, _Case, Mapping[str, Any]]], name: Any) -> list[Any]:
    parts: dict[str, list[Any]] = defaultdict(list)
    for member in members:
        parts[name(member[0], member[2])].append(member)
    return [(by, value, parts[value]) for value in sorted(parts)]


def _probability(row: Mapping[str, Any]) -> float:
    """P(PC)."""
    confidence: float = row["confidence"]
    return confidence if row["predicted_label"] == schemas.PC else 1.0 - confidence


def _bin(row: Mapping[str, Any]) -> str:
    number = min(int(_probability(row) * schemas.SCORE_BINS), schemas.SCORE_BINS - 1)
    return f"{number / schemas.SCORE_BINS:.1f} to {(number + 1) / schemas.SCORE_BINS:.1f}"


def _adjustments(cases: Mapping[_Key, _Case]) -> dict[tuple[str, str], float]:
    """By how much more a labelled case of each stratum counts, so that it also stands for the drawn without a label."""
    answered: dict[tuple[str, str], int] = defaultdict(int)
    drawn: dict[tuple[str, str], int] = {}
    for case in cases.values():
        for draw in case.draws.values():
            key = (draw.sample, draw.stratum)
            answered[key] += 1
            drawn[key] = max(drawn.get(key, 0), draw.drawn or 0)
    return {key: max(drawn[key] / answered[key], 1.0) for key in answered}


def _units(
    members: Sequence[tuple[_Key, _Case, Mapping[str, Any]]],
    basis: Basis,
    adjusted: Mapping[tuple[str, str], float],
    covering: Any,
) -> _Units:
    cells: dict[Any, int] = {}
    columns: list[tuple[int, float, float, bool, bool, float]] = []
    for (_, day), case, row in members:
        positive, probability = row["predicted_label"] == schemas.PC, _probability(row)
        if basis == "labels":
            if not case.draws:
                columns.append((0, 1.0, 1.0, positive, case.truth, probability))
            continue
        for draw in case.draws.values():
            cell = cells.setdefault((draw.sample, draw.stratum, positive), len(cells))
            weight = draw.weight * adjusted[draw.sample, draw.stratum]
            columns.append((cell, weight, 1.0 / max(covering(day), 1), positive, case.truth, probability))
    numbers, weights, shares, positives, truths, probabilities = zip(*columns, strict=True) if columns else ((),) * 6
    return _Units(
        np.array(numbers, np.int64),
        np.array(weights, np.float64),
        np.array(shares, np.float64),
        np.array(positives, np.bool_),
        np.array(truths, np.bool_),
        np.array(probabilities, np.float64),
    )


def _measured(by: By, value: str | None, basis: Basis, labels: int, units: _Units) -> Measured:
    weight = units.weight * units.share
    total = float(weight.sum())
    if basis == "labels":
        hits = int((units.positive & units.truth).sum())
        precision = counted(hits, int(units.positive.sum()))
        recall = counted(hits, int(units.truth.sum()))
        actual = counted(int(units.truth.sum()), len(units.truth))
    else:
        published, others = _total(units.take(units.positive)), _total(units.take(~units.positive))
        precision, recall = _share(published), _recall(published, others)
        actual = _share(_total(units))
    if by == "score":  # of which all are published alike
        precision = recall = UNKNOWN
    return Measured(
        by,
        value,
        basis,
        labels,
        round(total, 3),
        precision,
        recall,
        round(float((weight * units.probability).sum()) / total, 6),
        actual,
        round(float((weight * (units.probability - units.truth) ** 2).sum()) / total, 6),
    )


def wilson(share: Any, rows: Any) -> tuple[Any, Any]:
    """Wilson's score interval (1927) of a share of rows; also of arrays, and of a number of rows that is not whole."""
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def counted(hits: int, rows: int) -> Estimate:
    """A share of rows that are all labelled alike."""
    if not rows:
        return UNKNOWN
    low, high = wilson(hits / rows, rows)
    return _rounded(hits / rows, float(low), float(high))


def _rounded(value: float, low: float, high: float) -> Estimate:
    value = min(max(value, 0.0), 1.0)
    return Estimate(round(value, 6), round(max(min(low, value), 0.0), 6), round(min(max(high, value), 1.0), 6))


class _Total(NamedTuple):
    """The estimated number of PC among `cases`, and how far it may be below and above."""

    cases: float
    value: float
    below: float
    above: float


def _total(units: _Units) -> _Total:
    """The PC of all cells, each with Wilson's interval of its own share, joined by their squares (MOVER).

    So a stratum in which no PC was found says how many may yet be in it, which resampling would take for none. (Zou and
    Donner, 2008, of sums; Yan and Su, 2010, of stratified shares.) Where much of a stratum is labelled, less is open:
    the finite population correction.
    """
    cases = value = below = above = 0.0
    for cell in np.unique(units.cell):
        rows = units.take(units.cell == cell)
        counts = rows.weight * rows.share
        size, m = float(counts.sum()), len(counts)
        share = float((counts * rows.truth).sum()) / size
        low, high = wilson(share, m)
        open_ = max(1.0 - m / float(rows.weight.sum()), 0.0)
        cases += size
        value += size * share
        below += open_ * (size * (share - low)) ** 2
        above += open_ * (size * (high - share)) ** 2
    return _Total(cases, value, math.sqrt(below), math.sqrt(above))


def _share(total: _Total) -> Estimate:
    if not total.cases:
        return UNKNOWN
    return _rounded(
        total.value / total.cases,
        (total.value - total.below) / total.cases,
        (total.value + total.above) / total.cases,
    )


def _recall(published: _Total, others: _Total) -> Estimate:
    """Found / (found + missed): the shares R for which (1 - R) found - R missed may be 0 (Fieller, with MOVER)."""
    found, missed = published.value, others.value
    if not found + missed:
        return UNKNOWN
    middle = (1 - _GRID) * found - _GRID * missed
    low = middle - np.hypot((1 - _GRID) * published.below, _GRID * others.above)
    high = middle + np.hypot((1 - _GRID) * published.above, _GRID * others.below)
    possible = _GRID[(low <= 0) & (high >= 0)]
    value = found / (found + missed)
    return _rounded(value, float(possible.min(initial=value)), float(possible.max(initial=value)))
