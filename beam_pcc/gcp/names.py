"""Addresses of BigQuery datasets and tables, as a person writes them. Needs no Google library."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl

from beam_pcc.errors import ConfigurationError, missing_extra, one_line

RETRY_TIMEOUT = 300.0  # seconds to ask again for, where nobody says otherwise
# Domain-scoped projects hold a colon and a dot: example.com:project.
_PROJECT = r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{1,61}"
_DATASET_ADDRESS = re.compile(rf"({_PROJECT})\.(\w{{1,1024}})", re.ASCII)
_TABLE_ADDRESS = re.compile(rf"({_PROJECT})\.(\w{{1,1024}})\.([\w-]{{1,1024}})", re.ASCII)
_SOURCE_ADDRESS = re.compile(rf"({_PROJECT})\.(\w{{1,1024}})\.([^.]+)", re.ASCII)
# BigQuery's rules for names. Of a table: letters, marks, digits, connectors, dashes and spaces of any script.
_IN_TABLE_NAME = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Zs"})
_TABLE_WANTED = "table: write project.dataset.table"
_LONGEST_TABLE_NAME = 1_024  # bytes of UTF-8
_NOT_IN_COLUMN_NAME = frozenset('!"$()*,./;?@[\\]^`{}~')
_LONGEST_COLUMN_NAME = 300  # characters
INGESTION_TIME = "_PARTITIONTIME"
"""The pseudocolumn of a table that is partitioned by the time of ingestion; no schema lists it."""
_INGESTION_COLUMNS = frozenset({INGESTION_TIME, "_PARTITIONDATE"})
_SCHEME = "bq://"


@contextlib.contextmanager
def gcp_extra(flag: str) -> Iterator[None]:
    """Around imports of Google's clients: say what to install if they are missing. Raises ConfigurationError."""
    try:
        yield
    except ImportError as error:
        raise missing_extra("gcp", flag, error) from None


class DatasetId(NamedTuple):
    """A dataset: project and name."""

    project: str
    dataset: str

    def __str__(self) -> str:
        return ".".join(self)

    def table(self, name: str) -> TableId:
        """A table of this dataset."""
        return TableId(*self, name)


class TableId(NamedTuple):
    """A table: project, dataset and name."""

    project: str
    dataset: str
    table: str

    @property
    def home(self) -> DatasetId:
        """The table's dataset."""
        return DatasetId(self.project, self.dataset)

    def __str__(self) -> str:
        return ".".join(self)


def parse_dataset(text: str, flag: str) -> DatasetId:
    """Read `project.dataset`, with or without bq://. Raises ConfigurationError naming `flag`."""
    return DatasetId(*_parts(_DATASET_ADDRESS, text, flag, "dataset: write project.dataset"))


def parse_table(text: str, flag: str) -> TableId:
    """Read `project.dataset.table`, with or without bq://. Raises ConfigurationError naming `flag`."""
    return TableId(*_parts(_TABLE_ADDRESS, text, flag, _TABLE_WANTED))


def _parts(pattern: re.Pattern[str], text: str, flag: str, wanted: str) -> tuple[str, ...]:
    match = pattern.fullmatch(text.removeprefix(_SCHEME))
    if not match:
        raise _no_address(text, flag, wanted)
    return match.groups()


def _no_address(text: str, flag: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"{flag} {one_line(text, 80)} is no {wanted}")


@dataclass(frozen=True)
class SourceTable:
    """The table that `--source bq://...` names for one day, and how to pick the day from it.

    Attributes:
        table: A table that holds one day (a shard), or many.
        partition_column: Of a table with many days, the column that tells the day; None for a shard.
    """

    table: TableId
    partition_column: str | None = None

    @classmethod
    def parse(cls, source: str, partition: dt.date) -> SourceTable:
        """Read `bq://p.d.t_{partition}` or `bq://p.d.t?partition_column=timestamp`. Raises ConfigurationError."""
        address, _, options = source.partition("?")
        known = dict(parse_qsl(options, keep_blank_values=True))
        column = known.pop("partition_column", None)
        if known:
            raise ConfigurationError(
                f"--source {one_line(source, 120)}: {one_line(next(iter(known)), 40)} is no option; "
                "there is ?partition_column=COLUMN"
            )
        sharded = "{partition}" in address
        if sharded == (column is not None):
            raise ConfigurationError(
                f"--source {one_line(source, 120)}: say how to find the day, by {{partition}} in the name of a "
                "date-sharded table or by ?partition_column=COLUMN"
            )
        if column is not None and not _is_column_name(column):
            raise ConfigurationError(f"--source: partition_column {one_line(column, 60)} is no name of a column")
        address = address.replace("{partition}", f"{partition:%Y%m%d}")
        table = TableId(*_parts(_SOURCE_ADDRESS, address, "--source", _TABLE_WANTED))
        if not _is_table_name(table.table):
            raise _no_address(address, "--source", _TABLE_WANTED)
        return cls(table, column)


def _is_table_name(name: str) -> bool:
    return len(name.encode(errors="replace")) <= _LONGEST_TABLE_NAME and all(
        unicodedata.category(character) in _IN_TABLE_NAME for character in name
    )


def _is_column_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_COLUMN_NAME and name.isprintable() and not _NOT_IN_COLUMN_NAME & set(name)


def is_ingestion_column(column: str) -> bool:
    """Whether this is a pseudocolumn by which a table is partitioned by the time of ingestion."""
    return column.upper() in _INGESTION_COLUMNS


def quoted(name: str) -> str:
    """A column's name in SQL, whatever characters it has. A pseudocolumn stays as it is."""
    if is_ingestion_column(name):
        return name
    return "`{}`".format(name.replace("\\", "\\\\").replace("`", "\\`"))


def day_restriction(column: str, kind: str, day: dt.date) -> str:
    """The SQL condition that picks one UTC day by a column of BigQuery type `kind`.

    It compares the bare column, so that partitions are pruned and a required partition filter is satisfied.

    Raises:
        ConfigurationError: A day cannot be told by a column of this type.
    """
    name = quoted(column)
    if kind == "DATE":
        return f"{name} = DATE '{day}'"
    if kind in ("TIMESTAMP", "DATETIME"):
        zone = "+00:00" if kind == "TIMESTAMP" else ""
        from_midnight = f"{name} >= {kind} '{day} 00:00:00{zone}'"
        if day == dt.date.max:
            return from_midnight
        return f"{from_midnight} AND {name} < {kind} '{day + dt.timedelta(days=1)} 00:00:00{zone}'"
    if kind in ("INTEGER", "INT64"):
        return f"{name} = {day:%Y%m%d}"
    raise ConfigurationError(
        f"--source: partition_column {column} is {kind}; a day can be told by DATE, TIMESTAMP, DATETIME, or an "
        "integer YYYYMMDD"
    )
