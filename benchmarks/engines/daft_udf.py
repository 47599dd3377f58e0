"""Daft with a batch UDF that scores; Daft reads and writes Parquet."""

from __future__ import annotations

import daft
import scoring
import threadpoolctl
from daft import DataType, Series
from protocol import Job, serve


def run(job: Job) -> None:
    model = scoring.load(job.model)
    names = scoring.SCHEMA.names
    row = DataType.struct({field.name: DataType.from_arrow_type(field.type) for field in scoring.SCHEMA})

    @daft.func.batch(return_dtype=row, batch_size=scoring.BATCH_ROWS)
    def score(ids: Series, vectors: Series) -> object:
        batch = scoring.scored(scoring.array(ids.to_arrow()), scoring.array(vectors.to_arrow()), model)
        return batch.to_struct_array()

    with threadpoolctl.threadpool_limits(1):
        cases = daft.read_parquet(job.files)
        rows = cases.select(score(cases["case_id"], cases["embedding_vector"]).alias("row"))
        rows.select(*(rows["row"][name].alias(name) for name in names)).write_parquet(str(job.output))


if __name__ == "__main__":
    serve(run)
