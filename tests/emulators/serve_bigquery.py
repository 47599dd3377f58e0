"""BigQuery on this machine, run by the emulators' own Python.

usage: serve_bigquery.py HOST REST_PORT GRPC_PORT FOLDER PROJECT STREAM_ROWS

Its DuckDB extensions come as packages and are put in place first, so nothing is downloaded. A read session gets a
stream for every STREAM_ROWS rows: few make small tables be read in parallel too, but each stream costs a whole query.
The emulator would put a whole stream into one message; Google's have at most 10 MB, so here a stream has several.
"""

import contextlib
import sys

import duckdb_extensions

for extension in ("icu", "ducklake", "httpfs", "spatial", "avro"):
    duckdb_extensions.import_extension(extension)

from local_bigquery import cli
from local_bigquery.grpc import read


class Cursor:
    """A cursor whose query results come in batches of a few rows."""

    def __init__(self, cursor):
        self._cursor = cursor

    def sql(self, query):
        return Relation(self._cursor.sql(query))


class Relation:
    def __init__(self, relation):
        self._relation = relation

    def __getattr__(self, name):
        return getattr(self._relation, name)

    def to_arrow_reader(self):
        return self._relation.to_arrow_reader(MESSAGE_ROWS)


class Database:
    cursor_of_all = staticmethod(read.database.cursor)

    @classmethod
    @contextlib.contextmanager
    def cursor(cls):
        with cls.cursor_of_all() as cursor:
            yield Cursor(cursor)


host, rest, grpc, folder, project, stream_rows = sys.argv[1:]
read.STREAM_ROWS = int(stream_rows)
MESSAGE_ROWS = max(1, min(2_000, read.STREAM_ROWS // 4))
read.database = Database
cli.main(
    [
        *("--host", host, "--port", rest, "--grpc-port", grpc, "--data-dir", folder),
        *("--project", project, "--dataset", "unused", "serve"),
    ]
)
