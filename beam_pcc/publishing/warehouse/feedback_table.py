"""What both warehouses know of the table of feedback: its name, when two labels are the same, how cases are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from beam_pcc.errors import ConfigurationError

FEEDBACK = "pcc_feedback"


class FeedbackCounts(NamedTuple):
    """What became of imported labels: each is new, or was there before."""

    new: int = 0
    present: int = 0
    unknown: int = 0
    """Labels, new or not, for which no prediction is published."""
    several_days: int = 0
    """Labels that name no day, of a case that is published on several: each is of one of these days."""


Stratum = tuple[int, bool]
"""Of published cases: the bin of P(PC), of SCORE_BINS, and whether they are marked for review."""
SAME_LABEL = """
    f.case_id = r.case_id AND f.label = r.label AND f.source = r.source AND f.label_time = r.label_time
    AND COALESCE(f.sample, '') = COALESCE(r.sample, '')
    AND (
        (f.partition_date = r.partition_date AND f.model_version = r.model_version)
        OR (r.model_version IS NULL AND (r.partition_date IS NULL OR f.partition_date = r.partition_date))
        OR (r.is_after_label AND f.model_version IS NOT NULL)
    )
"""
"""In SQL, whether the row `f` of pcc_feedback says what the resolved label `r` would: so that nothing is added twice.

A prediction that has expired since makes no new row, nor does a later day that a label without a day would then fit.
"""


def no_feedback_table(address: str) -> ConfigurationError:
    """The error of a warehouse that was made before there was feedback."""
    return ConfigurationError(
        f"--warehouse {address} has no table {FEEDBACK}, as one of an earlier version; run beam-pcc tables create "
        f"--warehouse {address}"
    )


def drawing_condition(cutoffs: Mapping[Stratum, str], bin_: str, review: str, key: str) -> str:
    """In SQL, whether the key of a case is below the cut-off of its stratum; strata without one are left out."""
    parts = [
        f"({bin_} = {int(score_bin)} AND {review} = {str(bool(marked)).upper()} AND {key} < '{int(cutoff, 16):016x}')"
        if cutoff
        else f"({bin_} = {int(score_bin)} AND {review} = {str(bool(marked)).upper()})"
        for (score_bin, marked), cutoff in sorted(cutoffs.items())
    ]
    return " OR ".join(parts) or "FALSE"
