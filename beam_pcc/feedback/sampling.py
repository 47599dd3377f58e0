"""Draws published cases for people to label: a stratified random sample, and the weight of each case in it.

Strata are the bins of P(PC), each split into the cases marked for review and the others. Within a stratum every case
has the same probability; the weight of a case is one over it, so that weighted sums over the sample are unbiased
estimates of sums over all published cases (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, WarehouseError
from beam_pcc.publishing.warehouse.feedback_table import Stratum

MIN_OF_STRATUM = 2
"""Fewer say nothing of how a stratum varies."""
_KEYS = 16**16
_SAMPLE = re.compile(r"(\d{8})-(\d{8})-(\d+)-[0-9a-f]{8}")


class Published(Protocol):
    """What is asked of a warehouse; its own docstrings say more."""

    def strata(self, first: dt.date, last: dt.date) -> dict[Stratum, int]:
        """Published cases of each stratum."""
        ...

    def draw(self, first: dt.date, last: dt.date, seed: int, cutoffs: Mapping[Stratum, str]) -> pa.Table:
        """Cases below the cut-offs."""
        ...


@dataclass(frozen=True)
class Sample:
    """A sample of the cases that are published for some days.

    Attributes:
        name: FIRST-LAST-ROWS-DIGEST: the days, the number of cases, and what tells this draw from others.
        rows: case_id, partition (the day), sample, stratum, weight, drawn; then predicted_label, confidence, review.
            In random order.
        cases: Published cases of those days.
        strata: How many strata they are in.
    """

    name: str
    rows: pa.Table
    cases: int
    strata: int


def period_of_sample(name: str) -> tuple[dt.date, dt.date, int] | None:
    """The days of a sample and its number of cases, by its name; None for a name that others gave."""
    match = _SAMPLE.fullmatch(name)
    try:
        return (
            (dt.date.fromisoformat(_iso(match[1])), dt.date.fromisoformat(_iso(match[2])), int(match[3]))
            if match
            else None
        )
    except ValueError:
        return None


def _iso(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def allocate(cases: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    """How many of n cases are drawn from each stratum.

    In proportion to the square root of its size (power allocation; Bankier, 1988): a small stratum, in which the PC and
    the errors are, gets more than its share, and a large one enough for the PC that were missed in it. Each gets
    MIN_OF_STRATUM at least, and none more than it has.

    Raises:
        ConfigurationError: n is too small for that.
    """
    counts = {stratum: size for stratum, size in sorted(cases.items()) if size}
    if n >= sum(counts.values()):
        return counts
    drawn = {stratum: min(size, MIN_OF_STRATUM) for stratum, size in counts.items()}
    if n < sum(drawn.values()):
        raise ConfigurationError(
            f"--n {n} is too few: the published cases are in {len(counts)} strata, and each needs {MIN_OF_STRATUM}; "
            f"name at least {sum(drawn.values())}"
        )
    while (left := n - sum(drawn.values())) > 0:
        open_ = [stratum for stratum, size in counts.items() if drawn[stratum] < size]
        # Each in turn to who is furthest below its share: with the highest sqrt(size) for a case that it would get.
        if left > len(open_):
            whole = sum(math.sqrt(counts[stratum]) for stratum in open_)
            shares = {s: min(int(left * math.sqrt(counts[s]) / whole), counts[s] - drawn[s]) for s in open_}
            if any(shares.values()):
                drawn = {stratum: rows + shares.get(stratum, 0) for stratum, rows in drawn.items()}
                continue
        most = max(open_, key=lambda stratum: math.sqrt(counts[stratum]) / (drawn[stratum] + 1))
        drawn[most] += 1
    return drawn


def draw(warehouse: Published, first: dt.date, last: dt.date, n: int, seed: int = 0) -> Sample:
    """Draw n of the cases that are published for these days, both included; all of them if there are fewer.

    The same seed draws the same cases of the same published days.

    Raises:
        ConfigurationError: Nothing is published for these days, or n is too small.
    """
    with progress.task("counting the published cases"):
        counts = warehouse.strata(first, last)
    if not counts:
        days = f"{first:%Y%m%d}" if first == last else f"{first:%Y%m%d} to {last:%Y%m%d}"
        raise ConfigurationError(f"no case is published for {days}; name days with --partition, or --from and --to")
    wanted = allocate(counts, n)
    with progress.task("drawing the cases"):
        drawn = _drawn(warehouse, first, last, seed, counts, wanted)
    total = sum(wanted.values())
    shape = json.dumps([seed, [[*stratum, counts[stratum], wanted[stratum]] for stratum in sorted(wanted)]])
    name = f"{first:%Y%m%d}-{last:%Y%m%d}-{total}-{hashlib.sha256(shape.encode()).hexdigest()[:8]}"
    names = _stratum_names(wanted, name)
    parts = [
        pa.table(
            {
                "case_id": rows.column("case_id"),
                "partition": rows.column("partition_date"),
                "sample": pa.array([name] * len(rows), pa.string()),
                "stratum": pa.array([names[stratum]] * len(rows), pa.string()),
                "weight": pa.array([counts[stratum] / wanted[stratum]] * len(rows), pa.float64()),
                "drawn": pa.array([wanted[stratum]] * len(rows), pa.int64()),
                "predicted_label": rows.column("predicted_label"),
                "confidence": rows.column("confidence"),
                "review": rows.column("review"),
                "key": rows.column("key"),
            }
        )
        for stratum, rows in drawn.items()
    ]
    # By the end of the key, as its beginning is lower where fewer of a stratum are drawn.
    whole = pa.concat_tables(parts)
    order = pc.sort_indices(pa.table({"end": pc.utf8_slice_codeunits(whole.column("key"), 8)}), [("end", "ascending")])
    return Sample(name, whole.take(order).drop_columns(["key"]), sum(counts.values()), len(wanted))


def _stratum_names(strata: Mapping[Stratum, int], sample: str) -> dict[Stratum, str]:
    """Numbers in an order that does not tell whoever labels the case how it was scored."""
    mixed = sorted(strata, key=lambda stratum: hashlib.sha256(f"{sample}:{stratum}".encode()).digest())
    return {stratum: f"s{number:02d}" for number, stratum in enumerate(mixed, 1)}


def _drawn(
    warehouse: Published,
    first: dt.date,
    last: dt.date,
    seed: int,
    counts: Mapping[Stratum, int],
    wanted: Mapping[Stratum, int],
) -> dict[Stratum, pa.Table]:
    """The cases with the lowest keys of each stratum. A cut-off keeps all but a few of the others in the warehouse."""
    drawn: dict[Stratum, pa.Table] = {}
    factor = 1.0
    while missing := {stratum: rows for stratum, rows in wanted.items() if stratum not in drawn}:
        cutoffs = {stratum: _cutoff(rows, counts[stratum], factor) for stratum, rows in missing.items()}
        found = warehouse.draw(first, last, seed, cutoffs)
        for stratum, rows in missing.items():
            bin_, review = stratum
            own = found.filter((pc.field("bin") == bin_) & (pc.field("review") == review))
            if len(own) >= rows:
                drawn[stratum] = own.sort_by([("key", "ascending"), ("case_id", "ascending")]).slice(0, rows)
            elif not cutoffs[stratum]:
                raise WarehouseError("the published cases changed while the sample was drawn; draw again")
        factor *= 4
    return drawn


def _cutoff(rows: int, cases: int, factor: float) -> str:
    """A key below which there are at least so many cases, very probably; empty for all."""
    share = factor * (rows + 6 * math.sqrt(rows) + 10) / cases
    return "" if share >= 1 else f"{int(share * _KEYS):016x}"


def without_predictions(rows: pa.Table) -> pa.Table:
    """What whoever labels the cases may see."""
    return rows.select(["case_id", "partition", "sample", "stratum", "weight", "drawn"])


def with_predictions(rows: pa.Table) -> pa.Table:
    """The same, and what was published."""
    is_pc = pc.equal(rows.column("predicted_label"), schemas.PC)
    confidence = rows.column("confidence")
    probability = pc.if_else(is_pc, confidence, pc.subtract(1.0, confidence))
    return rows.drop_columns(["confidence"]).append_column("probability", probability)
