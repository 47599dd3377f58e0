"""From settings to a run that is ready to start: what can be known to be wrong is found before a worker starts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from dataclasses import dataclass

from beam_pcc import progress
from beam_pcc.cases import checking
from beam_pcc.config.run_ids import new_run_id, started_at
from beam_pcc.config.settings import DEFAULT_REVIEW_BAND, Limits, RunConfig
from beam_pcc.errors import ConfigurationError
from beam_pcc.features.featurizer import TextMode
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.registry import ModelVersion, Registry
from beam_pcc.pipeline.text_mode import text_mode
from beam_pcc.publishing.publish import Rules
from beam_pcc.publishing.staging import StagingArea, remove_dead_runs
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse, prepare_tables
from beam_pcc.sources import ReadCases
from beam_pcc.sources.waiting import wait_for_source
from beam_pcc.terminal import logger

_log = logger(__name__)


@dataclass(frozen=True)
class Launch:
    """A run of which nothing was looked at yet: who it is, and where its traces are."""

    config: RunConfig
    run: Run
    warehouse: Warehouse
    area: StagingArea

    @classmethod
    def of(cls, config: RunConfig) -> Launch:
        """A new run, or the one whose id the settings give. Raises ConfigurationError."""
        now = dt.datetime.now(dt.timezone.utc)
        run_id = config.publish.run_id or new_run_id(config.partition, now)
        # An id that was given tells the start too, so a JobManager that makes its job again makes the same one.
        run = Run(run_id, config.partition, started_at(run_id) or now)
        warehouse = open_warehouse(config.publish, config.limits)
        return cls(config, run, warehouse, StagingArea(warehouse.staging(config.publish.staging), run_id))

    def plan(self) -> LaunchPlan:
        """Look at staging, source, models and tables, and make missing tables. Raises PccError."""
        with progress.task("preparing the staging folder") as step:
            return self._plan(step)

    def _plan(self, step: progress.Task) -> LaunchPlan:
        config, area = self.config, self.area
        area.begin()
        for run_id in remove_dead_runs(area.root, min(self.run.started_at, dt.datetime.now(dt.timezone.utc))):
            _log.info("removed what the dead run %s had staged", run_id)
        check = functools.partial(checking.check, text_column=config.encoder.text_column)
        find_source = functools.partial(ReadCases, config, area.join("export"), check)
        if config.source.wait_seconds:
            prepare_tables(self.warehouse, dry_run=True)  # reports what is wrong there before the wait
            model, shadow, text = load(config)
            read = wait_for_source(find_source, config.source.wait_seconds)
        else:
            step.name = "looking at the source"
            read = find_source()
            model, shadow, text = load(config)
        run = dataclasses.replace(
            self.run,
            model_version=model.name,
            embedding_model=model.metadata.embedding_model,
            model_sha256=model.file.sha256,
            shadow_version=shadow.name if shadow else None,
            review_band=review_band_of(config.limits, model.metadata),
        )
        step.name = "preparing the tables"
        prepare_tables(self.warehouse, dry_run=config.publish.dry_run)
        step.name = "counting the rows of the source"
        _ = read.volume  # of many files it takes a while
        return LaunchPlan(config, run, self.warehouse, area, read, model, shadow, text)


@dataclass(frozen=True)
class LaunchPlan(Launch):
    """A run that is ready to start.

    Attributes:
        config: What it was told.
        run: Who it is, with its model.
        warehouse: Where it publishes.
        area: Where it stages.
        read: The transform that gives the source's rows.
        model: The version that scores.
        shadow: The version that scores besides, if one does.
        text: How vectors are made of messages; None where the source has vectors.
    """

    read: ReadCases
    model: ModelVersion
    shadow: ModelVersion | None
    text: TextMode | None

    @property
    def review_band(self) -> float:
        """How near to the threshold a case is to be reviewed."""
        return review_band_of(self.config.limits, self.model.metadata)

    @property
    def rules(self) -> Rules:
        """What makes it fit to publish, and how."""
        publish, limits = self.config.publish, self.config.limits
        return Rules(
            max_drop_rate=limits.max_drop_rate,
            max_psi=limits.max_psi,
            # Text mode computes its vectors itself: an empty TF-IDF block means messages without a known term.
            refuse_drift=self.text is None and not limits.accept_drift,
            replace_with_empty=publish.replace_with_empty,
            dry_run=publish.dry_run,
            baseline=self.model.metadata.baseline,
            source=self.read.volume,
            min_volume=limits.min_volume,
            accept_volume=limits.accept_volume,
        )


def review_band_of(limits: Limits, model: ModelMetadata) -> float:
    """The band that the settings name, else the one that the version recommends, else the default."""
    if limits.review_band is not None:
        return limits.review_band
    recommended = model.review.recommended if model.review else None
    return DEFAULT_REVIEW_BAND if recommended is None else recommended


def load(config: RunConfig) -> tuple[ModelVersion, ModelVersion | None, TextMode | None]:
    """The model of the run, the one in its shadow, and what their vectors are made with. Raises ModelError."""
    model, shadow = load_models(config)
    return model, shadow, text_mode(config, model.metadata, shadow.metadata if shadow else None)


def load_models(config: RunConfig) -> tuple[ModelVersion, ModelVersion | None]:
    """The model of the run, and the one that scores in its shadow; both loaded and checked. Raises ModelError."""
    registry = Registry(config.model.registry, config.model.signer)
    version, shadow = choose_versions(registry, config)
    checked = registry.check(version, sha256=config.model.sha256)
    return checked, registry.check(shadow) if shadow else None


def choose_versions(registry: Registry, config: RunConfig) -> tuple[str, str | None]:
    """The version that a run uses, and the one in its shadow, if any. Raises ModelError."""
    version = registry.resolve(config.model.version, force_latest=config.model.force_latest)
    named, shadow = config.model.shadow, config.model.shadow or registry.shadow()
    if shadow is None or shadow == "none":
        return version, None
    shadow = registry.find(shadow, "--shadow_version" if named else "current.json")
    if shadow != version:
        return version, shadow
    if named:
        raise ConfigurationError(
            f"--shadow_version {version} is the version of the run itself, which says nothing of another; name another "
            "version, or none"
        )
    return version, None  # current.json's shadow is run as --model_version
