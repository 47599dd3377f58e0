"""DuckDB with an Arrow UDF that scores; DuckDB reads and writes Parquet."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import scoring
import threadpoolctl
from protocol import Job, serve

TYPES = {
    "case_id": "VARCHAR",
    "predicted_label": "VARCHAR",
    "subtype_label": "VARCHAR",
    "confidence": "DOUBLE",
    "model_version": "VARCHAR",
    "embedding_model": "VARCHAR",
    "inference_timestamp": "TIMESTAMPTZ",
    "prediction_notes": "VARCHAR",
    "ingestion_time": "TIMESTAMPTZ",
    "partition_date": "DATE",
    "run_id": "VARCHAR",
}


def run(job: Job) -> None:
    model = scoring.load(job.model)

    def score(ids: pa.ChunkedArray, vectors: pa.ChunkedArray) -> pa.Array:
        batch = scoring.scored(ids.combine_chunks(), vectors.combine_chunks(), model)
        return pa.StructArray.from_arrays(batch.columns, fields=list(scoring.SCHEMA))

    with threadpoolctl.threadpool_limits(1), duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        row = duckdb.struct_type(TYPES)
        connection.create_function("score", score, ["VARCHAR", "DOUBLE[]"], row, type="arrow", null_handling="special")
        connection.execute(
            f"COPY (SELECT unnest(score(case_id, embedding_vector)) FROM read_parquet(?)) "
            f"TO '{job.output / 'scored.parquet'}' (FORMAT parquet)",
            [job.files],
        )


if __name__ == "__main__":
    serve(run)
