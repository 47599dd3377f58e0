"""What a run's monitoring row holds: that of an audited run, and that of a run that could not finish."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

from beam_pcc.cases.monitoring_row import MonitoringRow
from beam_pcc.features import languages
from beam_pcc.models.metadata import Baseline
from beam_pcc.publishing.drift_alarms import Drift
from beam_pcc.publishing.statistics import RunStats, psi
from beam_pcc.publishing.volume import Volume
from beam_pcc.publishing.warehouse.base import Run, StagedFigures


def audited_row(
    run: Run,
    figures: StagedFigures,
    stats: RunStats,
    baseline: Baseline | None,
    violations: Sequence[str],
    drift: Drift | None = None,
    volume: Volume | None = None,
) -> MonitoringRow:
    """The row of a run that ends now, its rows staged and audited.

    Args:
        run: Which one.
        figures: What was counted of its staged rows.
        stats: What was counted of the rows it read.
        baseline: Of the model, to measure drift against.
        violations: What forbids to publish.
        drift: Of its scores and vectors; None where nothing was measured.
        volume: Of its source; None where nothing was compared.
    """
    drift, volume = drift or Drift(), volume or Volume()
    now = dt.datetime.now(dt.timezone.utc)
    moved = drift.shifts or {}
    embedding, tfidf = moved.get("embedding"), moved.get("tfidf")
    shadow = stats.shadow
    return MonitoringRow(
        run_id=run.run_id,
        model_version=run.model_version,
        embedding_model=run.embedding_model,
        partition_date=run.partition_date,
        runtime_ts=run.started_at,
        status="refused" if violations else "success" if stats.rows_read else "empty",
        total_cases=stats.rows_read,
        passed_validation=figures.predictions,
        dropped_cases=figures.rejected.total(),
        ingestion_time=now,
        processing_duration_seconds=(now - run.started_at).total_seconds(),
        error_message=f"audits refused to publish: {'; '.join(violations)}" if violations else None,
        positive_cases=figures.positive,
        review_cases=figures.review,
        review_band=run.review_band,
        notes="; ".join(filter(None, (drift.notes(sum(figures.score_histogram)), volume.note))) or None,
        drift_psi=drift.psi,
        drift_psi_recent=drift.psi_recent,
        drift_psi_limit=drift.psi_limit,
        alerts=(*drift.alerts, *volume.alerts),
        reject_reasons=dict(sorted(figures.rejected.items())),
        model_sha256=run.model_sha256,
        score_histogram=figures.score_histogram,
        baseline_histogram=baseline.score_histogram if baseline else None,
        embedding_norm_shift=embedding.norm if embedding else None,
        embedding_mean_shift=embedding.mean if embedding else None,
        tfidf_norm_shift=tfidf.norm if tfidf else None,
        tfidf_mean_shift=tfidf.mean if tfidf else None,
        shadow_version=run.shadow_version,
        shadow_flip_rate=shadow.flipped / shadow.rows if shadow.rows else None,
        shadow_psi=psi(shadow.own_histogram, shadow.histogram) if shadow.rows else None,
        exact_copies=figures.copies,
        source_rows=volume.source.rows if volume.source.exact else stats.rows_read,
        source_files=volume.source.files,
        source_modified=volume.source.modified,
        language_shares=languages.shares(stats.languages) if stats.languages else None,
        untrained_language_cases=stats.untrained_language if stats.languages else None,
    )


def failed_row(run: Run, failure: BaseException) -> MonitoringRow:
    """The row of a run that could not finish: it counts no row, and says why."""
    row = audited_row(run, StagedFigures(), RunStats(), None, ())
    return dataclasses.replace(
        row, status="failed", error_message=str(failure), score_histogram=None, alerts=None, exact_copies=None
    )
