"""The SQL of the DuckDB warehouse.

A run's rows stay in their files until they are published: `staged_files` and `staged_rejected_files` are views of them,
`staged_predictions` and `staged_rejected` what is published of them.
"""

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.schemas import SCORE_BINS
from beam_pcc.publishing.warehouse.base import bin_edges
from beam_pcc.publishing.warehouse.feedback_table import SAME_LABEL

REVIEW = "coalesce(starts_with(o.prediction_notes, 'review'), false)"
_BEST = "confidence DESC, predicted_label DESC, subtype_label"
# A hash of eight bytes is grouped faster, and in less memory, than the id. Different ids may share one: whether rows
# have the same id is decided among the few whose hash repeats.
_REPEATED = """
CREATE TEMP TABLE repeated AS SELECT hash(case_id) AS hash FROM staged_files GROUP BY ALL HAVING count(*) > 1
"""
_LEFT_OUT = f"""
CREATE TEMP TABLE left_out AS
    SELECT file_index, file_row_number, case_id, is_copy, rows_of_case FROM (
        SELECT *, row_number() OVER (PARTITION BY case_id ORDER BY is_copy, case_timestamp DESC, {_BEST}) AS place,
            count(*) FILTER (NOT is_copy) OVER (PARTITION BY case_id) AS rows_of_case
        FROM (
            SELECT *,
                row_number() OVER (PARTITION BY case_id, case_timestamp, content_digest ORDER BY {_BEST}) > 1 AS is_copy
            FROM (
                SELECT file_index, file_row_number, case_id, case_timestamp, content_digest,
                    confidence, predicted_label, subtype_label
                FROM staged_files WHERE hash(case_id) IN (SELECT hash FROM repeated)
            )
        )
    ) WHERE is_copy OR place > 1
"""  # noqa: S608 - own names
_KEPT = """
CREATE TEMP VIEW staged_predictions AS SELECT * FROM staged_files ANTI JOIN left_out USING (file_index, file_row_number)
"""
_REJECTED = f"""
CREATE TEMP VIEW staged_rejected AS
    SELECT case_id, reason, detail FROM staged_rejected_files
    UNION ALL
    SELECT
        case_id,
        '{faults.DUPLICATE_CASE_ID.code}',
        format('one of {{}} rows with this case_id; the latest is kept', rows_of_case)
    FROM left_out WHERE NOT is_copy
"""  # noqa: S608 - own names
LOAD = (_REPEATED, _LEFT_OUT, _KEPT, _REJECTED)


def bin_of(score: str) -> str:
    """The number of the bin of a score histogram, for an expression of P(PC); null for NaN and what is beyond 0 to 1.

    One comparison after the other is twice as fast as to count what meets the condition of each bin.
    """
    edges = bin_edges()
    within = f"({score}) BETWEEN {edges[0]} AND {edges[-1]}"  # false for NaN, which is more than any number here
    places = " ".join(f"WHEN ({score}) < {edge} THEN {place}" for place, edge in enumerate(edges[1:-1]))
    return f"CASE WHEN NOT coalesce({within}, false) THEN NULL {places} ELSE {SCORE_BINS - 1} END"


_SCORE = "CASE predicted_label WHEN 'PC' THEN confidence ELSE 1 - confidence END"
_ROWS_OF_BINS = ", ".join(f"coalesce(any_value(n) FILTER (bin = {place}), 0)" for place in range(SCORE_BINS))
_HISTOGRAM = f"""
SELECT [{_ROWS_OF_BINS}] FROM (
    SELECT {bin_of(_SCORE)} AS bin, count(*) AS n FROM staged_predictions GROUP BY bin
)
"""  # noqa: S608 - own conditions
FIGURES = f"""
SELECT count(*) AS predictions,
       count(DISTINCT hash(case_id)) AS distinct_case_ids,
       count(*) FILTER (confidence IS NULL OR isnan(confidence) OR confidence NOT BETWEEN 0 AND 1) AS bad_confidence,
       count(*) FILTER (predicted_label IS NULL OR predicted_label NOT IN ('PC', 'NOT_PC')) AS unknown_labels,
       count(*) FILTER (predicted_label = 'PC') AS positive,
       count(*) FILTER (starts_with(prediction_notes, 'review')) AS review,
       (SELECT count(*) FROM left_out WHERE is_copy) AS copies,
       ({_HISTOGRAM}) AS score_histogram
FROM staged_predictions
"""  # noqa: S608 - own conditions
DISTINCT_CASE_IDS = "SELECT count(DISTINCT case_id) FROM staged_predictions"

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

# Each of `staged_labels` with the prediction that it is about: of several days, the nearest not after the label.
_DAY_OF_LABEL = "CAST(s.label_time AS DATE)"
RESOLVE_LABELS = f"""
CREATE TEMP TABLE resolved AS
    SELECT s.* EXCLUDE (partition_date), s.partition_date AS named_date,
        coalesce(o.partition_date, s.partition_date) AS partition_date,
        o.predicted_label, o.confidence, CASE WHEN o.case_id IS NOT NULL THEN {REVIEW} END AS review,
        o.model_version, o.run_id, o.ingestion_time AS published_at,
        s.partition_date IS NULL AND coalesce(o.partition_date > {_DAY_OF_LABEL}, false) AS is_after_label,
        count(*) OVER (PARTITION BY s.number) AS days
    FROM staged_labels s LEFT JOIN pcc_inference_output o
        ON o.case_id = s.case_id AND (s.partition_date IS NULL OR o.partition_date = s.partition_date)
    QUALIFY row_number() OVER (
        PARTITION BY s.number
        ORDER BY
            o.partition_date <= {_DAY_OF_LABEL} DESC, abs(o.partition_date - {_DAY_OF_LABEL}), o.ingestion_time DESC
    ) = 1
"""  # noqa: S608 - own conditions
LABEL_COUNTS = """
SELECT count(*) FILTER (model_version IS NULL), count(*) FILTER (named_date IS NULL AND days > 1) FROM resolved
"""
ADD_FEEDBACK = f"""
INSERT INTO pcc_feedback ({", ".join(schemas.FEEDBACK.names)})
    SELECT {", ".join("$now" if name == "ingestion_time" else f"r.{name}" for name in schemas.FEEDBACK.names)}
    FROM resolved r LEFT JOIN pcc_feedback f ON {SAME_LABEL}
    WHERE f.case_id IS NULL
"""  # noqa: S608 - own names
_OF_DAYS = "partition_date IS NULL OR partition_date BETWEEN $first AND $last"
FEEDBACK = f"""
SELECT * FROM pcc_feedback
WHERE {_OF_DAYS} OR sample IN (SELECT sample FROM pcc_feedback WHERE {_OF_DAYS})
"""  # noqa: S608 - own conditions

_BIN = f"least(CAST(floor(({_SCORE}) * {SCORE_BINS}) AS BIGINT), {SCORE_BINS - 1})"
_PUBLISHED_CASES = f"""
    SELECT case_id, partition_date, predicted_label, confidence, {_BIN} AS bin, {REVIEW} AS review,
        substr(md5(concat(CAST($seed AS VARCHAR), ':', CAST(partition_date AS VARCHAR), ':', case_id)), 1, 16) AS key
    FROM pcc_inference_output o WHERE partition_date BETWEEN $first AND $last
"""  # noqa: S608 - own conditions
STRATA = f"SELECT bin, review, count(*) FROM ({_PUBLISHED_CASES}) GROUP BY bin, review"  # noqa: S608 - own conditions
DRAW = f"SELECT * FROM ({_PUBLISHED_CASES}) WHERE {{condition}}"  # noqa: S608 - own conditions
