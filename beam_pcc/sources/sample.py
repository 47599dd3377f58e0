"""`sample://ROWS[?seed=N]`: synthetic cases, the same for the same seed, day and number of rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

from beam_pcc.errors import ConfigurationError
from beam_pcc.shielding import shielded
from beam_pcc.sources import synthetic
from beam_pcc.sources.volume import SourceState, SourceVolume

_ALWAYS = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class ReadSample(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS, a known share of the rows broken in every way."""

    def __init__(self, source: str, partition: dt.date, batch_rows: int) -> None:
        super().__init__()
        match = re.fullmatch(r"sample://(\d{1,9})(?:\?seed=(\d{1,9}))?", source, re.ASCII)
        if not match:
            raise ConfigurationError(f"--source {source}: write sample://ROWS, such as sample://2000")
        self._rows = int(match[1])
        self._seed = int(match[2] or 0)
        self._partition = partition
        self._batch_rows = batch_rows

    def volume(self) -> SourceVolume:
        """The number of rows is a part of the address."""
        return SourceVolume(rows=self._rows)

    def state(self) -> SourceState:
        """It does not change, and was there before anybody looked."""
        return SourceState(modified=_ALWAYS)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Chunk numbers are the handles; each worker makes its own chunks' rows."""
        return (
            begin
            | "Chunks" >> beam.Create(range(synthetic.chunks(self._rows)))
            | "Spread" >> beam.Reshuffle()
            | "MakeRows" >> beam.FlatMap(self._read).with_output_types(pa.RecordBatch)
        )

    @shielded
    def _read(self, chunk: int) -> Iterator[pa.RecordBatch]:
        cases = synthetic.cases(self._rows, self._partition, chunk=chunk, seed=self._seed)
        for start in range(0, cases.num_rows, self._batch_rows):
            yield cases.slice(start, self._batch_rows)
