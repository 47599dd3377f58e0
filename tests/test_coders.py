"""What flows between workers comes out as it went in, and its size is known without encoding it."""

import datetime as dt

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.ml.inference.base import PredictionResult

from beam_pcc.models.scoring import Scores
from beam_pcc.pipeline import coders
from beam_pcc.sources import synthetic
from tests.inputs import cases

BATCHES = {
    "of the source": synthetic.cases(300, dt.date(2026, 11, 20), chunk=0),
    "of cases": cases(5),
    "sliced": synthetic.cases(300, dt.date(2026, 11, 20), chunk=0).slice(30, 20),
    "sliced cases": cases(5).slice(2, 2),
    "without rows": cases(5).slice(5),
}


def predicted(batch: pa.RecordBatch) -> PredictionResult:
    n = batch.num_rows
    probabilities = np.column_stack([np.linspace(0, 1, n), np.linspace(1, 0, n)])
    return PredictionResult(batch, Scores(probabilities, {0: "no"}, np.full((n, 2), np.nan)), "v1")


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_a_batch_comes_out_as_it_went_in(batch: pa.RecordBatch) -> None:
    coder = coders.RecordBatchCoder()
    found = coder.decode(coder.encode(batch))

    assert found.schema.equals(batch.schema, check_metadata=True)
    assert str(found.to_pylist()) == str(batch.to_pylist())  # as text: a NaN is not equal to itself


def test_a_slice_is_sent_without_the_rest_of_its_batch() -> None:
    coder = coders.RecordBatchCoder()
    assert len(coder.encode(BATCHES["sliced"])) < len(coder.encode(BATCHES["of the source"])) / 10


def test_the_same_rows_give_the_same_bytes() -> None:
    coder = coders.RecordBatchCoder()
    assert coder.is_deterministic()
    assert coder.encode(cases(5)) == coder.encode(cases(5))


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_a_prediction_comes_out_as_it_went_in(batch: pa.RecordBatch) -> None:
    coder = coders.PredictionResultCoder()
    found = coder.decode(coder.encode(predicted(batch)))

    assert isinstance(found, PredictionResult)
    assert found.model_id == "v1"
    assert str(found.example.to_pylist()) == str(batch.to_pylist())
    np.testing.assert_array_equal(found.inference.probabilities, predicted(batch).inference.probabilities)
    np.testing.assert_array_equal(found.inference.blocks, predicted(batch).inference.blocks)
    assert found.inference.errors == {0: "no"}


class Unencodable:
    """Has a size, and nothing that could be encoded."""

    nbytes = 1_234


def test_size_is_estimated_without_encoding() -> None:
    assert coders.RecordBatchCoder().estimate_size(Unencodable()) == 1_234
    assert coders.PredictionResultCoder().estimate_size(PredictionResult(Unencodable(), None)) == 1_234


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_the_estimate_of_a_batch_is_near_what_it_takes(batch: pa.RecordBatch) -> None:
    coder = coders.RecordBatchCoder()
    framing = 2_000  # the schema and the ends of an IPC stream
    assert coder.estimate_size(batch) == pytest.approx(len(coder.encode(batch)), rel=0.01, abs=framing)


def test_beam_uses_these_coders_once_registered() -> None:
    coders.register()

    assert isinstance(beam.coders.registry.get_coder(pa.RecordBatch), coders.RecordBatchCoder)
    assert isinstance(beam.coders.registry.get_coder(PredictionResult), coders.PredictionResultCoder)
