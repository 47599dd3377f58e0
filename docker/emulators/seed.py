"""Fills the emulators: a dataset for the tables, and two source tables of synthetic cases. Can be run again.

Needs BIGQUERY_EMULATOR_HOST (the seed service of docker-compose.yml has it, and client.env).
"""

from __future__ import annotations

import datetime as dt
import io
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from beam_pcc.sources import synthetic

PROJECT = "pcc-test"
ROWS = 2_000
COLUMNS = [
    bigquery.SchemaField("case_id", "STRING"),
    bigquery.SchemaField("embedding_vector", "FLOAT", mode="REPEATED"),
    bigquery.SchemaField("timestamp", "TIMESTAMP"),
]
DAY = bigquery.SchemaField("snapshot_date", "DATE")


def sample(day: dt.date) -> pa.Table:
    """ROWS synthetic cases of a day; 2.4 % are broken on purpose, as the source `sample://2000` has them."""
    chunks = range(synthetic.chunks(ROWS))
    return pa.Table.from_batches([synthetic.cases(ROWS, day, chunk=chunk) for chunk in chunks])


def fill(client: bigquery.Client, table: bigquery.Table, rows: pa.Table) -> None:
    """Make the table anew from these rows."""
    client.delete_table(table, not_found_ok=True)
    client.create_table(table)
    file = io.BytesIO()
    pq.write_table(rows, file)
    file.seek(0)
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=table.schema)
    client.load_table_from_file(file, table, job_config=config).result()
    print(f"{table.reference}: {len(rows):,} cases")  # noqa: T201


def main() -> None:
    """Yesterday as a date-sharded table, the two days up to yesterday as a partitioned one."""
    if "BIGQUERY_EMULATOR_HOST" not in os.environ:
        sys.exit("BIGQUERY_EMULATOR_HOST is not set: this is for emulators only; source docker/emulators/client.env")
    yesterday = dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=1)
    days = [yesterday - dt.timedelta(days=1), yesterday]
    with bigquery.Client(project=PROJECT, credentials=AnonymousCredentials()) as client:
        for dataset in ("support", "pcc"):
            client.create_dataset(f"{PROJECT}.{dataset}", exists_ok=True)

        shard = bigquery.Table(f"{PROJECT}.support.redacted_snapshot_{yesterday:%Y%m%d}", schema=COLUMNS)
        fill(client, shard, sample(yesterday))

        partitioned = bigquery.Table(f"{PROJECT}.support.redacted_snapshots", schema=[*COLUMNS, DAY])
        partitioned.time_partitioning = bigquery.TimePartitioning(field=DAY.name)
        partitioned.require_partition_filter = True
        of_days = [sample(day).append_column(DAY.name, pa.array([day] * ROWS)) for day in days]
        fill(client, partitioned, pa.concat_tables(of_days))


if __name__ == "__main__":
    main()
