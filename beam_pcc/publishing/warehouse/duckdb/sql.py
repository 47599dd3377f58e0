"""The SQL of the DuckDB warehouse, on the run's temporary tables `staged_predictions` and `staged_rejected`."""

from beam_pcc.publishing.warehouse.base import bin_conditions

MOVE_DUPLICATES = """
CREATE TEMP TABLE duplicates AS
    SELECT rowid AS row, case_id, count(*) OVER of_case AS copies, row_number() OVER of_case AS place
    FROM staged_predictions
    WHERE case_id IN (SELECT case_id FROM staged_predictions GROUP BY case_id HAVING count(*) > 1)
    WINDOW of_case AS (
        PARTITION BY case_id
        ORDER BY case_timestamp DESC, confidence DESC, predicted_label DESC, subtype_label
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    );
INSERT INTO staged_rejected
    SELECT case_id, 'duplicate_case_id', format('one of {} rows with this case_id; the latest is kept', copies)
    FROM duplicates WHERE place > 1;
DELETE FROM staged_predictions WHERE rowid IN (SELECT row FROM duplicates WHERE place > 1);
DROP TABLE duplicates;
"""

_SCORE = "CASE predicted_label WHEN 'PC' THEN confidence ELSE 1 - confidence END"
_BINS = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions(_SCORE))
FIGURES = f"""
SELECT count(*) AS predictions,
       count(DISTINCT case_id) AS distinct_case_ids,
       count(*) FILTER (confidence IS NULL OR isnan(confidence) OR confidence NOT BETWEEN 0 AND 1) AS bad_confidence,
       count(*) FILTER (predicted_label IS NULL OR predicted_label NOT IN ('PC', 'NOT_PC')) AS unknown_labels,
       count(*) FILTER (predicted_label = 'PC') AS positive,
       count(*) FILTER (starts_with(prediction_notes, 'review')) AS review,
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
