"""BigQuery on this machine, run by the emulators' own Python: serve_bigquery.py REST_PORT GRPC_PORT FOLDER PROJECT.

Its DuckDB extensions come as packages and are put in place first, so nothing is downloaded. A read session gets a
stream for every 500 rows, so that small tables are read in parallel too.
"""

import sys

import duckdb_extensions

for extension in ("icu", "ducklake", "httpfs", "spatial", "avro"):
    duckdb_extensions.import_extension(extension)

import local_bigquery.grpc.read
from local_bigquery import cli

local_bigquery.grpc.read.STREAM_ROWS = 500
rest, grpc, folder, project = sys.argv[1:]
cli.main(
    [
        *("--host", "127.0.0.1", "--port", rest, "--grpc-port", grpc, "--data-dir", folder),
        *("--project", project, "--dataset", "unused", "serve"),
    ]
)
