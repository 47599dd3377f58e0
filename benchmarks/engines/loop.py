"""A bare loop on as many threads as the last argument says: each decodes and scores a row group at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import scoring
import threadpoolctl
from protocol import Job, serve

THREADS = int(sys.argv[-1])


def run(job: Job) -> None:
    model = scoring.load(job.model)

    def score(part: tuple[str, int]) -> list[pa.RecordBatch]:
        file, group = part
        with pq.ParquetFile(file) as parquet:
            batches = parquet.iter_batches(scoring.BATCH_ROWS, row_groups=[group], use_threads=False)
            return [scoring.scored(rows.column("case_id"), rows.column("embedding_vector"), model) for rows in batches]

    with (
        threadpoolctl.threadpool_limits(1),
        ThreadPoolExecutor(THREADS) as threads,
        pq.ParquetWriter(job.output / "scored.parquet", scoring.SCHEMA) as writer,
    ):
        for batches in threads.map(score, _parts(job)):
            writer.write_table(pa.Table.from_batches(batches))


def _parts(job: Job) -> Iterator[tuple[str, int]]:
    for file in job.files:
        for group in range(pq.read_metadata(file).num_row_groups):
            yield file, group


if __name__ == "__main__":
    serve(run)
