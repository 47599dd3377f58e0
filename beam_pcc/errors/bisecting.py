"""Which rows of a batch make a computation fail, and whether it is the rows or the computation itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beam_pcc.errors.machine import blames_no_row

FAILURES = 20
"""So many rows fail alone, and none succeeds, before the computation itself is suspected. Fewer may be a bad stretch of
rows; more would call a broken model or encoder twice for each row of the day."""


class EveryRowFailsError(Exception):
    """A computation fails on each row, and on one that it is known to manage. The text is the exception's type."""


def failing_rows(
    compute: Callable[[Sequence[int]], object],
    rows: Sequence[int],
    *,
    known_good: Callable[[], object],
    first: Sequence[int] = (),
) -> dict[int, Exception]:
    """Compute all rows except those that fail alone, which are found by halving.

    Args:
        compute: Computes these rows and keeps their results; raises if one of them fails.
        rows: The rows of a batch that failed as a whole.
        known_good: Computes a row that the computation managed at launch; raises if it does not any more.
        first: Those of the rows that are the likeliest to fail; they are computed apart.

    Returns:
        The exception of each failing row.

    Raises:
        EveryRowFailsError: The first rows fail, and `known_good` too.
        Exception: What was raised is not about rows, such as a MemoryError.
    """
    apart = set(first)
    parts = [[row for row in rows if row not in apart], list(first)] if apart else _halves(rows)
    failures: dict[int, Exception] = {}
    has_succeeded = False
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            compute(part)
        except Exception as error:  # a model or an encoder may raise anything for a row
            if blames_no_row(error):
                raise
            if len(part) > 1:
                parts += _halves(part)
                continue
            failures[part[0]] = error
            if not has_succeeded and len(failures) == min(FAILURES, len(rows)):
                _require(known_good)
        else:
            has_succeeded = True
    return failures


def _halves(rows: Sequence[int]) -> list[list[int]]:
    """The second half, then the first: the last of a list is computed next."""
    half = len(rows) // 2
    return [list(rows[half:]), list(rows[:half])]


def _require(known_good: Callable[[], object]) -> None:
    try:
        known_good()
    except Exception as error:  # as above
        if blames_no_row(error):
            raise
        raise EveryRowFailsError(type(error).__name__) from error
