"""The gates of a promotion, which a version must pass before runs use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.errors import ModelError, one_line
from beam_pcc.evaluation import comparison, floors, paired, trained_rows
from beam_pcc.evaluation.labelled import read_labelled
from beam_pcc.evaluation.metrics import Truth
from beam_pcc.evaluation.paired import Change, Scored
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Runtime
from beam_pcc.models.registry import Registry

MIN_ROWS_OF_CLASS = 10
"""Of PC and of NOT_PC: on fewer no gate says anything."""


class Gate(NamedTuple):
    """The result of a gate; `failed` if it forbids the promotion."""

    name: str
    message: str
    failed: bool = False


class Judgement(NamedTuple):
    """The results of all gates, and the version that was current then."""

    gates: list[Gate]
    current: str | None


class Evaluation(NamedTuple):
    """The labelled rows that judge a candidate."""

    data: str
    text_column: str | None = None
    encoder: str | None = None
    runtime: Runtime = DEFAULT_RUNTIME


def judge(registry: Registry, version: str, on: Evaluation | None = None) -> Judgement:
    """Check a version at every gate.

    Raises:
        ConfigurationError: The labelled rows cannot be read.
        ModelError: It does not load under the allow-list, has another number of features, scores its golden rows
            differently, or cannot score the labelled rows. These gates cannot be overridden.
    """
    version = registry.find(version, "beam-pcc models promote")
    checked = registry.verify(version)
    golden = checked.metadata.golden
    passed = [
        Gate("loads under the allow-list", f"sha256 {checked.file.sha256[:12]}"),
        Gate("features", f"{checked.metadata.feature_count}"),
        Gate("golden rows", f"{len(golden.vectors)} give their scores again" if golden else "none stored, not checked"),
    ]
    current = registry.current()
    if current == version:
        return Judgement(passed, current)
    if on is None:
        message = f"no --data to {'compare it with ' + current if current else 'measure it'} on"
        return Judgement([*passed, Gate("labelled rows", message, failed=True)], current)
    return Judgement([*passed, *_judge_on_rows(registry, version, current, on)], current)


def _judge_on_rows(registry: Registry, version: str, current: str | None, on: Evaluation) -> list[Gate]:
    """The gates on labelled rows."""
    everything = read_labelled(on.data, on.text_column)
    others: list[str] = []
    problem = None
    if current is not None:
        try:
            others = [registry.find(current, "current.json")]
        except ModelError as error:  # it must not stand in the way of a sound version
            problem = error
    unseen = trained_rows.without(registry, [version, *others], everything)
    gate = _rows_gate(unseen, [version, *others])
    if gate.failed:
        return [gate]
    candidate = comparison.score_rows(registry, version, unseen.rows, encoder=on.encoder, runtime=on.runtime)
    before = None
    if others:
        try:
            encoder = comparison.shared_encoder(registry, version, others[0], on.encoder)
            before = comparison.score_rows(registry, others[0], unseen.rows, encoder=encoder, runtime=on.runtime)
        except ModelError as error:
            problem = error
    truth = unseen.rows.labels != schemas.NOT_PC
    results = [gate, _scoring_gate(candidate, before)]
    usable = np.isfinite(candidate.probability)
    if before is not None:
        usable &= np.isfinite(before.probability)
    if min((truth & usable).sum(), (~truth & usable).sum()) < MIN_ROWS_OF_CLASS:
        return [Gate("labelled rows", _too_few(truth[usable]), failed=True), results[1]]
    truth, candidate = truth[usable], _take(candidate, usable)
    results += [_floor_gate(floors.ranking(truth, candidate)), _floor_gate(floors.finding(truth, candidate))]
    if before is not None:
        return [*results, _compare(truth, _take(before, usable), candidate)]
    results.append(_floor_gate(floors.calibration(truth, candidate)))
    if problem is not None:
        results.append(Gate("not worse than current", f"{current} cannot be measured: {problem}", failed=True))
    return results


def _take(scored: Scored, rows: Truth) -> Scored:
    return Scored(scored.probability[rows], scored.threshold)


def _rows_gate(unseen: trained_rows.Unseen, versions: list[str]) -> Gate:
    truth = unseen.rows.labels != schemas.NOT_PC
    phrases = []
    if unseen.left_out:
        phrases.append(f"left out {unseen.left_out:,} that {' or '.join(versions)} was trained on")
    phrases += unseen.notes
    if min(truth.sum(), (~truth).sum()) < MIN_ROWS_OF_CLASS:
        return Gate("labelled rows", "; ".join([_too_few(truth), *phrases]), failed=True)
    return Gate("labelled rows", "; ".join([_counts(truth), *phrases]))


def _counts(truth: Truth) -> str:
    return f"{int(truth.sum()):,} of PC and {int((~truth).sum()):,} of NOT_PC"


def _too_few(truth: Truth) -> str:
    return f"{_counts(truth)}; at least {MIN_ROWS_OF_CLASS} of each are needed"


def _scoring_gate(candidate: Scored, before: Scored | None) -> Gate:
    """A run rejects a row without a probability, so a version must score what the current one does."""
    missing = ~np.isfinite(candidate.probability)
    failing = int(missing.sum() if before is None else (missing & np.isfinite(before.probability)).sum())
    whose = "" if before is None else ", which the current version scores"
    message = f"{failing:,} rows have no probability{whose}" if failing else "each one has a probability"
    return Gate("scores the rows", message, failed=bool(failing))


def _floor_gate(floor: floors.Floor) -> Gate:
    return Gate(floor.name, floor.message, floor.failed)


def _compare(truth: Truth, before: Scored, candidate: Scored) -> Gate:
    """Fails if a metric is worse; says also how large a loss these rows could show."""
    changes = paired.changes(truth, before, candidate)
    worse = [change for change in changes if change.is_worse]
    if worse:
        return Gate("not worse than current", "; ".join(map(_difference, worse)), failed=True)
    return Gate("not worse than current", "; ".join(map(_difference, changes)))


def _difference(change: Change) -> str:
    """The values, and the interval of the gain in the metric's own direction."""
    low, high = (change.low, change.high) if change.name != "brier" else (-change.high, -change.low)
    return f"{change.name} {change.candidate:.3f} against {change.current:.3f} ({low:+.3f} to {high:+.3f})"


def promote(registry: Registry, version: str, judgement: Judgement, *, force: bool = False) -> str | None:
    """Promote a version that passed its gates; returns the version that was current before.

    Raises:
        ModelError: A gate failed without `force`, or somebody else promoted since the judgement.
    """
    failed = _messages(gate for gate in judgement.gates if gate.failed)
    if failed and not force:
        reasons = "; ".join(f"{name}: {message}" for name, message in failed.items())
        raise ModelError(f"{version} is not promoted: {reasons}; promote it nevertheless with --force")
    checks = _messages(judgement.gates)
    return registry.promote(version, checks=checks, overridden=failed, replaces=judgement.current)


def _messages(results: Iterable[Gate]) -> dict[str, str]:
    """Name to message, as the log takes them."""
    return {gate.name: one_line(gate.message, 900) for gate in results}
