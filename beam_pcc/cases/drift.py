"""How the vectors of a run lie against those that the model was trained on: sums that add up, and their shift.

Each block of the vector (embedding, tfidf) has its own figures. Nothing here is kept of a single case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas

_CACHED_ROWS = 500  # 1.2 MB: the second look at a part finds it in the cache
_ZERO = (0.0,) * len(schemas.BLOCKS)


@dataclass(frozen=True)
class VectorSums:
    """Over any part of a run; `+` joins the parts in any order.

    Attributes:
        rows: How many vectors.
        norms: Of each block, the sum of its L2 norms.
        values: The sum of the vectors, 584 numbers; none of no rows.
    """

    rows: int = 0
    norms: tuple[float, ...] = _ZERO
    values: tuple[float, ...] = ()

    def __add__(self, other: VectorSums) -> VectorSums:
        if not self.rows or not other.rows:
            return self if self.rows else other
        norms, values = ((getattr(self, name), getattr(other, name)) for name in ("norms", "values"))
        return VectorSums(self.rows + other.rows, _added(*norms), _added(*values))


def _added(some: Sequence[float], more: Sequence[float]) -> tuple[float, ...]:
    return tuple((np.asarray(some) + np.asarray(more)).tolist())


@dataclass(frozen=True)
class BlockBaseline:
    """Of one block, on the training hold-out.

    Attributes:
        norm_mean: Mean of the L2 norms.
        mean: The mean block, (384,) or (200,).
        spread: Root mean square distance of a block from that mean.
    """

    norm_mean: float
    mean: npt.NDArray[np.float32]
    spread: float


@dataclass(frozen=True)
class BlockShift:
    """How far a run's block moved: `norm` by the difference of mean norms, `mean` in spreads of the baseline."""

    norm: float
    mean: float


def sums(vectors: schemas.Vectors, leave_out: Sequence[int] = ()) -> VectorSums:
    """Of (n, 584) vectors, but for the rows to leave out and those whose sums are not finite."""
    if leave_out:
        vectors = np.delete(vectors, list(leave_out), axis=0)
    rows, norms, values = 0, np.zeros(len(schemas.BLOCKS)), np.zeros(schemas.VECTOR_DIM)
    for start in range(0, len(vectors), _CACHED_ROWS):
        part = vectors[start : start + _CACHED_ROWS]
        of_rows = np.stack([norm(part[:, block]) for block in schemas.BLOCKS.values()])
        total = of_rows.sum(axis=1)
        if not np.isfinite(total).all():
            finite = np.isfinite(of_rows).all(axis=0)
            part, total = part[finite], of_rows[:, finite].sum(axis=1)
        rows += len(part)
        norms += total
        values += np.ones(len(part), np.float32) @ part
    return VectorSums(rows, tuple(norms.tolist()), tuple(values.tolist())) if rows else VectorSums()


def norm(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """L2 norms of the rows, (n,); infinite where float32 cannot hold the square."""
    with np.errstate(all="ignore"):
        squares: npt.NDArray[np.float64] = np.sqrt(np.vecdot(block, block), dtype=np.float64)
    return squares


def baseline(vectors: schemas.Vectors) -> dict[str, BlockBaseline]:
    """What a hold-out of (n, 584) vectors looks like, by block."""
    made = {}
    for name, part in schemas.BLOCKS.items():
        block = vectors[:, part].astype(np.float64)
        mean = block.mean(axis=0)
        spread = float(np.sqrt(((block - mean) ** 2).sum(axis=1).mean()))
        made[name] = BlockBaseline(float(np.linalg.norm(block, axis=1).mean()), mean.astype(np.float32), spread)
    return made


def shifts(against: Mapping[str, BlockBaseline], run: VectorSums) -> dict[str, BlockShift]:
    """The shift of each block that has a baseline; none of a run without vectors."""
    found = {}
    for place, (name, part) in enumerate(schemas.BLOCKS.items()):
        if run.rows and name in against:
            base = against[name]
            mean = np.asarray(run.values)[part] / run.rows
            distance = float(np.linalg.norm(mean - base.mean)) / max(base.spread, 1e-9)
            found[name] = BlockShift(run.norms[place] / run.rows - base.norm_mean, distance)
    return found


def swapped_ratio(against: Mapping[str, BlockBaseline], run: VectorSums) -> float:
    """How much nearer the mean vector is to the baseline's if its two blocks change places: above 1 it is nearer so.

    0 without vectors or without a baseline of both blocks.
    """
    if not run.rows or any(name not in against for name in schemas.BLOCKS):
        return 0.0
    base = np.concatenate([against[name].mean for name in schemas.BLOCKS])
    mean = np.asarray(run.values) / run.rows
    exchanged = np.roll(mean, -schemas.TFIDF_DIM)  # of tfidf before embedding it makes embedding before tfidf
    return float(np.linalg.norm(mean - base) / max(float(np.linalg.norm(exchanged - base)), 1e-9))
