"""What is known of a source table at launch, and what is refused then.

The client's answer is made up here: the emulator has no ranges of integers and no external tables.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from beam_pcc.config.settings import ReadMethod
from beam_pcc.errors import ConfigurationError
from beam_pcc.sources import bigquery as source
from beam_pcc.sources.bigquery import TablePart

DAY = dt.date(2026, 11, 20)
SHARD = "bq://my-project.d.cases_{partition}"
TABLE = "bq://my-project.d.cases"
INGESTED_ON_DAY = (
    "_PARTITIONTIME >= TIMESTAMP '2026-11-20 00:00:00+00:00' AND _PARTITIONTIME < TIMESTAMP '2026-11-21 00:00:00+00:00'"
)
CASES = {"case_id": "STRING", "embedding_vector": "FLOAT*", "timestamp": "TIMESTAMP"}

FindPart = Callable[..., TablePart]


@pytest.fixture
def find_part(monkeypatch: pytest.MonkeyPatch) -> FindPart:
    """`find_part` for a table of these columns (`*`: repeated) that BigQuery describes in this way."""

    def find(
        address: str, *, method: ReadMethod = "direct", columns: dict[str, str] | None = None, **described: Any
    ) -> TablePart:
        fields = [
            {"name": name, "type": kind.rstrip("*"), "mode": "REPEATED" if kind.endswith("*") else "NULLABLE"}
            for name, kind in (CASES | (columns or {})).items()
        ]

        class Client:
            def get_table(self, reference: bigquery.TableReference, **_: object) -> bigquery.Table:
                answer = {"tableReference": reference.to_api_repr(), "schema": {"fields": fields}, "location": "EU"}
                return bigquery.Table.from_api_repr({"type": "TABLE"} | answer | described)

        @contextlib.contextmanager
        def client(*_: object) -> Iterator[Client]:
            yield Client()

        monkeypatch.setattr(source, "client", client)
        return source.find_part(address, DAY, retry_timeout=1, read_method=method)

    return find


@pytest.mark.parametrize("method", ["direct", "arrow"])
@pytest.mark.parametrize(
    ("table_type", "name"),
    [
        ("VIEW", "a view"),
        ("MATERIALIZED_VIEW", "a materialized view"),
        ("EXTERNAL", "an external table"),
        ("NEWER", "of type NEWER"),
    ],
)
def test_table_that_is_not_stored_needs_export(
    find_part: FindPart, table_type: str, name: str, method: ReadMethod
) -> None:
    with pytest.raises(ConfigurationError, match=f"_20261120 is {name}: use --read_method export, as {method} reads"):
        find_part(SHARD, method=method, type=table_type)


@pytest.mark.parametrize("table_type", ["VIEW", "MATERIALIZED_VIEW", "EXTERNAL", "TABLE", "SNAPSHOT"])
def test_export_reads_every_type_of_table(find_part: FindPart, table_type: str) -> None:
    assert find_part(SHARD, method="export", type=table_type).table.table == "cases_20261120"


@pytest.mark.parametrize("method", ["direct", "arrow"])
@pytest.mark.parametrize("described", [{"type": "SNAPSHOT"}, {"type": None}, {"cloneDefinition": {}}])
def test_stored_table_is_read_directly(find_part: FindPart, described: dict[str, Any], method: ReadMethod) -> None:
    assert find_part(SHARD, method=method, **described).restriction is None


@pytest.mark.parametrize("column", ["_PARTITIONDATE", "_PARTITIONTIME", "_partitiondate"])
@pytest.mark.parametrize("unit", ["DAY", "HOUR"])
def test_day_of_an_ingestion_time_table(find_part: FindPart, column: str, unit: str) -> None:
    part = find_part(f"{TABLE}?partition_column={column}", timePartitioning={"type": unit}, requirePartitionFilter=True)
    assert part.restriction == INGESTED_ON_DAY


@pytest.mark.parametrize("unit", ["MONTH", "YEAR"])
def test_ingestion_month_does_not_tell_the_day(find_part: FindPart, unit: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is partitioned by {unit}, so _PARTITIONTIME does not tell the day"):
        find_part(f"{TABLE}?partition_column=_PARTITIONTIME", timePartitioning={"type": unit})


@pytest.mark.parametrize("described", [{}, {"timePartitioning": {"type": "DAY", "field": "timestamp"}}])
def test_ingestion_time_of_another_table_is_refused(find_part: FindPart, described: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="not partitioned by the time of ingestion, so it has no _PARTITIOND"):
        find_part(f"{TABLE}?partition_column=_PARTITIONDATE", **described)


@pytest.mark.parametrize(
    ("described", "column"),
    [
        ({"timePartitioning": {"type": "DAY", "field": "timestamp"}}, "`timestamp`"),
        ({"timePartitioning": {"type": "DAY"}}, "_PARTITIONTIME"),
        ({"rangePartitioning": {"field": "shard", "range": {}}}, "`shard`"),
    ],
)
def test_shard_that_requires_a_filter_is_read_whole(
    find_part: FindPart, described: dict[str, Any], column: str
) -> None:
    part = find_part(SHARD, requirePartitionFilter=True, **described)
    assert part.restriction == f"({column} IS NULL OR {column} IS NOT NULL)"


def test_required_filter_as_older_answers_say_it(find_part: FindPart) -> None:
    part = find_part(SHARD, timePartitioning={"type": "DAY", "requirePartitionFilter": True})
    assert part.restriction == "(_PARTITIONTIME IS NULL OR _PARTITIONTIME IS NOT NULL)"


def test_partitioned_shard_without_required_filter(find_part: FindPart) -> None:
    assert find_part(SHARD, timePartitioning={"type": "DAY"}).restriction is None


def test_required_filter_on_another_column_is_refused(find_part: FindPart) -> None:
    by_day = {"type": "DAY", "field": "loaded on"}
    with pytest.raises(ConfigurationError, match="partitioning column loaded on, and timestamp is another; use part"):
        find_part(
            f"{TABLE}?partition_column=timestamp",
            columns={"loaded on": "DATE"},
            timePartitioning=by_day,
            requirePartitionFilter=True,
        )


def test_day_by_a_column_that_is_not_partitioned(find_part: FindPart) -> None:
    part = find_part(
        f"{TABLE}?partition_column=day",
        columns={"day": "INTEGER"},
        timePartitioning={"type": "DAY", "field": "timestamp"},
    )
    assert part.restriction == "`day` = 20261120"


def test_required_filter_on_the_named_column(find_part: FindPart) -> None:
    by_day = {"type": "DAY", "field": "Day"}
    part = find_part(
        f"{TABLE}?partition_column=day",
        columns={"Day": "DATE"},
        timePartitioning=by_day,
        requirePartitionFilter=True,
    )
    assert part.restriction == "`Day` = DATE '2026-11-20'"


@pytest.mark.parametrize(
    ("address", "name"), [("order", "order"), ("ORDER", "order"), ("day%20of%20case", "day of case"), ("日付", "日付")]
)
def test_partition_column_is_quoted(find_part: FindPart, address: str, name: str) -> None:
    part = find_part(f"{TABLE}?partition_column={address}", columns={name: "DATE"})
    assert part.restriction == f"`{name}` = DATE '2026-11-20'"


def test_unknown_partition_column_is_refused(find_part: FindPart) -> None:
    with pytest.raises(ConfigurationError, match=r"d\.cases has no column day; name the one that tells the day"):
        find_part(f"{TABLE}?partition_column=day")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"case_id": "GEOGRAPHY"}, "case_id is GEOGRAPHY, not"),
        ({"case_id": "JSON"}, "case_id is JSON, not"),
        ({"case_id": "INTEGER*"}, "case_id is ARRAY<INT64>, not"),
        ({"embedding_vector": "FLOAT"}, "embedding_vector is FLOAT64, not"),
        ({"embedding_vector": "BOOLEAN*"}, "embedding_vector is ARRAY<BOOL>, not"),
        ({"embedding_vector": "RECORD"}, "embedding_vector is STRUCT, not"),
        ({"timestamp": "BOOLEAN"}, "timestamp is BOOL, not"),
        ({"timestamp": "TIME"}, "timestamp is TIME, not"),
    ],
)
def test_refused_type_has_its_name_in_bigquery(find_part: FindPart, columns: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("*", r"\*")):
        find_part(SHARD, columns=columns)


@pytest.mark.parametrize(("kind", "name"), [("STRING", "STRING"), ("DATE*", "ARRAY<DATE>")])
def test_day_by_a_column_of_other_type_is_refused(find_part: FindPart, kind: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"partition_column day is {name}; a day can be told by DATE"):
        find_part(f"{TABLE}?partition_column=day", columns={"day": kind})
