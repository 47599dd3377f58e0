"""Out of BigQuery: the Arrow streams against Beam's own ReadFromBigQuery, on the same table of the emulator."""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import Bench, marginal, quotients, turns
from results import Figure

import data
from beam_pcc.config.settings import ReadMethod
from beam_pcc.gcp.names import TableId
from beam_pcc.pipeline import coders
from beam_pcc.pipeline.options import beam_options

ROOT = Path(__file__).resolve().parent.parent
SIZES = (20_000, 100_000)  # marginal rows/s from two sizes, so that fixed costs cancel


def readers(bench: Bench) -> Iterator[Figure]:
    """Marginal rows/s of `--read_method arrow` against `direct`; reading only, in the in-process runner."""
    sys.path.insert(0, str(ROOT))
    from tests.emulators import environment
    from tests.emulators.running import running

    python = environment.make()
    if python is None:
        print(f"readers: {environment.MISSING}")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        running(python, Path(folder), stream_rows=100_000) as emulators,
        emulators.here(),
    ):
        tables = [_seed(data.cases(bench.cache, rows, clean=True), rows) for rows in SIZES]
        reads = {"arrow": _arrow, "direct": _direct, "default": _default}
        print(f"readers at {SIZES} rows: {', '.join(reads)}", flush=True)
        cpu: dict[tuple[str, str], list[float]] = {(name, table): [] for name in reads for table in tables}

        def action(name: str, table: str) -> Callable[[], None]:
            return lambda: cpu[name, table].append(_read(reads[name](TableId.parse(table, "table"))))

        for name in reads:
            action(name, tables[0])()
            cpu[name, tables[0]].clear()
        took = dict(zip(cpu, turns(bench.repeat, *(action(*key) for key in cpu)), strict=True))
    for what, seconds in (("rows/s", took), ("rows/s of the reader's CPU", cpu)):
        rates = {name: marginal(SIZES, *(seconds[name, table] for table in tables)) for name in reads}
        for peer in ("direct", "default"):
            ratios = quotients(rates["arrow"], rates[peer])
            yield Figure(
                f"out of BigQuery, arrow against {peer}, marginal {what}",
                f"{statistics.median(rates['arrow']):,.0f}",
                f"{statistics.median(rates[peer]):,.0f}",
                ratios,
                ">= 10",
                statistics.median(ratios) >= 10,
                {
                    f"{name}, seconds of {rows:,} rows": seconds[name, table]
                    for name in ("arrow", peer)
                    for rows, table in zip(SIZES, tables, strict=True)
                },
            )


def _seed(folder: Path, rows: int) -> str:
    from google.cloud import bigquery

    client = bigquery.Client()
    client.create_dataset("benchmark", exists_ok=True)
    name = f"{client.project}.benchmark.cases_{rows}"
    fields = [
        bigquery.SchemaField("case_id", "STRING"),
        bigquery.SchemaField("embedding_vector", "FLOAT", mode="REPEATED"),
        bigquery.SchemaField("timestamp", "TIMESTAMP"),
    ]
    client.create_table(bigquery.Table(name, schema=fields))
    for part in sorted(folder.glob("*.parquet")):
        content = io.BytesIO()
        pq.write_table(pq.read_table(part), content)
        content.seek(0)
        config = bigquery.LoadJobConfig(source_format="PARQUET", schema=fields)
        client.load_table_from_file(content, name, job_config=config).result()
    return name


_SCHEMA = pa.schema(
    [
        ("case_id", pa.string()),
        ("embedding_vector", pa.list_(pa.float64())),
        ("timestamp", pa.timestamp("us", tz="UTC")),
    ]
)


def _ours(table: TableId, method: ReadMethod) -> beam.PTransform:
    from beam_pcc.sources.bigquery import ReadTable, TablePart

    part = TablePart(table, None, _SCHEMA, "US")
    return ReadTable(part, method, temp_dataset=table.home, staging="", batch_rows=2_000, retry_timeout=60)


def _arrow(table: TableId) -> beam.PTransform:
    return _ours(table, "arrow")


def _direct(table: TableId) -> beam.PTransform:
    return _ours(table, "direct")


def _default(table: TableId) -> beam.PTransform:
    """ReadFromBigQuery's direct read with its own defaults, which is Avro."""
    from apache_beam.io.gcp.internal.clients.bigquery import DatasetReference

    from beam_pcc.sources.bigquery import RowsToBatches

    read = beam.io.ReadFromBigQuery(
        method=beam.io.ReadFromBigQuery.Method.DIRECT_READ,
        table=f"{table.project}:{table.dataset}.{table.table}",
        temp_dataset=DatasetReference(projectId=table.project, datasetId=table.dataset),
    )
    return read | beam.ParDo(RowsToBatches(_SCHEMA, 2_000)).with_output_types(pa.RecordBatch)


def _read(read: beam.PTransform) -> float:
    """Read all; return the CPU seconds of this process, so without the emulator's."""
    coders.register()
    started = time.process_time()
    with beam.Pipeline(options=beam_options([])) as pipeline:
        _ = pipeline | read | beam.Map(lambda batch: batch.num_rows) | beam.CombineGlobally(sum)
    return time.process_time() - started
