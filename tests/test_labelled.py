"""Labelled rows: both kinds of file, each content once, contradictions left out."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError
from beam_pcc.evaluation.labelled import normalised, read_labelled, require_trainable
from tests.inputs import VECTOR, VECTOR_TYPES, rows, vectors
from tests.messages import NOT_VISIBLE, SECRET


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


ROWS = [
    {"text": "Delete my data!", "intent": "PC/deletion"},
    {"text": "where is my parcel 123", "intent": "NOT_PC"},
    {"text": "what do you know about me", "intent": "PC/access"},
]


def test_jsonl_and_parquet_hold_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "data.parquet")
    for path in (jsonl(tmp_path / "data.jsonl", ROWS), str(tmp_path / "data.parquet")):
        found = read_labelled(path, "text")
        assert found.texts == tuple(row["text"] for row in ROWS)
        assert found.labels.tolist() == [row["intent"] for row in ROWS]


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", ROWS[:1])
    jsonl(tmp_path / "b.jsonl", [{**row, "lang": "en"} for row in ROWS[1:]])
    assert read_labelled(str(tmp_path / "*.jsonl"), "text").texts == tuple(row["text"] for row in ROWS)


def test_other_columns_are_those_of_the_kept_rows(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"text": " ", "intent": "PC", "Lang": "xx"}, {**ROWS[0], "Lang": "en"}, ROWS[0]])
    jsonl(tmp_path / "b.jsonl", [{**row, "year": 2024} for row in ROWS[1:]])
    labelled = read_labelled(str(tmp_path / "*.jsonl"), "text", ["lang", "year"])
    assert labelled.columns == {"lang": ("en", None, None), "year": (None, "2024", "2024")}


def test_a_column_that_no_file_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no column lang; name another"):
        read_labelled(jsonl(tmp_path / "a.jsonl", ROWS), "text", ["lang"])


def test_files_of_several_types_are_read_as_one(tmp_path: Path) -> None:
    texts = [row["text"] for row in ROWS]
    intents = [row["intent"] for row in ROWS]
    pq.write_table(
        pa.table({"Text": pa.array(texts[:1], pa.string_view()), "intent": intents[:1]}), tmp_path / "a.parquet"
    )
    encoded = {"text": pa.array(texts[1:]).dictionary_encode(), "INTENT": pa.array(intents[1:]).dictionary_encode()}
    pq.write_table(pa.table(encoded), tmp_path / "b.parquet")
    found = read_labelled(str(tmp_path / "*.parquet"), "TEXT")
    assert (found.texts, found.labels.tolist()) == (tuple(texts), intents)


@pytest.mark.parametrize("dtype", VECTOR_TYPES, ids=str)
def test_labelled_vectors_may_have_any_accepted_type(tmp_path: Path, dtype: pa.DataType) -> None:
    batch = rows(vector=vectors([VECTOR, None, -VECTOR], dtype)).append_column(
        "Intent", pa.array(["PC", "PC", "NOT_PC"])
    )
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "a.parquet")
    found = read_labelled(str(tmp_path / "a.parquet"))
    np.testing.assert_array_equal(found.vectors, np.array([VECTOR, -VECTOR], np.float32))
    assert (found.labels.tolist(), found.dropped) == (["PC", "NOT_PC"], 1)


def test_labelled_columns_that_differ_in_case_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "Text": ["b"], "intent": ["PC"]}), tmp_path / "a.parquet")
    assert "has the columns text and Text, which differ in case at most" in refusal(str(tmp_path / "a.parquet"))


def test_what_says_the_same_is_kept_once(tmp_path: Path) -> None:
    again = [
        {"text": text, "intent": "PC/deletion"}
        for text in ("delete my data", "  DELETE, my  data??", "Delete my data!")
    ]
    found = read_labelled(
        jsonl(tmp_path / "a.jsonl", [*ROWS, *again, {"text": "Where is my parcel 456?", "intent": "NOT_PC"}]), "text"
    )

    assert found.texts == tuple(row["text"] for row in ROWS)
    assert (found.duplicates, found.contradicting) == (4, 0)


def test_text_with_both_labels_is_left_out(tmp_path: Path) -> None:
    found = read_labelled(jsonl(tmp_path / "a.jsonl", [*ROWS, {"text": "delete my DATA", "intent": "NOT_PC"}]), "text")

    assert found.texts == tuple(row["text"] for row in ROWS[1:])
    assert (found.duplicates, found.contradicting) == (0, 2)


def test_vectors_are_kept_once_too(tmp_path: Path, labelled: Path) -> None:
    table = pq.read_table(labelled).slice(0, 40)
    pq.write_table(pa.concat_tables([table, table.slice(0, 5)]), tmp_path / "twice.parquet")
    found = read_labelled(str(tmp_path / "twice.parquet"))

    assert (len(found.labels), found.duplicates) == (40, 5)
    np.testing.assert_array_equal(found.vectors, read_labelled(str(labelled)).vectors[:40])


def test_rows_without_a_visible_text_are_dropped(tmp_path: Path) -> None:
    blank = [{"text": text, "intent": "NOT_PC"} for text in [*NOT_VISIBLE, None]]
    found = read_labelled(jsonl(tmp_path / "a.jsonl", [*ROWS, *blank]), "text")
    assert (len(found.labels), found.dropped) == (3, len(blank))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Order 123", "order 99 7", False),
        ("Order 123", "ORDER: 456!", True),
        ("Löschen", "löschen", True),
        ("löschen", "loschen", False),
        ("!!!", "???", False),
    ],
)
def test_when_two_messages_say_the_same(one: str, other: str, alike: bool) -> None:
    assert (normalised(one) == normalised(other)) == alike


def refusal(path: str, column: str | None = "text") -> str:
    with pytest.raises(ConfigurationError) as refused:
        require_trainable(read_labelled(path, column), path)
    assert str(refused.value).isprintable()
    assert SECRET not in str(refused.value)
    return str(refused.value)


def test_a_missing_text_column_is_named(tmp_path: Path) -> None:
    assert "has no column body" in refusal(jsonl(tmp_path / "a.jsonl", ROWS), "body")


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    assert "column n is int64, not STRING" in refusal(
        jsonl(tmp_path / "a.jsonl", [{**row, "n": 1} for row in ROWS]), "n"
    )


def test_wrong_label_is_reported_without_the_text(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*ROWS, {"text": SECRET, "intent": "privacy"}])
    assert "an intent is none of PC, NOT_PC, PC/<subtype> (1 rows)" in refusal(path)


def test_broken_line_is_reported_without_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]) + f'\n{{"text": "{SECRET}", "intent"\n')
    assert "cannot be read as JSONL" in refusal(str(tmp_path / "a.jsonl"))


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "no file matches" in refusal(str(tmp_path / "*.jsonl"))


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    assert "needs rows of NOT_PC and of PC" in refusal(jsonl(tmp_path / "a.jsonl", ROWS[1:2]))


def test_too_few_of_a_class_are_refused(tmp_path: Path) -> None:
    assert "at least 10 of each class are needed" in refusal(jsonl(tmp_path / "a.jsonl", ROWS))


@pytest.mark.parametrize("text_column", ["text", None])
def test_labelled_jsonl_may_be_packed(tmp_path: Path, text_column: str | None) -> None:
    vectors = [{"case_id": str(i), "embedding_vector": [float(i)] * schemas.VECTOR_DIM} for i in range(len(ROWS))]
    rows = [{**row, **vector} for row, vector in zip(ROWS, vectors, strict=True)]
    plain = Path(jsonl(tmp_path / "a.jsonl", rows))
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert (
        read_labelled(str(packed), text_column).labels.tolist()
        == read_labelled(str(plain), text_column).labels.tolist()
    )
