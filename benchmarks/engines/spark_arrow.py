"""Spark on this machine with mapInArrow: two Python workers score; Spark reads and writes Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import scoring
from protocol import Job, serve
from pyspark.sql import SparkSession

os.environ["PYSPARK_PYTHON"] = sys.executable
HERE = str(Path(__file__).parent)


def session() -> SparkSession:
    builder = SparkSession.builder.master("local[2]").appName("scoring")
    settings = {
        "spark.driver.memory": "6g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executorEnv.PYTHONPATH": HERE,
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(scoring.BATCH_ROWS),
        "spark.sql.session.timeZone": "UTC",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def run(job: Job) -> None:
    model_file = job.model

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import scoring

        model = scoring.load(model_file)
        for rows in batches:
            yield scoring.scored(rows.column("case_id"), rows.column("embedding_vector"), model)

    types = {"string": "string", "double": "double", "timestamp[us, tz=UTC]": "timestamp", "date32[day]": "date"}
    schema = ", ".join(f"{field.name} {types[str(field.type)]}" for field in scoring.SCHEMA)
    cases = session().read.parquet(*job.files).select("case_id", "embedding_vector")
    cases.mapInArrow(score, schema).write.mode("overwrite").parquet(str(job.output))


if __name__ == "__main__":
    serve(run)
