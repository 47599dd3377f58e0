"""The SQL of the BigQuery warehouse. Values are parameters; only names of tables stand in the text."""

from __future__ import annotations

from collections.abc import Mapping

from beam_pcc.cases import faults, schemas
from beam_pcc.publishing.warehouse.base import RUNS_OF_A_DAY, bin_conditions
from beam_pcc.publishing.warehouse.feedback_table import SAME_LABEL

OUTPUT, MONITORING, QUARANTINE, FEEDBACK = schemas.TABLES
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

_REVIEW = "COALESCE(STARTS_WITH(o.prediction_notes, 'review'), FALSE)"
_DAY_OF_LABEL = "DATE(s.label_time)"
# Each staged label with the prediction that it is about: of several days, the nearest that is not after the label.
_RESOLVED = f"""
    SELECT * FROM (
        SELECT s.* EXCEPT (partition_date), s.partition_date AS named_date,
            COALESCE(o.partition_date, s.partition_date) AS partition_date,
            o.predicted_label, o.confidence, IF(o.case_id IS NOT NULL, {_REVIEW}, NULL) AS review,
            o.model_version, o.run_id, o.ingestion_time AS published_at,
            s.partition_date IS NULL AND COALESCE(o.partition_date > {_DAY_OF_LABEL}, FALSE) AS is_after_label,
            COUNT(*) OVER (PARTITION BY s.number) AS days,
            ROW_NUMBER() OVER (
                PARTITION BY s.number
                ORDER BY
                    IF(o.partition_date <= {_DAY_OF_LABEL}, 0, 1),
                    ABS(DATE_DIFF(o.partition_date, {_DAY_OF_LABEL}, DAY)), o.ingestion_time DESC
            ) AS place
        FROM `{{labels}}` s LEFT JOIN (SELECT * FROM `{{{OUTPUT}}}` WHERE {_ALL_KEPT}) o
            ON o.case_id = s.case_id AND (s.partition_date IS NULL OR o.partition_date = s.partition_date)
    ) WHERE place = 1
"""
LABEL_COUNTS = f"""
SELECT COUNTIF(model_version IS NULL) AS unknown, COUNTIF(named_date IS NULL AND days > 1) AS several_days
FROM ({_RESOLVED})
"""
ADD_FEEDBACK = f"""
INSERT INTO `{{{FEEDBACK}}}` ({", ".join(schemas.FEEDBACK.names)})
SELECT {", ".join("@ingestion_time" if name == "ingestion_time" else f"r.{name}" for name in schemas.FEEDBACK.names)}
FROM ({_RESOLVED}) r LEFT JOIN (SELECT * FROM `{{{FEEDBACK}}}` WHERE {_ALL_KEPT}) f ON {SAME_LABEL}
WHERE f.case_id IS NULL
"""
_OF_DAYS = "(partition_date IS NULL OR partition_date BETWEEN DATE '{first}' AND DATE '{last}')"
FEEDBACK_OF_DAYS = f"""
SELECT {", ".join(schemas.FEEDBACK.names)} FROM `{{{FEEDBACK}}}`
WHERE ({_OF_DAYS} OR sample IN (SELECT sample FROM `{{{FEEDBACK}}}` WHERE {_OF_DAYS} AND {_ALL_KEPT})) AND {_ALL_KEPT}
"""

_BIN = f"LEAST(CAST(FLOOR({_SCORE} * {schemas.SCORE_BINS}) AS INT64), {schemas.SCORE_BINS - 1})"
_PUBLISHED_CASES = f"""
    SELECT case_id, partition_date, predicted_label, confidence, {_BIN} AS bin, {_REVIEW} AS review,
        SUBSTR(TO_HEX(MD5(CONCAT('{{seed}}:', CAST(partition_date AS STRING), ':', case_id))), 1, 16) AS key
    FROM `{{{OUTPUT}}}` o WHERE partition_date BETWEEN DATE '{{first}}' AND DATE '{{last}}' AND {_ALL_KEPT}
"""
STRATA = f"SELECT bin, review, COUNT(*) AS cases FROM ({_PUBLISHED_CASES}) GROUP BY bin, review"
DRAW = f"SELECT * FROM ({_PUBLISHED_CASES}) WHERE {{condition}}"


def filled(template: str, names: Mapping[str, object]) -> str:
    """The statement with the names of the tables in their places."""
    return template.format_map(names)
