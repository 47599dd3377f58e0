"""The SQL of the DuckDB warehouse, on the run's temporary tables `staged_predictions` and `staged_rejected`."""

from beam_pcc.cases import faults
from beam_pcc.publishing.warehouse.base import bin_conditions

_REPEATED = "case_id IN (SELECT case_id FROM staged_predictions GROUP BY case_id HAVING count(*) > 1)"
_BEST = "confidence DESC, predicted_label DESC, subtype_label"
DROP_COPIES = f"""
CREATE TEMP TABLE copies AS
    SELECT rowid AS row FROM staged_predictions WHERE {_REPEATED}
    QUALIFY row_number() OVER (PARTITION BY case_id, case_timestamp, content_digest ORDER BY {_BEST}) > 1;
DELETE FROM staged_predictions WHERE rowid IN (SELECT row FROM copies);
"""  # noqa: S608 - own conditions
MOVE_DUPLICATES = f"""
CREATE TEMP TABLE duplicates AS
    SELECT rowid AS row, case_id, count(*) OVER of_case AS rows_of_case, row_number() OVER of_case AS place
    FROM staged_predictions WHERE {_REPEATED}
    WINDOW of_case AS (
        PARTITION BY case_id ORDER BY case_timestamp DESC, {_BEST}
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    );
INSERT INTO staged_rejected
    SELECT
        case_id,
        '{faults.DUPLICATE_CASE_ID.code}',
        format('one of {{}} rows with this case_id; the latest is kept', rows_of_case)
    FROM duplicates WHERE place > 1;
DELETE FROM staged_predictions WHERE rowid IN (SELECT row FROM duplicates WHERE place > 1);
DROP TABLE duplicates;
"""  # noqa: S608 - own conditions

_SCORE = "CASE predicted_label WHEN 'PC' THEN confidence ELSE 1 - confidence END"
_BINS = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions(_SCORE))
FIGURES = f"""
SELECT count(*) AS predictions,
       count(DISTINCT case_id) AS distinct_case_ids,
       count(*) FILTER (confidence IS NULL OR isnan(confidence) OR confidence NOT BETWEEN 0 AND 1) AS bad_confidence,
       count(*) FILTER (predicted_label IS NULL OR predicted_label NOT IN ('PC', 'NOT_PC')) AS unknown_labels,
       count(*) FILTER (predicted_label = 'PC') AS positive,
       count(*) FILTER (starts_with(prediction_notes, 'review')) AS review,
       (SELECT count(*) FROM copies) AS copies,
       [{_BINS}] AS score_histogram
FROM staged_predictions
"""  # noqa: S608 - own conditions

RECENT = """
SELECT * FROM pcc_monitoring_logs
WHERE status = 'success' AND partition_date < $before
QUALIFY row_number() OVER (PARTITION BY partition_date ORDER BY ingestion_time DESC, run_id DESC) = 1
ORDER BY partition_date DESC LIMIT $days
"""

RUNS_OF_DAYS = """
SELECT * FROM pcc_monitoring_logs
WHERE partition_date BETWEEN $first AND $last
QUALIFY row_number() OVER (PARTITION BY partition_date, status ORDER BY ingestion_time DESC, run_id DESC)
    <= $runs
ORDER BY partition_date, ingestion_time, run_id
"""

PUBLISHED = "SELECT * FROM pcc_inference_output WHERE partition_date = $day AND case_id = $case_id LIMIT 1"
