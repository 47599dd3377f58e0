"""Polars, streaming: each batch goes through a function that scores it; Polars reads and writes Parquet."""

from __future__ import annotations

import polars as pl
import scoring
import threadpoolctl
from protocol import Job, serve


def run(job: Job) -> None:
    model = scoring.load(job.model)

    def score(cases: pl.DataFrame) -> pl.DataFrame:
        ids, vectors = (scoring.array(cases[name].to_arrow()) for name in ("case_id", "embedding_vector"))
        return pl.DataFrame(scoring.scored(ids, vectors, model))

    schema = pl.DataFrame(scoring.SCHEMA.empty_table()).schema
    with threadpoolctl.threadpool_limits(1):
        (
            pl.scan_parquet(job.files)
            .select("case_id", "embedding_vector")
            .map_batches(score, schema=schema, streamable=True)
            .sink_parquet(job.output / "scored.parquet", engine="streaming")
        )


if __name__ == "__main__":
    serve(run)
