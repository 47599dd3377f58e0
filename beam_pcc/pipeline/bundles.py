"""The statistics of a step, added up for each bundle: Beam keeps every element until its stage ends."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import ClassVar

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_pcc.cases import drift, schemas
from beam_pcc.cases.drift import VectorSums
from beam_pcc.config.threads import cores, side_threads
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.shielding import shielded


@shielded
class StatsDoFn(beam.DoFn):
    """A step that adds to `stats`, which go out once at the end of each bundle; those of a failed one are forgotten.

    Attributes:
        stats_tag: The output that gets them; None for the main output.
        stats: Of the bundle so far.
    """

    stats_tag: ClassVar[str | None] = "stats"
    stats: RunStats

    def start_bundle(self) -> None:
        """Begin with nothing."""
        self.stats = RunStats()

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput]:
        """Pass on the sum."""
        stats = GlobalWindows.windowed_value(self.stats)
        yield stats if self.stats_tag is None else TaggedOutput(self.stats_tag, stats)


class VectorSummer:
    """Sums vectors in the threads beside the graph, which NumPy lets run meanwhile. Few batches are kept for them."""

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self._pool = self._exit.enter_context(side_threads())
        self._waiting: deque[Future[VectorSums]] = deque()
        self._sums = VectorSums()

    def add(self, vectors: schemas.Vectors, leave_out: list[int]) -> None:
        """Sum another batch, see `drift.sums`."""
        self._waiting.append(self._pool.submit(drift.sums, vectors, leave_out))
        if len(self._waiting) > cores():
            self._sums += self._waiting.popleft().result()

    def result(self) -> VectorSums:
        """The sum of all. Raises what summing raised."""
        while self._waiting:
            self._sums += self._waiting.popleft().result()
        return self._sums

    def close(self) -> None:
        """Release the threads."""
        self._exit.close()
