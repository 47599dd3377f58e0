"""The types of BigQuery's columns: the contracts list those that are accepted, and others are refused at launch."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.cloud.bigquery import SchemaField

from beam_pcc.cases import schemas
from beam_pcc.cases.columns import check_input, input_columns
from beam_pcc.cases.validation import validate
from beam_pcc.errors import SourceError
from beam_pcc.sources.bigquery import _ARROW, _arrow_type
from tests.inputs import TIME, VECTOR

CONTRACTS = (Path(__file__).parent.parent.parent / "docs/contracts.md").read_text()
TYPES = [*_ARROW, "BOOL", "BOOLEAN", "TIME", "INTERVAL", "GEOGRAPHY", "JSON", "RECORD", "STRUCT", "RANGE"]
ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
SOUND = {
    "case_id": SchemaField("case_id", "STRING"),
    "embedding_vector": SchemaField("embedding_vector", "FLOAT64", mode="REPEATED"),
    "timestamp": SchemaField("timestamp", "TIMESTAMP"),
    "message": SchemaField("message", "STRING"),
}


def accepted(column: str, mode: str = "NULLABLE") -> set[str]:
    """The types that a column may have in a table."""
    names = set()
    for name in TYPES:
        fields = SOUND | {column: SchemaField(column, name, mode=mode)}
        schema = pa.schema([(field.name, _arrow_type(field)) for field in fields.values()])
        try:
            check_input(schema, "here", "message" if column == "message" else None)
            names.add(ALIASES.get(name, name))
        except SourceError:
            pass
    return names


def documented(row: str) -> set[str]:
    (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.*?) \|", CONTRACTS, re.MULTILINE)
    return set(re.findall(r"[A-Z0-9]{4,}", cells)) - {"ARRAY"}


@pytest.mark.parametrize(
    ("row", "column"),
    [("`case_id`", "case_id"), ("`timestamp`", "timestamp"), ("messages (`--text_column`)", "message")],
)
def test_contracts_list_the_types_of_bigquery(row: str, column: str) -> None:
    assert documented(row) == accepted(column)
    assert accepted(column, "REPEATED") == set()


def test_contracts_list_the_vectors_of_bigquery() -> None:
    assert documented("`embedding_vector`, a list") == accepted("embedding_vector", "REPEATED")
    scalars = documented("`embedding_vector`, as bytes") | documented("`embedding_vector`, as text")
    assert scalars == accepted("embedding_vector")


EXACT = [Decimal(i) / 1024 for i in range(schemas.VECTOR_DIM)]


@pytest.mark.parametrize(
    ("type_name", "mode", "vector"),
    [
        ("FLOAT64", "REPEATED", VECTOR.tolist()),
        ("BIGNUMERIC", "REPEATED", EXACT),
        ("BYTES", "NULLABLE", VECTOR.astype("<f4").tobytes()),
        ("STRING", "NULLABLE", str(VECTOR.tolist())),
    ],
)
def test_rows_of_a_table_with_other_names_are_read(type_name: str, mode: str, vector: Any) -> None:
    fields = [
        SchemaField("ID", "NUMERIC"),
        SchemaField("Vec", type_name, mode=mode),
        SchemaField("timestamp", "TIMESTAMP"),
    ]
    columns = {"case_id": "id", "embedding_vector": "vec"}
    schema = pa.schema([(field.name, _arrow_type(field)) for field in fields])
    names = check_input(schema, "here", None, columns)
    row = {"ID": Decimal(7), "Vec": vector, "timestamp": TIME}
    batch = pa.RecordBatch.from_pylist([row], pa.schema([schema.field(name) for name in names]))
    cases, _ = validate(input_columns(batch, None, columns))
    assert cases.column("case_id").to_pylist() == ["7"]
    assert schemas.vectors_of(cases).tolist() == [VECTOR.tolist()]
