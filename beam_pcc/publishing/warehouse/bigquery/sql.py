"""The SQL of the BigQuery warehouse. Values are parameters; only names of tables stand in the text."""

from __future__ import annotations

from collections.abc import Mapping

from beam_pcc.cases import faults, schemas
from beam_pcc.publishing.warehouse.base import RUNS_OF_A_DAY, bin_conditions

OUTPUT, MONITORING, QUARANTINE = schemas.TABLES
# The tables require a filter on their partitions; a run's rows may be days old, so this one takes in all that are kept.
_ALL_KEPT = "ingestion_time >= TIMESTAMP '1970-01-01 00:00:00+00:00'"
_OF_RUN = ("model_version", "embedding_model", "ingestion_time", "partition_date", "run_id")

_BEST = "confidence DESC, predicted_label DESC, subtype_label"
# Each staged row with its place among those of the same content; place 1 goes on, the others are exact copies.
_COPIES = f"""
    SELECT *,
        ROW_NUMBER() OVER (PARTITION BY case_id, case_timestamp, content_digest ORDER BY {_BEST}) AS place_of_copy
    FROM `{{predictions}}`
"""
# Each of those with its place among those of its case_id; place 1 is published, the others are duplicates.
_RANKED = f"""
    SELECT *,
        ROW_NUMBER() OVER (PARTITION BY case_id ORDER BY case_timestamp DESC, {_BEST}) AS place,
        COUNT(*) OVER (PARTITION BY case_id) AS rows_of_case
    FROM ({_COPIES}) WHERE place_of_copy = 1
"""
_REJECTED = f"""
    SELECT case_id, reason, detail FROM `{{rejected}}`
    UNION ALL
    SELECT
        case_id,
        '{faults.DUPLICATE_CASE_ID.code}' AS reason,
        CONCAT('one of ', CAST(rows_of_case AS STRING), ' rows with this case_id; the latest is kept') AS detail
    FROM ({_RANKED}) WHERE place > 1
"""

_SCORE = f"IF(predicted_label = '{schemas.PC}', confidence, 1 - confidence)"
_BINS = ", ".join(f"COUNTIF({condition})" for condition in bin_conditions(_SCORE))
FIGURES = f"""
SELECT
    COUNT(*) AS predictions,
    COUNT(DISTINCT case_id) AS distinct_case_ids,
    COUNTIF(confidence IS NULL OR IS_NAN(confidence) OR NOT confidence BETWEEN 0 AND 1) AS bad_confidence,
    COUNTIF(predicted_label IS NULL OR predicted_label NOT IN ('{schemas.PC}', '{schemas.NOT_PC}')) AS unknown_labels,
    COUNTIF(predicted_label = '{schemas.PC}') AS positive,
    COUNTIF(STARTS_WITH(prediction_notes, 'review')) AS review,
    (SELECT COUNT(*) FROM ({_COPIES}) WHERE place_of_copy > 1) AS copies,
    [{_BINS}] AS score_histogram
FROM ({_RANKED}) WHERE place = 1
"""
REASONS = f"SELECT reason, COUNT(*) AS n FROM ({_REJECTED}) GROUP BY reason"

_ADD_MONITORING = f"""
DELETE FROM `{{{MONITORING}}}` WHERE run_id = @run_id AND {_ALL_KEPT};
INSERT INTO `{{{MONITORING}}}` ({", ".join(schemas.MONITORING.names)})
VALUES ({", ".join("@" + name for name in schemas.MONITORING.names)});
"""


def _insert(table: str, rows: str) -> str:
    """Copy staged rows into a table, adding the columns that are the same for the whole run."""
    columns = schemas.TABLES[table].names
    values = ", ".join(f"@{name}" if name in _OF_RUN else name for name in columns)
    return f"INSERT INTO `{{{table}}}` ({', '.join(columns)}) SELECT {values} FROM ({rows})"


# A DELETE that finds nothing may not conflict with another one, and inserts never do: two runs that publish a partition
# for the first time would both commit. So each transaction changes the one row of the lock table, and one of two fails.
MAKE_LOCK = "CREATE TABLE IF NOT EXISTS `{lock}` AS SELECT 'nobody' AS run_id, CURRENT_TIMESTAMP() AS locked_at"

PUBLISH = f"""
BEGIN TRANSACTION;
UPDATE `{{lock}}` SET run_id = @run_id, locked_at = CURRENT_TIMESTAMP() WHERE TRUE;
DELETE FROM `{{{OUTPUT}}}` WHERE partition_date = @partition_date AND {_ALL_KEPT};
{_insert(OUTPUT, _RANKED)} WHERE place = 1;
DELETE FROM `{{{QUARANTINE}}}` WHERE partition_date = @partition_date AND {_ALL_KEPT};
{_insert(QUARANTINE, _REJECTED)};
{_ADD_MONITORING}
COMMIT TRANSACTION;
"""

QUARANTINE_ONLY = f"""
BEGIN TRANSACTION;
DELETE FROM `{{{QUARANTINE}}}` WHERE run_id = @run_id AND {_ALL_KEPT};
{_insert(QUARANTINE, _REJECTED)};
{_ADD_MONITORING}
COMMIT TRANSACTION;
"""

RECORD = f"""
INSERT INTO `{{{MONITORING}}}` ({", ".join(schemas.MONITORING.names)})
SELECT {", ".join("@" + name for name in schemas.MONITORING.names)}
FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM `{{{MONITORING}}}` WHERE run_id = @run_id AND {_ALL_KEPT})
"""

PUBLISHED = f"""
SELECT * FROM `{{{OUTPUT}}}` WHERE partition_date = @partition_date AND case_id = @case_id AND {_ALL_KEPT} LIMIT 1
"""

MONITORING_ROW = f"SELECT * FROM `{{{MONITORING}}}` WHERE run_id = @run_id AND {_ALL_KEPT}"

RUNS = f"SELECT * FROM `{{{MONITORING}}}` WHERE {_ALL_KEPT} ORDER BY ingestion_time DESC LIMIT {{last}}"
RUNS_OF_DAY = f"""
SELECT * FROM `{{{MONITORING}}}` WHERE partition_date = @partition_date AND {_ALL_KEPT}
ORDER BY ingestion_time DESC LIMIT {{last}}
"""

LATEST_DAY = f"SELECT MAX(partition_date) AS day FROM `{{{MONITORING}}}` WHERE {_ALL_KEPT}"
RUNS_OF_DAYS = f"""
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY partition_date, status ORDER BY ingestion_time DESC, run_id DESC
    ) AS place
    FROM `{{{MONITORING}}}`
    WHERE partition_date BETWEEN DATE '{{first}}' AND DATE '{{last}}' AND {_ALL_KEPT}
) WHERE place <= {RUNS_OF_A_DAY} ORDER BY partition_date, ingestion_time, run_id
"""

RECENT = f"""
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY partition_date ORDER BY ingestion_time DESC, run_id DESC) AS place
    FROM `{{{MONITORING}}}` WHERE status = 'success' AND partition_date < @partition_date AND {_ALL_KEPT}
) WHERE place = 1 ORDER BY partition_date DESC LIMIT {{days}}
"""


def filled(template: str, names: Mapping[str, object]) -> str:
    """The statement with the names of the tables in their places."""
    return template.format_map(names)
