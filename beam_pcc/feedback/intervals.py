"""95 % intervals of shares: of rows that all count the same, and of cases of a stratified sample. Pure functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from beam_pcc.evaluation.metrics import Z, wilson_of_share

Floats = npt.NDArray[np.float64]
# Shares that are tried: evenly, and ever closer to 0 and to 1.
_LOGITS = np.linspace(-14.0, 14.0, 2001)
_GRID: Floats = np.unique(np.concatenate([np.linspace(0.0, 1.0, 1001), 1 / (1 + np.exp(-_LOGITS))]))


class Estimate(NamedTuple):
    """A share with its interval; `value` is None if there is nothing to count."""

    value: float | None
    low: float
    high: float


UNKNOWN = Estimate(None, 0.0, 1.0)


class Cells(NamedTuple):
    """k groups of labelled cases: of one stratum, and published alike.

    Attributes:
        rows: (k,) labelled cases.
        weight: (k,) cases that each of them stands for.
        share: (k,) what part of them is PC.
        published: (k,) 1.0 if they are published as PC, else 0.0.
        open: (k,) what part of their stratum is not labelled.
        stratum: (k,) its number.
        answered: (k,) all labelled cases of the stratum, of which other groups have some.
        pool: (k,) the number of the pool: cells that are published alike, of like scores, are judged together.
    """

    rows: Floats
    weight: Floats
    share: Floats
    published: Floats
    open: Floats
    stratum: npt.NDArray[np.int64]
    answered: Floats
    pool: npt.NDArray[np.int64]


def counted(hits: int, rows: int) -> Estimate:
    """The share of rows that all count the same."""
    if not rows:
        return UNKNOWN
    low, high = wilson_of_share(hits / rows, rows)
    return _rounded(hits / rows, float(low), float(high))


def precision(cells: Cells) -> Estimate:
    """Of the cases published as PC, the share that is PC."""
    size = cells.rows * cells.weight * cells.published
    if not size.any():
        return UNKNOWN
    slope = np.repeat(cells.published[:, None], len(_GRID), axis=1)
    return _solved(cells, float((size * cells.share).sum() / size.sum()), slope, -_GRID * slope)


def recall(cells: Cells) -> Estimate:
    """Of the cases that are PC, the share that is published as PC."""
    positive = cells.rows * cells.weight * cells.share
    if not positive.any():
        return UNKNOWN
    slope = np.where(cells.published[:, None] > 0, 1 - _GRID, -_GRID)
    return _solved(cells, float((positive * cells.published).sum() / positive.sum()), slope, np.zeros_like(slope))


def prevalence(cells: Cells) -> Estimate:
    """Of all cases, the share that is PC."""
    size = cells.rows * cells.weight
    slope = np.ones((len(size), len(_GRID)))
    return _solved(cells, float((size * cells.share).sum() / size.sum()), slope, -_GRID * slope)


def _solved(cells: Cells, value: float, slope: Floats, offset: Floats) -> Estimate:
    """The shares R of _GRID for which the sum of slope(R) * PC + offset(R) * cases, over the cells, may be 0.

    The estimate is the R for which it is 0 (Fieller's way to the interval of a ratio). How far off the sum may be
    follows from Wilson's interval of the share of each pool, joined by their squares (MOVER: Zou and Donner, 2008; of
    strata: Yan and Su, 2010). So a stratum in which no PC was found says how many may yet be in it, which resampling
    takes for none. Of a stratum that has cases of several cells, or outside them, it is also by chance how many each
    has. What is labelled is not open: the finite population correction.
    """
    size = cells.rows * cells.weight
    each = slope * cells.share[:, None] + offset
    total = (size[:, None] * each).sum(axis=0)
    down, up = (np.zeros(len(_GRID)) for _ in range(2))
    for pool in np.unique(cells.pool):
        own = cells.pool == pool
        below, above = _deviations(size[own], cells.rows[own], cells.share[own], cells.open[own])
        slope_of_pool = slope[own][0]
        down += (slope_of_pool * np.where(slope_of_pool > 0, below, above)) ** 2
        up += (slope_of_pool * np.where(slope_of_pool > 0, above, below)) ** 2
    chance = Z**2 * _chance_of_sizes(cells, each)
    possible = _GRID[(total - np.sqrt(down + chance) <= 0) & (total + np.sqrt(up + chance) >= 0)]
    return _rounded(value, float(possible.min(initial=value)), float(possible.max(initial=value)))


def _deviations(size: Floats, rows: Floats, share: Floats, open_: Floats) -> tuple[float, float]:
    """How far the number of PC in a pool may be below and above: of as many rows as count as much (Kish, 1965).

    Cell by cell, the many lopsided intervals of small cells would add up to one that is too lopsided.
    """
    cases, spread = float(size.sum()), size**2 / rows
    pooled = min(max(float((size * share).sum()) / cases, 0.0), 1.0)
    low, high = wilson_of_share(pooled, cases**2 / float(spread.sum()))
    factor = cases * float(np.sqrt((spread * open_).sum() / spread.sum()))
    return factor * (pooled - float(low)), factor * (float(high) - pooled)


def _chance_of_sizes(cells: Cells, each: Floats) -> Floats:
    """The variance of the sum by how many of a stratum's labelled cases fall into each cell."""
    variance = np.zeros(each.shape[1])
    for stratum in np.unique(cells.stratum):
        own = cells.stratum == stratum
        rows, labelled = cells.rows[own][:, None], float(cells.answered[own].max())
        weight = (cells.weight[own] * np.sqrt(cells.open[own]))[:, None]
        squares, sums = (rows * (weight * each[own]) ** 2).sum(axis=0), (rows * weight * each[own]).sum(axis=0)
        variance += labelled / max(labelled - 1, 1) * np.maximum(squares - sums**2 / labelled, 0.0)
    return variance


def _rounded(value: float, low: float, high: float) -> Estimate:
    value = min(max(value, 0.0), 1.0)
    return Estimate(round(value, 6), round(max(min(low, value), 0.0), 6), round(min(max(high, value), 1.0), 6))
