"""The protocol of a warehouse: load a run's staged files, say what is in them, publish them or refuse them.

Knows nothing of Beam. What makes a run fit to publish is decided in `beam_pcc.publish`; a warehouse only counts and
writes.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

StagedKind = Literal["predictions", "rejected"]


class StagedFile(NamedTuple):
    """A Parquet file of STAGED_PREDICTIONS or STAGED_REJECTED rows that a bundle wrote."""

    kind: StagedKind
    uri: str
    rows: int


@dataclass(frozen=True)
class Run:
    """Who a run is: fixed at launch, the same on every worker."""

    run_id: str
    partition_date: dt.date
    started_at: dt.datetime
    model_version: str | None = None
    embedding_model: str | None = None
    model_sha256: str | None = None


@dataclass(frozen=True)
class StagedFigures:
    """What SQL counts in a run's staging tables; duplicates are already among the rejected."""

    predictions: int = 0
    distinct_case_ids: int = 0
    bad_confidence: int = 0
    unknown_labels: int = 0
    positive: int = 0
    review: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class StagedRun(Protocol):
    """A run's own staging tables, each case_id once among the predictions.

    Of several rows with one case_id, load kept the latest by the case's timestamp (then the most confident); the others
    are among the rejected as duplicate_case_id.
    """

    def figures(self) -> StagedFigures:
        """Count, for the audits."""
        ...

    def publish(self, monitoring: Mapping[str, Any]) -> None:
        """In ONE transaction: replace the partition's predictions and quarantine by this run's, add its monitoring row.

        Publishing the same run twice leaves what publishing it once leaves.
        """
        ...

    def withhold(self, monitoring: Mapping[str, Any]) -> None:
        """In ONE transaction: add the quarantine rows and the monitoring row; what was published stays."""
        ...


class Warehouse(Protocol):
    """Somewhere with the tables of `beam_pcc.schemas.TABLES`. Picklable: workers get a copy.

    Raises:
        WarehouseError: From any method: what, where, what to do.
    """

    address: str
    default_staging: str
    """Where runs stage their files unless told otherwise."""

    def check(self) -> None:
        """Raise ConfigurationError for what can be known to be wrong before a run starts. Changes nothing."""
        ...

    def create_tables(self) -> list[str]:
        """Make the missing tables; return the names of those made. A table with other columns is an error."""
        ...

    def load(self, run: Run, files: Sequence[StagedFile]) -> AbstractContextManager[StagedRun]:
        """Load the files into the run's own staging tables, which are gone when the context ends."""
        ...

    def record(self, monitoring: Mapping[str, Any]) -> bool:
        """Write the monitoring row of a run that published nothing; False if the run has one already, which stays."""
        ...

    def monitoring(self, run_id: str) -> dict[str, Any] | None:
        """The monitoring row of a run."""
        ...

    def query(self, sql: str) -> str:
        """Run one query; return its rows as a text table."""
        ...
