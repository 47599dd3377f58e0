"""Rows with messages: each comes out once, as a text, as a vector, or rejected with a reason."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.columns import check_input
from beam_pcc.cases.text_validation import validate_texts
from beam_pcc.errors import SourceError
from tests.inputs import DOUBLES, TIME, VECTOR, not_utf8, vectors
from tests.messages import HOSTILE, NOT_VISIBLE, any_text

TIMES = pa.timestamp("us", "UTC")


def rows(texts: Any, **more: Any) -> pa.RecordBatch:
    n = len(texts)
    columns = {
        "case_id": pa.array([f"c{i}" for i in range(n)], pa.string()),
        "text": texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string()),
        "timestamp": pa.array([TIME] * n, TIMES),
        **more,
    }
    return pa.RecordBatch.from_pydict(columns)


def reasons(rejected: pa.RecordBatch) -> dict[str, str]:
    return {row["case_id"]: row["reason"] for row in rejected.to_pylist()}


def test_sound_rows_go_on_as_they_are() -> None:
    texts, cases, rejected = validate_texts(rows(["delete me", *HOSTILE]), "text")

    assert texts.schema.equals(schemas.TEXTS)
    assert texts.column("text").to_pylist() == ["delete me", *HOSTILE]
    assert cases.num_rows == rejected.num_rows == 0


def test_digest_of_the_content_is_of_the_message() -> None:
    messages = ["delete me", "\u200b", "delete me", "delete me "]
    texts, _, _ = validate_texts(rows(messages), "text")

    first, copy, other = texts.column("content_digest").to_pylist()
    assert first == copy != other


def test_what_a_person_would_not_see_is_no_text() -> None:
    texts, _, rejected = validate_texts(rows([None, *NOT_VISIBLE, "x"]), "text")

    assert texts.num_rows == 1
    assert set(reasons(rejected).values()) == {faults.EMPTY_TEXT.code}


def test_a_text_that_is_not_utf8_is_rejected() -> None:
    texts, _, rejected = validate_texts(rows(not_utf8(pa.string(), [b"fine", b"\xff\xfe", b"\xed\xa0\x80"])), "text")

    assert texts.column("text").to_pylist() == ["fine"]
    assert reasons(rejected) == {"c1": faults.EMPTY_TEXT.code, "c2": faults.EMPTY_TEXT.code}


def test_first_of_several_faults_is_the_reason() -> None:
    ids, times = pa.array([None, "b", "c", "d"]), pa.array([None, None, None, TIME], TIMES)
    texts, _, rejected = validate_texts(rows([None, None, "x", "x"], case_id=ids, timestamp=times), "text")

    assert reasons(rejected) == {
        None: faults.MISSING_CASE_ID.code,
        "b": faults.EMPTY_TEXT.code,
        "c": faults.BAD_TIMESTAMP.code,
    }
    assert texts.num_rows == 1


def test_a_vector_counts_where_there_is_no_text() -> None:
    column = vectors([VECTOR, None, VECTOR, VECTOR[:3]], DOUBLES)
    texts, cases, rejected = validate_texts(rows(["a", None, None, None], embedding_vector=column), "text")

    assert texts.column("case_id").to_pylist() == ["c0"]
    assert cases.column("case_id").to_pylist() == ["c2"]
    np.testing.assert_array_equal(schemas.vectors_of(cases)[0], VECTOR.astype(np.float32))
    assert reasons(rejected) == {"c1": faults.EMPTY_TEXT.code, "c3": faults.WRONG_DIMENSION.code}


@given(st.lists(st.one_of(st.none(), any_text), max_size=6))
def test_every_row_comes_out_once(given: list[str | None]) -> None:
    given = [None if text is None else text.encode("utf-8", "replace").decode() for text in given]
    texts, cases, rejected = validate_texts(rows(given), "text")

    found = [*texts.column("case_id").to_pylist(), *rejected.column("case_id").to_pylist()]
    assert sorted(found) == [f"c{i}" for i in range(len(given))]
    assert cases.num_rows == 0


def test_the_columns_to_read_are_those_of_the_source() -> None:
    schema = rows(["a"]).schema
    assert check_input(schema, "here", "text") == ["case_id", "text", "timestamp"]
    both = schema.append(pa.field("embedding_vector", DOUBLES))
    assert check_input(both, "here", "text") == ["case_id", "text", "timestamp", "embedding_vector"]
    assert check_input(both, "here") == list(schemas.INPUT_COLUMNS)


@pytest.mark.parametrize(
    ("column", "said"), [("body", "has no column body"), ("number", "column number is int64, not STRING")]
)
def test_a_source_without_texts_is_refused(column: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        check_input(rows(["a"], number=pa.array([1])).schema, "here", column)
