"""`ReadCases`: the rows of one partition as RecordBatches of INPUT_COLUMNS, in the types that the source has."""

from __future__ import annotations

import datetime as dt

import apache_beam as beam

from beam_pcc.errors import ConfigurationError


def read_cases(source: str, partition: dt.date, batch_rows: int) -> beam.PTransform:
    """The transform that reads `source`: `sample://ROWS`, or a path or glob of .parquet or .jsonl files.

    What can be known before a worker starts is checked here.

    Args:
        source: As on the command line; `{partition}` becomes YYYYMMDD.
        partition: The day to read.
        batch_rows: Rows of one batch at most.

    Raises:
        ConfigurationError: The source is of no known kind, or is not there.
    """
    from beam_pcc.sources.files import ReadFiles
    from beam_pcc.sources.sample import ReadSample

    if source.startswith("sample://"):
        return ReadSample(source, partition, batch_rows)
    if source.startswith("bq://"):
        raise ConfigurationError(f"--source {source}: this version reads files and samples, not BigQuery")
    return ReadFiles(source.replace("{partition}", f"{partition:%Y%m%d}"), batch_rows)
