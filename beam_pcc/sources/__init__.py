"""`ReadCases`: the rows of one partition as RecordBatches of INPUT_COLUMNS, in the types that the source has.

What a source cannot read as a row comes as a batch of STAGED_REJECTED.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import apache_beam as beam
import pyarrow as pa

from beam_pcc.addresses import absolute
from beam_pcc.config.settings import RunConfig
from beam_pcc.errors import ConfigurationError
from beam_pcc.gcp.names import gcp_extra, parse_dataset
from beam_pcc.sources.ahead import Check, as_read
from beam_pcc.sources.volume import SourceState, SourceVolume

if TYPE_CHECKING:
    from beam_pcc.sources.bigquery import ReadTable
    from beam_pcc.sources.files import ReadFiles
    from beam_pcc.sources.sample import ReadSample


class ReadCases(beam.PTransform):
    """Reads a run's source: a sample, files, or a BigQuery table.

    What can be known before a worker starts is checked when it is made.

    Args:
        config: The run's source, partition and how to read.
        staging: A folder for files of the read itself (BigQuery's exports).
        check: What is done with each batch in the threads that read. Rows that no such thread reads come as they are.

    Raises:
        ConfigurationError: The source is of no known kind, or is not there.
    """

    def __init__(self, config: RunConfig, staging: str, check: Check = as_read) -> None:
        self._read = _reader(config, staging, check)

    @functools.cached_property
    def volume(self) -> SourceVolume:
        """What the source says that it holds, asked once. Raises SourceError: it cannot be told."""
        return self._read.volume()

    def state(self) -> SourceState:
        """What changes while the source grows."""
        return self._read.state()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """The partition's rows, in batches."""
        return begin | self._read


def _reader(config: RunConfig, staging: str, check: Check) -> ReadFiles | ReadSample | ReadTable:
    from beam_pcc.sources.files import ReadFiles
    from beam_pcc.sources.sample import ReadSample

    source, batch_rows, text_column = config.source.address, config.source.batch_rows, config.encoder.text_column
    columns = config.source.own_names
    if source.startswith("sample://"):
        if text_column is not None:
            raise ConfigurationError(
                f"--source {source} has vectors and no texts: leave --text_column out, or name files or a table"
            )
        if columns:
            raise ConfigurationError(
                f"--source {source} has the names of the graph: leave --columns out, or name files or a table"
            )
        return ReadSample(source, config.partition, batch_rows)
    if source.startswith("bq://"):
        return _bigquery(config, staging, check)
    pattern = absolute(source.replace("{partition}", f"{config.partition:%Y%m%d}"))
    return ReadFiles(pattern, batch_rows, text_column, columns, check)


def _bigquery(config: RunConfig, staging: str, check: Check) -> ReadTable:
    with gcp_extra("--source"):
        from beam_pcc.sources.bigquery import ReadOptions, ReadTable, check_export, find_part
    text_column, columns = config.encoder.text_column, config.source.own_names
    method, retry_timeout = config.source.read_method, config.limits.retry_timeout
    if method == "export" and not staging.startswith("gs://"):
        raise ConfigurationError("--read_method export needs --staging gs://BUCKET/FOLDER, where BigQuery exports to")
    part = find_part(
        config.source.address,
        config.partition,
        retry_timeout=retry_timeout,
        text_column=text_column,
        columns=columns,
        read_method=method,
    )
    temp = part.table.home
    for given, flag in ((config.publish.temp_dataset, "--temp_dataset"), (config.publish.warehouse, "--warehouse")):
        if given and (flag == "--temp_dataset" or given.startswith("bq://")):
            temp = parse_dataset(given, flag)
            break
    if method == "export":
        check_export(part, temp, retry_timeout=retry_timeout)
    return ReadTable(part, ReadOptions(method, temp, staging, config.source.batch_rows, retry_timeout), check)
