"""Reading ahead in threads: what is ahead is bounded, errors surface, and the threads end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.config import threads
from beam_pcc.errors import PccError, SourceError
from beam_pcc.pipeline.options import beam_options
from beam_pcc.sources import ahead
from beam_pcc.sources.ahead import Cancellable, ReadAhead, ReadParts, as_read
from beam_pcc.sources.files import ReadFiles


def batch(part: int, number: int, rows: int = 1) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"part": [part] * rows, "number": [number] * rows})


def batches(part: int, n: int) -> Iterator[pa.RecordBatch]:
    return (batch(part, number) for number in range(n))


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("beside")]


def read(parts: Sequence[int], check: ahead.Check = as_read) -> list[tuple[int, int]]:
    """What comes of parts of these numbers of batches, as (part, number)."""
    step = ReadParts(lambda part: batches(part, parts[part]), check)
    step.start_bundle()
    rows = [row for part in range(len(parts)) for row in step.process(part)]
    rows += [windowed.value for windowed in step.finish_bundle()]
    return [(row["part"][0].as_py(), row["number"][0].as_py()) for row in rows]


@pytest.fixture(params=[1, 2, 5])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv(threads.CORES_VARIABLE, str(request.param))
    return int(request.param)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 12), max_size=12))
def test_every_batch_comes_once_and_in_order(parts: list[int]) -> None:
    rows = read(parts)

    assert sorted(rows) == [(part, number) for part, n in enumerate(parts) for number in range(n)]
    for part in range(len(parts)):
        assert [number for of, number in rows if of == part] == list(range(parts[part]))


def test_check_may_give_several_batches_or_none() -> None:
    def check(rows: pa.RecordBatch) -> list[pa.RecordBatch]:
        return [rows] * (rows["number"][0].as_py() % 3)

    assert sorted(read([4], check)) == [(0, 1), (0, 2), (0, 2)]


def test_no_more_threads_than_cores(cores: int) -> None:
    together = threading.Barrier(cores + 1)
    first = ReadAhead(as_read)
    second = ReadAhead(as_read)

    def waiting() -> Iterator[pa.RecordBatch]:
        together.wait(30)
        yield batch(0, 0)

    for reader in (first, second) * cores:
        reader.add(batches(0, 3))
    while not (first.is_empty and second.is_empty):
        for reader in (first, second):
            if not reader.is_empty:
                reader.take()
    for _ in range(cores):
        first.add(waiting())
    together.wait(30)  # all threads are at work
    assert len(readers()) == cores
    first.close()
    assert len(readers()) == cores
    second.close()
    assert readers() == []


def test_batches_ahead_are_bounded(cores: int) -> None:
    decoded: list[int] = []

    def counted(part: int) -> Iterator[pa.RecordBatch]:
        for number in range(100):
            decoded.append(number)
            yield batch(part, number)

    step = ReadParts(counted, as_read)
    step.start_bundle()
    taken = 0
    for part in range(cores + 3):
        for _ in step.process(part):
            taken += 1
            # One besides: that of the batch which was taken may have begun.
            assert len(decoded) - taken <= cores + 1
    assert taken
    step.teardown()


def test_bytes_ahead_are_bounded(monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]) -> None:
    monkeypatch.setenv(threads.CORES_VARIABLE, "4")
    monkeypatch.setattr(ahead, "_BYTES_OF_A_THREAD", batch(0, 0, rows=1_000).nbytes // 4)  # one such batch in all
    decoded: list[int] = []

    def large() -> Iterator[pa.RecordBatch]:
        for number in range(20):
            decoded.append(number)
            yield batch(0, number, rows=1_000)

    reader = ReadAhead(as_read)
    reader.add(large())
    for taken in range(20):
        until(lambda taken=taken: len(decoded) > taken and reader.is_full)  # type: ignore[misc]
        assert len(decoded) - taken == 1
        reader.take()
    reader.close()


@pytest.mark.parametrize("where", ["read", "check"])
def test_error_in_a_thread_surfaces(where: str) -> None:
    def failing(part: int) -> Iterator[pa.RecordBatch]:
        yield batch(part, 0)
        raise SourceError("part-3.parquet is cut off")

    def check(rows: pa.RecordBatch) -> list[pa.RecordBatch]:
        if where == "check":
            raise SourceError("part-3.parquet is cut off")
        return [rows]

    step = ReadParts(failing, check)
    step.start_bundle()
    with pytest.raises(SourceError, match=r"^part-3.parquet is cut off$"):
        deque(chain(step.process(3), step.finish_bundle()))
    step.teardown()
    assert readers() == []


def test_next_bundle_after_a_failed_one_starts_anew() -> None:
    step = ReadParts(lambda part: batches(part, 5), as_read)
    step.start_bundle()
    list(step.process(0))
    step.start_bundle()
    rows = [*step.process(1), *(windowed.value for windowed in step.finish_bundle())]

    assert {row["part"][0].as_py() for row in rows} == {1}
    assert readers() == []


def test_closing_early_closes_what_is_read(until: Callable[[Callable[[], bool]], None]) -> None:
    opened: list[int] = []
    closed: list[int] = []

    def open_file(part: int) -> Iterator[pa.RecordBatch]:
        opened.append(part)
        try:
            yield from batches(part, 1_000)
        finally:
            closed.append(part)

    reader = ReadAhead(as_read)
    reader.add(open_file(0))
    reader.add(open_file(1))
    reader.take()
    until(lambda: len(opened) == 2)
    reader.close()

    assert sorted(closed) == [0, 1]
    assert readers() == []


def test_closing_ends_a_wait_for_a_batch() -> None:
    started, cancelled = threading.Event(), threading.Event()

    def silent() -> Iterator[pa.RecordBatch]:
        started.set()
        assert cancelled.wait(60)
        yield batch(0, 0)

    reader = ReadAhead(as_read)
    reader.add(Cancellable(silent(), cancelled.set))
    assert started.wait(60)
    reader.close()

    assert readers() == []


def test_failing_run_leaves_no_threads(tmp_path: Path) -> None:
    rows = pa.table(
        {"case_id": ["a"] * 1_000, "embedding_vector": [[0.5]] * 1_000, "timestamp": ["2026-11-20"] * 1_000}
    )
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=100)

    def fail(rows: pa.RecordBatch) -> None:
        raise PccError("the graph fails here")

    pipeline = beam.Pipeline(options=beam_options(["--direct_num_workers=1"]))
    _ = pipeline | ReadFiles(str(tmp_path / "*.parquet"), 10) | beam.Map(fail)
    with pytest.raises(Exception, match="the graph fails here"):
        pipeline.run()

    assert readers() == []
