"""The gates of a promotion, which a version must pass before runs use it."""

from __future__ import annotations

from typing import NamedTuple

from beam_pcc.errors import ModelError
from beam_pcc.evaluation import comparison
from beam_pcc.evaluation.labelled import Labelled, read_labelled
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Runtime
from beam_pcc.models.registry import Registry


class Gate(NamedTuple):
    """The result of a gate; `failed` if it forbids the promotion."""

    name: str
    message: str
    failed: bool = False


class Evaluation(NamedTuple):
    """The labelled rows on which to compare a candidate with the current version."""

    data: str
    text_column: str | None = None
    encoder: str | None = None
    runtime: Runtime = DEFAULT_RUNTIME


def gates(registry: Registry, version: str, on: Evaluation | None = None) -> list[Gate]:
    """Check a version at every gate.

    Raises:
        ModelError: It does not load under the allow-list, has another number of features, or scores its golden rows
            differently. These gates cannot be overridden.
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
    if on is None:
        return [*passed, Gate("not worse than current", "not checked: no --data")]
    if current is None or current == version:
        return [*passed, Gate("not worse than current", "not checked: nothing else is current")]
    rows = read_labelled(on.data, on.text_column)
    return [*passed, _compare(registry, version, current, rows, on)]


def _compare(registry: Registry, version: str, current: str, rows: Labelled, on: Evaluation) -> Gate:
    first, second = (
        comparison.measure(registry, name, rows, encoder=on.encoder, runtime=on.runtime) for name in (current, version)
    )
    worse = comparison.worse(second.metrics, first.metrics)
    message = "; ".join(worse) if worse else f"f1 {comparison.f1(second.metrics):.3f} on {len(rows.labels):,} rows"
    return Gate("not worse than current", message, failed=bool(worse))


def promote(registry: Registry, version: str, results: list[Gate], *, force: bool = False) -> str | None:
    """Promote a version that passed its gates; returns the version that was current before.

    Raises:
        ModelError: A gate failed without `force`, or somebody else promoted meanwhile.
    """
    failed = [gate for gate in results if gate.failed]
    if failed and not force:
        raise ModelError(
            f"{version} is not promoted: {failed[0].name}: {failed[0].message}; promote it nevertheless with --force"
        )
    return registry.promote(version, checks={gate.name: gate.message for gate in results}, forced=bool(failed))
