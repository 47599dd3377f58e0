"""Addresses in BigQuery as a person writes them, and the condition that picks one day."""

import datetime as dt
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError
from beam_pcc.gcp.names import SourceTable, TableId, day_restriction, parse_dataset, parse_table, quoted

DAY = dt.date(2026, 12, 31)


@pytest.mark.parametrize("text", ["my-project.support", "bq://my-project.support", "example.com:my-project.support"])
def test_dataset_scheme_is_optional(text: str) -> None:
    found = parse_dataset(text, "--warehouse")
    assert found.dataset == "support"
    assert str(found) == text.removeprefix("bq://")


@pytest.mark.parametrize(
    "text", ["", "support", "p.d", "my-project.d.t", "my-project.d;drop", "my-project.d`", "gs://b/d"]
)
def test_what_is_no_dataset_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--temp_dataset .* is no dataset: write project\.dataset$"):
        parse_dataset(text, "--temp_dataset")


@pytest.mark.parametrize(
    "text", ["my-project.d", "my-project.d.t.u", "my-project.d.t`; DROP TABLE x", "my-project.d.t u"]
)
def test_what_is_no_table_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--source .* is no table: write project\.dataset\.table$"):
        parse_table(text, "--source")


def test_a_sharded_table_gets_the_day_into_its_name() -> None:
    found = SourceTable.parse("bq://my-project.d.redacted_snapshot_{partition}", DAY)
    assert found == SourceTable(TableId("my-project", "d", "redacted_snapshot_20261231"))


def test_partitioned_table_is_named_by_its_column() -> None:
    found = SourceTable.parse("bq://my-project.d.cases?partition_column=created_at", DAY)
    assert found == SourceTable(TableId("my-project", "d", "cases"), "created_at")


@pytest.mark.parametrize(
    "source", ["bq://my-project.d.cases", "bq://my-project.d.cases_{partition}?partition_column=day"]
)
def test_source_names_the_day_exactly_once(source: str) -> None:
    with pytest.raises(ConfigurationError, match="say how to find the day"):
        SourceTable.parse(source, DAY)


def test_an_unknown_option_of_a_source_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="column is no option; there is "):
        SourceTable.parse("bq://my-project.d.cases?column=day", DAY)


@pytest.mark.parametrize("column", ["day; DROP", "", "d`", "a.b", "a\tb", "x" * 301])
def test_a_partition_column_is_a_name(column: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--source"):
        SourceTable.parse(f"bq://my-project.d.cases?partition_column={column}", DAY)


@pytest.mark.parametrize("column", ["order", "day of case", "création", "日付", "a-b", "a#b", "R&D = 100%", "x" * 300])
def test_partition_column_has_any_name_of_bigquery(column: str) -> None:
    parsed = SourceTable.parse(f"bq://my-project.d.cases?partition_column={quote(column)}", DAY)
    assert parsed.partition_column == column


@pytest.mark.parametrize("table", ["cases-eu", "support cases", "fälle", "事例", "cases_٣", "x" * 1_024])
def test_source_table_has_any_name_of_bigquery(table: str) -> None:
    assert SourceTable.parse(f"bq://my-project.d.{table}?partition_column=day", DAY).table.table == table


@pytest.mark.parametrize("table", ["a`b", "a$20261120", "a;b", "a/b", "a\nb", "a'b", "a.b", "é" * 513, "\ud800"])
def test_source_table_of_no_name_is_refused(table: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--source .* is no table: write project\.dataset\.table$"):
        SourceTable.parse(f"bq://my-project.d.{table}?partition_column=day", DAY)


def test_source_table_in_a_project_of_a_domain() -> None:
    parsed = SourceTable.parse("bq://example.com:my-project.d.cases_{partition}", DAY)
    assert parsed.table == TableId("example.com:my-project", "d", "cases_20261231")


@given(st.text(max_size=20))
def test_source_that_parses_cannot_leave_its_quotes(table: str) -> None:
    try:
        parsed = SourceTable.parse(f"bq://my-project.d.{table}?partition_column=day", DAY)
    except ConfigurationError:
        return
    assert not set("`\\\n\r") & set(str(parsed.table))


@given(st.text())
def test_quoted_name_ends_where_it_should(name: str) -> None:
    inside = quoted(name)[1:-1].replace("\\\\", "").replace("\\`", "")
    assert "`" not in inside
    assert not inside.endswith("\\")


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("DATE", "`day` = DATE '2026-12-31'"),
        ("INTEGER", "`day` = 20261231"),
        (
            "TIMESTAMP",
            "`day` >= TIMESTAMP '2026-12-31 00:00:00+00:00' AND `day` < TIMESTAMP '2027-01-01 00:00:00+00:00'",
        ),
        ("DATETIME", "`day` >= DATETIME '2026-12-31 00:00:00' AND `day` < DATETIME '2027-01-01 00:00:00'"),
    ],
)
def test_restriction_is_one_utc_day_of_the_bare_column(kind: str, condition: str) -> None:
    assert day_restriction("day", kind, DAY) == condition


def test_day_cannot_be_a_text_column() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^--source: partition_column day is STRING; a day can be told by DATE"
    ):
        day_restriction("day", "STRING", DAY)
