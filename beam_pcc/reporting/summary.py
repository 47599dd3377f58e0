"""What a person reads at the end of a run. Text only."""

from __future__ import annotations

import datetime as dt

from beam_pcc.cases.monitoring_row import MonitoringRow
from beam_pcc.errors import LostSightError, PccError
from beam_pcc.publishing.publish import Outcome
from beam_pcc.terminal import printable

_LANGUAGES = 6  # that are listed


def summary(outcome: Outcome, warehouse: str, command: str = "beam-pcc") -> str:
    """The summary of one run, several lines; `command` is how the person calls beam-pcc."""
    row = outcome.monitoring
    scored, positive = row.passed_validation, row.positive_cases
    reasons = row.reject_reasons
    lines = [
        f"partition {row.partition_date:%Y%m%d}: {_verdict(outcome)}",
        "",
        f"  cases       {row.total_cases:>9,}{_source(row)}",
        f"  PC          {positive:>9,}{_share(positive, scored)}",
        f"  NOT_PC      {scored - positive:>9,}{_share(scored - positive, scored)}",
        f"  review      {row.review_cases:>9,}{_share(row.review_cases, scored)}{_band(row)}",
        *_languages(row),
        f"  rejected    {row.dropped_cases:>9,}{_share(row.dropped_cases, row.total_cases)}",
        *(f"    {reason:<18} {n:>7,}" for reason, n in reasons.items()),
        *([f"  copies      {row.exact_copies:>9,}  of other rows, dropped"] if row.exact_copies else []),
        "",
        f"  model       {row.model_version}  (sha256 {str(row.model_sha256)[:12]})",
        f"  drift       {_drift(row)}",
        f"  seconds     {row.processing_duration_seconds:.1f}",
        f"  run         {row.run_id}",
    ]
    lines += [f"  alert       {a.name} {a.value:.3f}, limit {a.limit:.3f} ({a.action})" for a in row.alerts or ()]
    if row.notes and not row.alerts:
        lines.append(f"  note        {row.notes}")
    if row.error_message:
        lines.append(f"  refused     {row.error_message}")
    if not outcome.dry_run:
        lines += ["", *_where(warehouse, row, command)]
    return "\n".join(printable(line) for line in lines)


def _source(row: MonitoringRow) -> str:
    """What the source held; nothing of a run that did not ask it."""
    parts = [
        *([] if row.source_rows is None else [f"{row.source_rows:,} rows"]),
        *([] if row.source_files is None else [f"{row.source_files:,} file{'s' * (row.source_files != 1)}"]),
        *([] if row.source_modified is None else [f"changed {row.source_modified:%Y-%m-%d %H:%M} UTC"]),
    ]
    return f"  of a source with {', '.join(parts)}" if parts else ""


def _band(row: MonitoringRow) -> str:
    """Which cases are to be reviewed; nothing of a run that does not say so."""
    return "" if row.review_band is None else f"  P(PC) nearer than {row.review_band:g} to the threshold"


def _languages(row: MonitoringRow) -> list[str]:
    """The languages of the messages; nothing of a run that scored vectors."""
    if not row.language_shares:
        return []
    largest = sorted(row.language_shares.items(), key=lambda item: -item[1])[:_LANGUAGES]
    spoken = ", ".join(f"{language} {share:.1%}" for language, share in largest)
    untrained = row.untrained_language_cases or 0
    return [
        f"  languages   {spoken}",
        *([f"    not in training    {untrained:>7,}"] if untrained else []),
    ]


def _drift(row: MonitoringRow) -> str:
    training, recent = row.drift_psi, row.drift_psi_recent
    parts = [
        "no baseline" if training is None else f"PSI {training:.3f}",
        *([] if recent is None else [f"{recent:.3f} against the last weeks"]),
        *([] if row.drift_psi_limit is None else [f"limit {row.drift_psi_limit:.3f}"]),
    ]
    return ", ".join(parts)


def _verdict(outcome: Outcome) -> str:
    row = outcome.monitoring
    if outcome.refused:
        return "REFUSED by the audits, what was published before stays"
    if outcome.dry_run:
        return "dry run, nothing published"
    return "empty, nothing to publish" if row.status == "empty" else "published"


def _share(part: int, whole: int) -> str:
    return f"  {part / whole:6.1%}" if whole else ""


def _where(warehouse: str, row: MonitoringRow, command: str) -> list[str]:
    """Both conditions: one picks the rows, the other the partitions that BigQuery has to read (it insists on one)."""
    query = (
        "SELECT predicted_label, subtype_label, count(*) AS cases FROM pcc_inference_output "
        f"WHERE partition_date = '{row.partition_date}' AND ingestion_time >= '{row.runtime_ts:%Y-%m-%d}' "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [
        f"  tables      {warehouse}: pcc_inference_output, pcc_monitoring_logs, pcc_quarantine",
        f'  look        {command} tables query --warehouse {warehouse} "{query}"',
    ]


def day_line(day: dt.date, outcome: Outcome | PccError) -> str:
    """One day of a backfill in one line."""
    return printable(_day_line(day, outcome))


def _day_line(day: dt.date, outcome: Outcome | PccError) -> str:
    if isinstance(outcome, PccError):
        state = "unknown" if isinstance(outcome, LostSightError) else "failed"
        return f"{day:%Y%m%d}  {state:<9}  {outcome}"
    row = outcome.monitoring
    if outcome.refused:
        return f"{day:%Y%m%d}  refused    {row.error_message}"
    state = "dry run" if outcome.dry_run else "published" if row.status == "success" else row.status
    return (
        f"{day:%Y%m%d}  {state:<9}  {row.total_cases:,} cases, {row.positive_cases:,} PC, "
        f"{row.dropped_cases:,} rejected, {row.processing_duration_seconds:.1f} s"
    )
