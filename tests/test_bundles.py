"""What steps say of their rows: one sum for each bundle, whatever failed before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.testing.util import assert_that, equal_to

from beam_pcc.cases import drift
from beam_pcc.pipeline.bundles import StatsDoFn, VectorSummer
from beam_pcc.pipeline.graph import build
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.shielding import shielded

RNG = np.random.default_rng(5)
BATCHES = [RNG.normal(size=(n, 584)).astype(np.float32) for n in (3, 1, 40, 7, 2, 9)]


@shielded
class Count(StatsDoFn):
    def process(self, rows: int) -> Iterator[int]:
        self.stats.rows_read += rows
        self.stats.rejected += Counter(odd=rows % 2)
        yield rows


def beside() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("beside")]


def test_bundle_has_one_sum() -> None:
    step = Count()
    step.start_bundle()
    assert [rows for n in (3, 4, 5) for rows in step.process(n)] == [3, 4, 5]
    (tagged,) = step.finish_bundle()
    assert tagged.tag == "stats"
    assert tagged.value.value == RunStats(12, Counter(odd=2))


def test_sum_of_a_failed_bundle_is_forgotten() -> None:
    step = Count()
    step.start_bundle()
    list(step.process(100))
    step.start_bundle()
    list(step.process(1))
    (tagged,) = step.finish_bundle()
    assert tagged.value.value == RunStats(1, Counter(odd=1))


def test_sums_of_a_graph_hold_every_row() -> None:
    with beam.Pipeline() as pipeline:
        found = pipeline | beam.Create(range(1000)) | beam.ParDo(Count()).with_outputs("stats", main="rows")
        total = found.stats | beam.Map(lambda stats: stats.rows_read) | beam.CombineGlobally(sum)
        assert_that(total, equal_to([sum(range(1000))]))


def test_vectors_are_summed_in_other_threads_to_the_same() -> None:
    summer = VectorSummer()
    for batch in BATCHES:
        summer.add(batch, [0])
    found = summer.result()
    summer.close()

    expected = drift.sums(np.concatenate([batch[1:] for batch in BATCHES]))
    assert found.rows == expected.rows
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.norms, expected.norms, rtol=1e-6)
    assert beside() == []


def test_few_batches_wait_for_their_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that waits keeps its vectors in memory."""
    go = threading.Semaphore(0)
    sums = drift.sums

    def slow(vectors: np.ndarray, leave_out: list[int]) -> drift.VectorSums:
        go.acquire(timeout=30)
        return sums(vectors, leave_out)

    monkeypatch.setattr(drift, "sums", slow)
    monkeypatch.setenv("PCC_CORES", "1")
    summer = VectorSummer()
    added = threading.Thread(target=lambda: [summer.add(batch, []) for batch in BATCHES])
    added.start()
    added.join(0.3)
    assert added.is_alive()  # it waits for the first sum
    assert len(summer._waiting) <= 1
    for _ in BATCHES:
        go.release()
    added.join(30)
    assert summer.result().rows == sum(map(len, BATCHES))
    summer.close()


def test_error_of_summing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> drift.VectorSums:
        raise MemoryError

    monkeypatch.setattr(drift, "sums", fails)
    summer = VectorSummer()
    summer.add(BATCHES[0], [])
    with pytest.raises(MemoryError):
        summer.result()
    summer.close()
    assert beside() == []


class Flattened(PipelineVisitor):
    """What passes a Flatten: an output of a step by its tag, or by the step."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if isinstance(transform_node.transform, beam.Flatten):
            self.names |= {found.tag or found.producer.full_label for found in transform_node.inputs}


@pytest.mark.parametrize("text_column", [None, "message"])
def test_no_rows_pass_a_flatten(text_column: str | None) -> None:
    """Beam's in-process runner ends a stage there: it would keep all rejected rows, and of messages all vectors."""
    version = SimpleNamespace(
        name="v1", classes=("NOT_PC", "PC"), metadata=SimpleNamespace(threshold=0.5, features=None), file=None
    )
    text = SimpleNamespace(column=text_column, featurizer=SimpleNamespace()) if text_column else None
    stubs = {name: SimpleNamespace() for name in ("area", "warehouse", "run", "rules")}
    read = beam.Create([]).with_output_types(pa.RecordBatch)
    plan = SimpleNamespace(read=read, text=text, model=version, shadow=version, review_band=0.1, **stubs)
    pipeline = beam.Pipeline()
    build(pipeline, plan)  # type: ignore[arg-type]

    flattened = Flattened()
    pipeline.visit(flattened)
    staged = {"Predictions", "Invalid", "NotScored"} | ({"NotFeaturized"} if text_column else set())
    assert flattened.names == {"stats", "Score/Shadow", *(f"Stage/{step}" for step in staged)}
