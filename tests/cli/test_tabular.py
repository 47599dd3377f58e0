"""The rows of a query as JSON, CSV and Markdown."""

import csv
import io
import json

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cli.tabular import FORMATS, to_csv, to_json, to_markdown

# One for all tests, which write nothing: to open one costs more than a query.
CONNECTION = duckdb.connect()


def rows(sql: str) -> duckdb.DuckDBPyRelation:
    return CONNECTION.sql(sql)


def relation(values: list[tuple[str | None, float | None]]) -> duckdb.DuckDBPyRelation:
    table = pa.table(
        {
            "text": pa.array([a for a, _ in values], pa.string()),
            "number": pa.array([b for _, b in values], pa.float64()),
        }
    )
    return CONNECTION.from_arrow(table)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("NULL", None),
        ("true", True),
        ("42", 42),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("0.25::DOUBLE", 0.25),
        ("'NaN'::DOUBLE", None),
        ("'inf'::FLOAT", None),
        ("1.50::DECIMAL(5, 2)", "1.50"),
        ("'a\nb'", "a\nb"),
        ("DATE '2026-11-20'", "2026-11-20"),
        ("TIMESTAMP '2026-11-20 10:00:00.5'", "2026-11-20T10:00:00.500000"),
        ("'\\xFF'::BLOB", "/w=="),
        ("[1, 2]", [1, 2]),
        ("{'a': DATE '2026-11-20'}", {"a": "2026-11-20"}),
    ],
)
def test_json_value_of_each_type(sql: str, value: object) -> None:
    assert json.loads(to_json(rows(f"SELECT {sql} AS x"))) == [{"x": value}]


@pytest.mark.parametrize(("name", "text"), [("json", "[]"), ("csv", "x\n"), ("markdown", "| x |\n| --- |")])
def test_no_rows_are_an_empty_table(name: str, text: str) -> None:
    assert FORMATS[name](rows("SELECT 1 AS x WHERE false")) == text


def test_equal_names_are_numbered() -> None:
    assert json.loads(to_json(rows("SELECT 1 AS x, 2 AS x, 3 AS x_1"))) == [{"x": 1, "x_1": 2, "x_1_1": 3}]


def test_markdown_keeps_a_row_in_its_line() -> None:
    assert to_markdown(rows("SELECT 'a|b\nc' AS x")) == "| x |\n| --- |\n| a\\|b c |"


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False))))
def test_json_holds_every_row(values: list[tuple[str | None, float | None]]) -> None:
    parsed = json.loads(to_json(relation(values)))

    assert [(row["text"], row["number"]) for row in parsed] == values


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False))))
def test_csv_holds_every_row(values: list[tuple[str, float]]) -> None:
    parsed = list(csv.reader(io.StringIO(to_csv(relation(values)), newline="")))

    assert parsed[0] == ["text", "number"]
    assert [(text, float(number)) for text, number in parsed[1:]] == values


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.floats())))
def test_markdown_has_a_line_for_every_row(values: list[tuple[str | None, float | None]]) -> None:
    assert len(to_markdown(relation(values)).split("\n")) == len(values) + 2
