"""Ray Data on this machine with map_batches: Ray reads and writes Parquet."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pyarrow as pa
import scoring
from protocol import Job, serve

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
import ray
import ray.data


def run(job: Job) -> None:
    model_file = job.model

    def score(rows: pa.Table) -> pa.Table:
        ids, vectors = (scoring.array(rows.column(name)) for name in ("case_id", "embedding_vector"))
        return pa.Table.from_batches([scoring.scored(ids, vectors, scoring.load(model_file))])

    cases = ray.data.read_parquet(job.files, columns=["case_id", "embedding_vector"])
    cases.map_batches(score, batch_format="pyarrow", batch_size=scoring.BATCH_ROWS).write_parquet(str(job.output))


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    serve(run)
