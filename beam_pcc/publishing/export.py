"""Writes the published tables to Parquet files. Knows nothing of how a warehouse keeps them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.publishing.warehouse.base import Warehouse
from beam_pcc.storage.whole_files import written_whole


def export_tables(warehouse: Warehouse, names: Sequence[str], folder: Path) -> dict[str, int]:
    """Write each table to NAME.parquet in the folder; return their numbers of rows.

    A file gets its name when all tables are written, so it is always whole: this export's, or an earlier one's.

    Raises:
        ConfigurationError: There is no such table, or the folder cannot be made.
        RunError: The files cannot be written.
    """
    if unknown := sorted(set(names) - set(schemas.TABLES)):
        raise ConfigurationError(f"there is no table {', '.join(unknown)}; name some of {', '.join(schemas.TABLES)}")
    rows: dict[str, int] = {}
    with warehouse.read_tables(names) as readers:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--output {folder} cannot be made: {error.strerror}; name another") from None
        with _files(folder, names) as files:
            for name, reader in readers.items():
                with progress.task(f"exporting {name}", unit="rows") as step:
                    rows[name] = _write(reader, files[name], step)
    return rows


@contextlib.contextmanager
def _files(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Names to write to, which at the end become the names of the files; if this raises, nothing is left of them."""
    try:
        with contextlib.ExitStack() as whole:
            yield {name: whole.enter_context(written_whole(folder / f"{name}.parquet")) for name in names}
    except OSError as error:
        raise RunError(
            f"--output {folder} cannot be written: {error.strerror or type(error).__name__}; make room, or name another"
        ) from None


def _write(reader: pa.RecordBatchReader, path: Path, step: progress.Task) -> int:
    rows = 0
    with pq.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
            step.advance(batch.num_rows)
    return rows
