"""Batches that the source's threads have checked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pcc.cases import schemas
from beam_pcc.cases.checking import check, is_checked
from beam_pcc.cases.validation import validate
from beam_pcc.sources.ahead import ReadParts
from beam_pcc.sources.files import _Columns, _Part, _read

UTC = dt.timezone.utc
DAY = dt.datetime(2026, 11, 20, tzinfo=UTC)
values = st.sampled_from([0.25, -1.0, float("nan"), float("inf"), 1e300, None])
vectors = st.none() | st.builds(
    lambda value, length, at: [0.5] * at + [value] + [0.5] * max(0, length - at - 1),
    values,
    st.sampled_from([584, 584, 584, 583, 600]),
    st.integers(0, 582),
)
rows = st.lists(
    st.tuples(st.none() | st.sampled_from(["", "a", "b"]), vectors, st.none() | st.just(DAY)), min_size=1, max_size=30
)
KINDS = st.sampled_from([pa.list_(pa.float64()), pa.list_(pa.float32()), pa.large_list(pa.float64())])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, kind=KINDS, group=st.integers(1, 12), batch_rows=st.integers(1, 12))
def test_threads_give_the_rows_of_validation(
    tmp_path: Path, rows: list[tuple[object, ...]], kind: pa.DataType, group: int, batch_rows: int
) -> None:
    """Whatever the files: cases and rejected rows, with their reasons, are those of one validation of all rows."""
    table = pa.table(
        {
            "case_id": pa.array([row[0] for row in rows], pa.string()),
            "embedding_vector": pa.array([row[1] for row in rows], kind),
            "timestamp": pa.array([row[2] for row in rows], pa.timestamp("us", "UTC")),
        }
    )
    file = tmp_path / "a.parquet"
    pq.write_table(table, file, row_group_size=group)
    step = ReadParts(lambda part: _read(part, batch_rows, _Columns(None, {})), check)
    step.start_bundle()
    parts = [_Part((str(file),), number) for number in range(pq.read_metadata(file).num_row_groups)]
    found = [batch for part in parts for batch in step.process(part)]
    found += [windowed.value for windowed in step.finish_bundle()]

    assert all(is_checked(batch) and batch.num_rows for batch in found)
    (whole,) = table.combine_chunks().to_batches()
    for schema, expected in zip((schemas.CASES, schemas.STAGED_REJECTED), validate(whole), strict=True):
        got = [str(row) for batch in found if batch.schema.equals(schema) for row in batch.to_pylist()]
        assert sorted(got) == sorted(str(row) for row in expected.to_pylist())


@pytest.mark.parametrize("schema", [schemas.CASES, schemas.TEXTS, schemas.STAGED_REJECTED])
def test_checked_batch_stays_as_it_is(schema: pa.Schema) -> None:
    batch = pa.RecordBatch.from_pylist([], schema=schema)

    assert check(batch)[0] is batch


def test_input_rows_are_not_taken_for_checked() -> None:
    batch = pa.RecordBatch.from_pydict({"case_id": ["a"], "embedding_vector": [[0.5]], "timestamp": ["2026-11-20"]})

    (rejected,) = check(batch)
    assert rejected["reason"].to_pylist() == ["wrong_dimension"]
