"""Synthetic cases have the form of real ones, so that what learns from them learns something."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.cases.validation import validate
from beam_pcc.sources import synthetic

DAY = dt.date(2026, 11, 20)


def test_training_set_has_each_class_and_no_broken_row() -> None:
    table = synthetic.labelled(4_000)
    intents = np.array(table["intent"].to_pylist())

    assert {c: (intents == c).mean() for c in np.unique(intents)} == pytest.approx(synthetic.CLASS_SHARES, abs=0.02)
    assert sum(validate(batch)[1].num_rows for batch in table.select(list(schemas.INPUT_COLUMNS)).to_batches()) == 0


def test_blocks_of_a_vector_are_as_declared() -> None:
    vectors = np.array(synthetic.labelled(200)["embedding_vector"].to_pylist())
    embedding, tfidf = (vectors[:, block] for block in schemas.BLOCKS.values())

    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(tfidf, axis=1), 1.0, rtol=1e-5)
    assert (tfidf >= 0).all()
    assert ((tfidf > 0).sum(axis=1) <= 12).all()


def test_the_cases_of_a_day_are_written_on_that_day() -> None:
    cases, _ = validate(synthetic.cases(500, DAY, chunk=0))
    assert {time.date() for time in cases.column("timestamp").to_pylist()} == {DAY}


def test_a_chunk_does_not_depend_on_how_many_rows_follow() -> None:
    few, many = synthetic.cases(2_001, DAY, chunk=0), synthetic.cases(9_000, DAY, chunk=0)
    assert few.serialize() == many.serialize()  # a NaN is not equal to itself, its bytes are


def test_a_file_in_several_row_groups_holds_every_row(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "new" / "cases.parquet", 21_000, DAY)
    written = pq.ParquetFile(tmp_path / "new" / "cases.parquet")

    assert [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)] == [20_000, 1_000]
