"""How well a version labels all rows, and each group of them: shares with intervals.

The rows of one writer resemble each other, so that they tell less than as many rows of as many writers; the intervals
allow for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError
from beam_pcc.evaluation.labelled import Labelled
from beam_pcc.evaluation.metrics import Truth, wilson_of_share
from beam_pcc.models.scoring import Floats

MAX_VALUES = 50
"""Of a column: one with more is no group, but perhaps the content of the rows, which must not be printed."""
MAX_VALUE_LENGTH = 40


@dataclass(frozen=True)
class Share:
    """How many of `rows` are labelled right, with the 95 % interval; `value` is None without rows."""

    rows: int
    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """The rows with one value of a column; all rows if `column` is None.

    Attributes:
        column: The column.
        value: Its value.
        right: Of all rows of the group.
        pc_found: Of the rows that are PC.
        not_pc_kept: Of those that are NOT_PC.
    """

    column: str | None
    value: str | None
    right: Share
    pc_found: Share
    not_pc_kept: Share


def evaluate(
    rows: Labelled, probability: Floats, threshold: float, by: Sequence[str], writer: str | None
) -> list[Group]:
    """All rows, then each value of each column, in the order of the names.

    Args:
        rows: With the columns of `by`, and `writer`.
        probability: (n,) P(PC).
        threshold: Of P(PC) at which a case is PC.
        by: Columns.
        writer: The column of the writer; None if each row has its own. So have rows without a value.

    Raises:
        ConfigurationError: A column has more than MAX_VALUES values.
    """
    truth = rows.labels != schemas.NOT_PC
    right = (probability >= threshold) == truth
    writers = _numbers(rows.columns[writer] if writer is not None else (None,) * len(truth))
    groups = [_group(None, None, np.ones(len(truth), dtype=bool), truth, right, writers)]
    for column, value, members in _members(rows.columns, by):
        groups.append(_group(column, value, members, truth, right, writers))
    return groups


def _members(columns: Mapping[str, Sequence[str | None]], by: Sequence[str]) -> Iterator[tuple[str, str, Truth]]:
    for column in by:
        values = np.array([value or "none" for value in columns[column]], dtype=object)
        names = sorted(set(values.tolist()))
        if len(names) > MAX_VALUES or max(map(len, names), default=0) > MAX_VALUE_LENGTH:
            raise ConfigurationError(
                f"--by {column}: the column has {len(names):,} values; a group has a name of at most "
                f"{MAX_VALUE_LENGTH} characters, and there are at most {MAX_VALUES}; choose another column"
            )
        yield from ((column, name, values == name) for name in names)


def _numbers(writers: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """A number for each writer; rows without one have a number of their own."""
    names: dict[str | int, int] = {}
    return np.array([names.setdefault(row if name is None else name, row) for row, name in enumerate(writers)])


def _group(
    column: str | None, value: str | None, members: Truth, truth: Truth, right: Truth, writers: npt.NDArray[np.int64]
) -> Group:
    shares = (share(right[part], writers[part]) for part in (members, members & truth, members & ~truth))
    return Group(column, value, *shares)


def share(right: Truth, writers: npt.NDArray[np.int64]) -> Share:
    """The share of rows that are right, with Wilson's interval for the effective number of rows.

    That number is the number of rows divided by the design effect (Kish, 1965): the variance of the share between
    writers, over the one that independent rows would have, and at least 1. It is 1 if each row has a writer of its own.

    Args:
        right: (n,) whether the row is labelled right.
        writers: (n,) the number of its writer.
    """
    rows = len(right)
    if not rows:
        return Share(0, None, 0.0, 1.0)
    value = float(right.mean())
    low, high = wilson_of_share(value, rows / _design_effect(right, writers))
    return Share(rows, round(value, 6), round(float(low), 6), round(float(high), 6))


def _design_effect(right: Truth, writers: npt.NDArray[np.int64]) -> float:
    rows, value = len(right), float(right.mean())
    _, numbers = np.unique(writers, return_inverse=True)
    count = int(numbers.max()) + 1
    independent = value * (1 - value) / rows
    if count == rows or count < 2 or not independent:
        return 1.0
    residuals = np.bincount(numbers, weights=right - value)
    between = count / (count - 1) * float((residuals**2).sum()) / rows**2
    return max(1.0, between / independent)
