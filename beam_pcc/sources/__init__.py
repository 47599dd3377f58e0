"""`ReadCases`: the rows of one partition as RecordBatches of INPUT_COLUMNS, in the types that the source has."""

from __future__ import annotations

import apache_beam as beam

from beam_pcc.config.settings import RunSettings
from beam_pcc.errors import ConfigurationError
from beam_pcc.gcp.names import DatasetId, gcp_extra


def read_cases(settings: RunSettings, staging: str) -> beam.PTransform:
    """The transform that reads the run's source: a sample, files, or a BigQuery table.

    What can be known before a worker starts is checked here.

    Args:
        settings: The run's source, partition and how to read.
        staging: A folder for files of the read itself (BigQuery's exports).

    Raises:
        ConfigurationError: The source is of no known kind, or is not there.
    """
    from beam_pcc.sources.files import ReadFiles
    from beam_pcc.sources.sample import ReadSample

    source = settings.source
    if source.startswith("sample://"):
        if settings.text_column is not None:
            raise ConfigurationError(
                f"--source {source} has vectors and no texts: leave --text_column out, or name files or a table"
            )
        return ReadSample(source, settings.partition, settings.batch_rows)
    if source.startswith("bq://"):
        return _bigquery(settings, staging)
    pattern = source.replace("{partition}", f"{settings.partition:%Y%m%d}")
    return ReadFiles(pattern, settings.batch_rows, settings.text_column)


def _bigquery(settings: RunSettings, staging: str) -> beam.PTransform:
    with gcp_extra("--source"):
        from beam_pcc.sources.bigquery import ReadTable, check_export, find_part
    if settings.read_method == "export" and not staging.startswith("gs://"):
        raise ConfigurationError("--read_method export needs --staging gs://BUCKET/FOLDER, where BigQuery exports to")
    part = find_part(
        settings.source, settings.partition, retry_timeout=settings.retry_timeout, text_column=settings.text_column
    )
    temp = part.table.home
    for given, flag in ((settings.temp_dataset, "--temp_dataset"), (settings.warehouse, "--warehouse")):
        if given and (flag == "--temp_dataset" or given.startswith("bq://")):
            temp = DatasetId.parse(given, flag)
            break
    if settings.read_method == "export":
        check_export(part, temp, retry_timeout=settings.retry_timeout)
    return ReadTable(
        part,
        settings.read_method,
        temp_dataset=temp,
        staging=staging,
        batch_rows=settings.batch_rows,
        retry_timeout=settings.retry_timeout,
    )
