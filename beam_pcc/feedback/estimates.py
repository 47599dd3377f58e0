"""Precision, recall and calibration of what was published, from rows of pcc_feedback, with 95 % intervals.

Cases that were drawn for a sample are estimated with their weights, and hold for all published cases; other labels are
counted as they are, and hold for the labelled cases alone. The two are never mixed. Knows nothing of a warehouse.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.feedback import intervals
from beam_pcc.feedback.intervals import Cells, Estimate
from beam_pcc.feedback.sampling import period_of_sample

Basis = Literal["sample", "labels"]
"""What an estimate holds for: all published cases, by a sample of them; or the cases that somebody labelled."""
By = Literal["all", "day", "version", "review", "score"]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


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

    `stratum` is the number of its stratum, and `answered` that one's labelled cases. `weight` is of the sample alone,
    `share` what of it counts where a day has several samples.
    """

    stratum: npt.NDArray[np.int64]
    answered: Floats
    weight: Floats
    share: Floats
    positive: Flags
    truth: Flags
    probability: Floats


def _measure(cases: Mapping[_Key, _Case], every: Mapping[_Key, _Case]) -> Iterator[Measured]:
    """Each group of the cases; `every` has the rest of their samples too."""
    answered = _answered(every)
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
            units = _units(members, basis, answered, covering)
            if len(units.weight):
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


def _answered(cases: Mapping[_Key, _Case]) -> Mapping[tuple[str, str], int]:
    """The labelled cases of each stratum of each sample."""
    answered: dict[tuple[str, str], int] = defaultdict(int)
    for case in cases.values():
        for draw in case.draws.values():
            answered[draw.sample, draw.stratum] += 1
    return answered


def _units(
    members: Sequence[tuple[_Key, _Case, Mapping[str, Any]]],
    basis: Basis,
    answered: Mapping[tuple[str, str], int],
    covering: Callable[[dt.date], int],
) -> _Units:
    """The predictions of one basis. Those of a stratum also stand for the cases drawn from it that have no label."""
    strata = {stratum: number for number, stratum in enumerate(answered)}
    columns: list[tuple[int, int, float, float, bool, bool, float]] = []
    for (_, day), case, row in members:
        positive, probability = row["predicted_label"] == schemas.PC, _probability(row)
        if basis == "labels":
            if not case.draws:
                columns.append((0, 0, 1.0, 1.0, positive, case.truth, probability))
            continue
        for draw in case.draws.values():
            stratum = (draw.sample, draw.stratum)
            labelled = answered[stratum]
            weight = draw.weight * max((draw.drawn or 0) / labelled, 1.0)
            share = 1.0 / max(covering(day), 1)
            columns.append((strata[stratum], labelled, weight, share, positive, case.truth, probability))
    numbers, labelled_, weights, shares, positives, truths, probabilities = (
        zip(*columns, strict=True) if columns else ((),) * 7
    )
    return _Units(
        np.array(numbers, np.int64),
        np.array(labelled_, np.float64),
        np.array(weights, np.float64),
        np.array(shares, np.float64),
        np.array(positives, np.bool_),
        np.array(truths, np.bool_),
        np.array(probabilities, np.float64),
    )


def _cells(units: _Units) -> Cells:
    _, cell = np.unique(2 * units.stratum + units.positive, return_inverse=True)
    rows = np.bincount(cell).astype(np.float64)
    counts = units.weight * units.share
    size, first = np.bincount(cell, counts), np.unique(cell, return_index=True)[1]
    mean_score = np.bincount(cell, units.probability) / rows
    return Cells(
        rows,
        size / rows,
        np.bincount(cell, counts * units.truth) / size,
        units.positive[first].astype(np.float64),
        np.maximum(1.0 - rows / np.bincount(cell, units.weight), 0.0),
        units.stratum[first],
        units.answered[first],
        2 * np.floor(mean_score * schemas.SCORE_BINS).astype(np.int64) + units.positive[first],
    )


def _measured(by: By, value: str | None, basis: Basis, labels: int, units: _Units) -> Measured:
    weight = units.weight * units.share
    total = float(weight.sum())
    if basis == "labels":
        hits = int((units.positive & units.truth).sum())
        precision = intervals.counted(hits, int(units.positive.sum()))
        recall = intervals.counted(hits, int(units.truth.sum()))
        actual = intervals.counted(int(units.truth.sum()), len(units.truth))
    else:
        cells = _cells(units)
        precision, recall, actual = (of(cells) for of in (intervals.precision, intervals.recall, intervals.prevalence))
    if by == "score":  # of which all are published alike
        precision = recall = intervals.UNKNOWN
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
