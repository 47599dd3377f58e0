"""Renders the rows of a query as JSON, CSV or Markdown."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import decimal
import io
import json
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_ROWS = 10_000  # that are fetched at once


def to_json(rows: duckdb.DuckDBPyRelation) -> str:
    """A JSON array with an object for each row; dates and times as ISO 8601, bytes as base64, NaN as null."""
    names = _distinct(rows.columns)
    objects = (json.dumps(dict(zip(names, map(_json_value, row), strict=True))) for row in _fetched(rows))
    text = ",\n".join(f"  {one}" for one in objects)
    return f"[\n{text}\n]" if text else "[]"


def to_csv(rows: duckdb.DuckDBPyRelation) -> str:
    """CSV with a header, a comma, and quotes where needed; null is empty."""
    lines = [_csv_line(_distinct(rows.columns))]
    lines += [_csv_line([_cell(value) for value in row]) for row in _fetched(rows)]
    return "\n".join([*lines, ""])


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that it quotes a cell with either of them
    return text.getvalue().removesuffix("\r\n")


def to_markdown(rows: duckdb.DuckDBPyRelation) -> str:
    """A Markdown table, a line for each row; null is empty."""
    names = _distinct(rows.columns)
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in _fetched(rows))]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


FORMATS: dict[str, Callable[[duckdb.DuckDBPyRelation], str]] = {
    "text": str,
    "json": to_json,
    "csv": to_csv,
    "markdown": to_markdown,
}


def _fetched(rows: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    while fetched := rows.fetchmany(_ROWS):
        yield from fetched


def _distinct(names: list[str]) -> list[str]:
    """The names, with _1, _2 ... behind those that are there before: an object has each name once."""
    distinct: list[str] = []
    for name in names:
        number, candidate = 0, name
        while candidate in distinct:
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _json_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(one) for one in value]
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(_json_value(value))
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else _text(value)


def _escaped(cell: str) -> str:
    return " ".join(cell.split("\n")).replace("\\", "\\\\").replace("|", "\\|")
