"""Separate datasets for each test in a BigQuery emulator, and the command line."""

from __future__ import annotations

import datetime as dt
import gc
import io
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery, storage

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.publishing.warehouse.bigquery.warehouse import LOCK
from beam_pcc.sources import synthetic
from tests.emulators import environment
from tests.emulators.running import BUCKET, PROJECT, Emulators, running
from tests.end_to_end.conftest import DATE, DAY, Ended


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Both emulators; Google's clients of this process, and of those it starts, talk to them.

    Started anew for each file: BigQuery's takes longer for everything, the more tables there were.
    """
    with running(environment.python(), tmp_path_factory.mktemp("emulators")) as started:
        with started.here():
            yield started
        with warnings.catch_warnings():  # what is collected here must not be found when pytest ends
            warnings.simplefilter("ignore")
            gc.collect()


TABLES = {*schemas.TABLES, LOCK}
SCHEMA = [
    bigquery.SchemaField("case_id", "STRING"),
    bigquery.SchemaField("embedding_vector", "FLOAT", mode="REPEATED"),
    bigquery.SchemaField("timestamp", "TIMESTAMP"),
    bigquery.SchemaField("text", "STRING"),
]


def sample(rows: int, day: dt.date = DATE) -> pa.Table:
    """The synthetic sample as a source table holds it: with a text column that nobody may read."""
    batches = [synthetic.cases(rows, day, chunk=chunk) for chunk in range(synthetic.chunks(rows))]
    table = pa.Table.from_batches(batches)
    return table.append_column("text", pa.array([f"my secret {n}" for n in range(len(table))]))


@dataclass
class Cloud:
    """One test's datasets, and the commands that work on them."""

    client: bigquery.Client
    models: Path
    capture: pytest.CaptureFixture[str]
    name: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        self.source = f"{PROJECT}.{self.name}_source"
        self.output = f"{PROJECT}.{self.name}_output"
        self.staging = f"gs://{BUCKET}/{self.name}"
        self.sharded = f"bq://{self.source}.redacted_snapshot_{{partition}}"
        for dataset in (self.source, self.output):
            self.client.create_dataset(dataset)

    def seed(self, rows: pa.Table, table: str = f"redacted_snapshot_{DAY}", schema: Any = SCHEMA) -> str:
        """Make a source table of these rows."""
        name = f"{self.source}.{table}"
        self.client.create_table(bigquery.Table(name, schema=schema))
        if len(rows):
            file = io.BytesIO()
            pq.write_table(rows, file)
            file.seek(0)
            config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema)
            self.client.load_table_from_file(file, name, job_config=config).result()
        return name

    def flags(self, *more: object, day: str = DAY) -> list[str]:
        flags: list[object] = [
            "run",
            "--partition",
            day,
            "--source",
            self.sharded,
            "--warehouse",
            f"bq://{self.output}",
        ]
        flags += ["--models", self.models, "--staging", self.staging, "--retry_timeout", 20, *more]
        return [str(flag) for flag in flags]

    def run(self, *more: object, day: str = DAY) -> Ended:
        """Run in this process; a later flag wins."""
        return self.call(*self.flags(*more, day=day))

    def call(self, *arguments: object) -> Ended:
        self.capture.readouterr()
        code = cli.main([str(a) for a in arguments])
        captured = self.capture.readouterr()
        return Ended(code, captured.out, captured.err)

    def spawn(self, *more: object, day: str = DAY) -> subprocess.Popen[str]:
        """Run in a process of its own."""
        command = [sys.executable, "-m", "beam_pcc", *self.flags(*more, day=day)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; table names without a dataset are of the output."""
        config = bigquery.QueryJobConfig(default_dataset=self.output)
        return [tuple(row.values()) for row in self.client.query(sql, job_config=config).result()]

    def published(self) -> list[tuple[Any, ...]]:
        """What a reader sees, but for the times and the run."""
        return self.query(
            "SELECT case_id, predicted_label, subtype_label, confidence, model_version, partition_date "
            "FROM pcc_inference_output WHERE ingestion_time > '1970-01-01' ORDER BY 1, 2, 3, 4, 5, 6"
        )

    def monitoring(self) -> list[dict[str, Any]]:
        """All monitoring rows, oldest first."""
        config = bigquery.QueryJobConfig(default_dataset=self.output)
        sql = "SELECT * FROM pcc_monitoring_logs WHERE ingestion_time > '1970-01-01' ORDER BY ingestion_time"
        return [dict(row.items()) for row in self.client.query(sql, job_config=config).result()]

    def output_tables(self) -> set[str]:
        return {table.table_id for table in self.client.list_tables(self.output)}


@pytest.fixture
def cloud(emulators: Emulators, models: Path, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return Cloud(bigquery.Client(project=PROJECT), models, capsys)


@pytest.fixture
def bucket(emulators: Emulators) -> storage.Bucket:
    return storage.Client(project=PROJECT).bucket(BUCKET)
