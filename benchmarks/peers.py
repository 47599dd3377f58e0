"""What beam_pcc is measured against: a bare loop without Beam, and the graph as one would first write it with Beam."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import joblib
import numpy as np
import pyarrow.parquet as pq
import threadpoolctl
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from engines import scoring
from engines.scoring import LARGEST, REVIEW_BAND, THRESHOLD

from beam_pcc.cases import schemas

Row = dict[str, Any]


def bare_loop(files: Sequence[Path], model_file: Path, output: Path) -> int:
    """Read, score and write Parquet on one thread, BLAS on one too; return the rows written.

    It checks nothing but shape and finite values, finds no duplicates, explains nothing, and keeps no statistics.
    """
    model = joblib.load(model_file)
    written = 0
    with threadpoolctl.threadpool_limits(1), pq.ParquetWriter(output, scoring.SCHEMA) as writer:
        for file in files:
            with pq.ParquetFile(file) as parquet:
                for rows in parquet.iter_batches(schemas.BATCH_ROWS, use_threads=False):
                    scored = scoring.scored(rows.column("case_id"), rows.column("embedding_vector"), model)
                    writer.write_batch(scored)
                    written += scored.num_rows
    return written


def one_dict_per_row(source: Path, model_file: Path, output: Path, day: dt.date, options: PipelineOptions) -> None:
    """The graph with a dict per row: Beam's Parquet source, DoFns on rows, Beam's scikit-learn handler, Beam's sink.

    It does less than ours: no duplicates, no statistics, no audit, and Parquet files instead of a published table.
    """
    handler = _sklearn_handler()
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> beam.io.ReadFromParquet(f"{source}/*.parquet")
            | "Validate" >> beam.ParDo(_ValidateRow())
            | "Score" >> RunInference(KeyedModelHandler(handler(model_file)))
            | "Postprocess" >> beam.ParDo(_PostprocessRow(joblib.load(model_file).classes_.tolist(), day))
            | "Write" >> beam.io.WriteToParquet(str(output), schemas.OUTPUT, file_name_suffix=".parquet")
        )


class _ValidateRow(beam.DoFn):
    def process(self, row: Row) -> Iterator[tuple[str, np.ndarray]]:
        values = row["embedding_vector"]
        if not row["case_id"] or row["timestamp"] is None or not values or len(values) != schemas.VECTOR_DIM:
            return
        vector = np.array(values, dtype=np.float32)
        if (np.abs(vector) < LARGEST).all():
            yield row["case_id"], vector


class _PostprocessRow(beam.DoFn):
    def __init__(self, classes: Sequence[str], day: dt.date) -> None:
        self._not_pc = classes.index(schemas.NOT_PC)
        self._classes = classes
        self._day = day

    def process(self, keyed: tuple[str, PredictionResult]) -> Iterator[Row]:
        case_id, result = keyed
        now = dt.datetime.now(dt.timezone.utc)
        scores = result.inference.copy()
        probability = 1.0 - scores[self._not_pc]
        scores[self._not_pc] = -1.0
        positive = probability >= THRESHOLD
        yield {
            "case_id": case_id,
            "predicted_label": schemas.PC if positive else schemas.NOT_PC,
            "subtype_label": self._classes[scores.argmax()].removeprefix(schemas.SUBTYPE_PREFIX) if positive else None,
            "confidence": float(probability if positive else 1.0 - probability),
            "model_version": "v1",
            "embedding_model": schemas.EMBEDDING_MODEL,
            "inference_timestamp": now,
            "prediction_notes": "review" if abs(probability - THRESHOLD) < REVIEW_BAND else None,
            "ingestion_time": now,
            "partition_date": self._day,
            "run_id": "dicts",
        }


def _probabilities(model: Any, batch: Sequence[np.ndarray], _: Any = None) -> np.ndarray:
    return model.predict_proba(np.stack(batch))


def _sklearn_handler() -> Any:
    """How to make Beam's SklearnModelHandlerNumpy, with batches as large as ours.

    Its module imports pandas, which that class does not use and this project does not need: where pandas is missing,
    an empty module stands in for it while the import lasts.
    """
    with contextlib.ExitStack() as stack:
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError:
            sys.modules["pandas"] = types.SimpleNamespace(DataFrame=object)  # type: ignore[assignment]
            stack.callback(sys.modules.pop, "pandas")
        from apache_beam.ml.inference.sklearn_inference import ModelFileType, SklearnModelHandlerNumpy

    def make(model_file: Path) -> Any:
        return SklearnModelHandlerNumpy(
            str(model_file),
            ModelFileType.JOBLIB,
            inference_fn=_probabilities,
            min_batch_size=schemas.BATCH_ROWS,
            max_batch_size=schemas.BATCH_ROWS,
        )

    return make
