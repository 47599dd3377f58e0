"""`beam-pcc models ...`: lists, verifies, compares, promotes and signs the versions of a registry."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pcc.cli.parser import Commands, called_as, command, group
from beam_pcc.cli.results import (
    ChainResult,
    ChangeResult,
    CompareResult,
    EvaluateResult,
    GroupResult,
    HistoryResult,
    ImportedModelResult,
    MeasuredResult,
    Reporter,
    ShareResult,
    VerifyResult,
    VersionResult,
    VersionsResult,
    add_output_argument,
)
from beam_pcc.config.settings import Action, add_encoder_arguments, add_signer_arguments, encoder_of, signer_of
from beam_pcc.errors import ConfigurationError
from beam_pcc.terminal import logger, say, table

if TYPE_CHECKING:
    from beam_pcc.evaluation.groups import Group
    from beam_pcc.evaluation.labelled import Labelled
    from beam_pcc.models.history import Chain
    from beam_pcc.models.registry import Registry

_log = logger(__name__)
_REGISTRY = "the registry: a folder, or gs://BUCKET/FOLDER"
_VERSION = "such as v20261120_020000"
_FORMATS = ("onnx", "scikit-learn", "lightgbm", "xgboost")


def add(commands: Commands) -> None:
    """Declare the commands."""
    models = group(commands, "models", "the model registry", example="list --models models")
    add_output_argument(_command(models, "list", "the versions, and which one a run would use", _list))
    verify = _command(models, "verify", "load a version as a run would, check it, score its golden rows", _verify)
    verify.add_argument("--model_version", help="default: the one that a run would use")
    verify.add_argument("--model_sha256", help="refuse any model file but the one with this digest")
    add_signer_arguments(verify)
    add_output_argument(verify)
    promote = _command(
        models,
        "promote",
        "make a version the one that runs use, if it passes the gates",
        _promote,
        "v20261120_020000 --data labelled.parquet",
    )
    promote.add_argument("version", metavar="VERSION", help=_VERSION)
    promote.add_argument(
        "--data",
        help="labelled rows on which it must find PC, and not be worse than the current version; a glob of files",
    )
    promote.add_argument(
        "--force", action="store_true", help="promote it without --data, or although it is worse; the log says why"
    )
    add_encoder_arguments(promote)
    add_signer_arguments(promote)
    _command(models, "rollback", "make the version current that was so before", _rollback)
    shadow = _command(
        models,
        "shadow",
        "name the version that runs score with besides, or none",
        _shadow,
        "v20261120_020000",
    )
    shadow.add_argument("version", metavar="VERSION", help=f"{_VERSION}, or none")
    history = _command(models, "history", "every change of the current version, oldest first", _history)
    history.add_argument("--earlier", metavar="FILE", help="of --verify: a log that was moved away, before this one")
    history.add_argument(
        "--verify", action="store_true", help="check that no line of the log was changed, added or removed"
    )
    add_output_argument(history)
    compare = _command(
        models,
        "compare",
        "measure two versions on the same labelled rows",
        _compare,
        "v20261119_020000 v20261120_020000 --data labelled.parquet",
    )
    compare.add_argument("versions", nargs=2, metavar="VERSION", help=_VERSION)
    compare.add_argument("--data", required=True, help="labelled rows that neither was trained on")
    add_encoder_arguments(compare)
    add_output_argument(compare)
    evaluate = _command(
        models,
        "evaluate",
        "measure a version on labelled rows, and on each group of them",
        _evaluate,
        "--data labelled.parquet --by lang",
    )
    evaluate.add_argument("--model_version", help="default: the one that a run would use")
    evaluate.add_argument("--data", required=True, help="labelled rows that it was not trained on; a glob of files")
    evaluate.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="also measure each value of this column, such as a language; may be repeated",
    )
    evaluate.add_argument(
        "--writer_column", metavar="COLUMN", help="who wrote a row: the intervals allow for rows of one writer"
    )
    add_encoder_arguments(evaluate)
    add_output_argument(evaluate, "markdown")
    bring_in = _command(
        models,
        "import",
        "make a version of a model that was trained elsewhere: scikit-learn, LightGBM, XGBoost or ONNX",
        _import,
        "model.onnx --data labelled.parquet",
    )
    bring_in.add_argument("file", metavar="FILE", help="model.onnx, .joblib, .skops, LightGBM's .txt, XGBoost's .json")
    bring_in.add_argument(
        "--data", required=True, help="labelled rows that it was not trained on: .parquet or .jsonl, with vectors"
    )
    bring_in.add_argument(
        "--training_data", metavar="DATA", help="the rows that it was trained on: what judges it later leaves them out"
    )
    bring_in.add_argument("--format", choices=_FORMATS, help="what the file is (default: by its ending)")
    bring_in.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="NOT_PC PC ..., in the model's order, if it does not name them"
    )
    bring_in.add_argument(
        "--threshold", type=float, default=0.5, help="of P(PC) at which a case is PC (default: %(default)s)"
    )
    bring_in.add_argument(
        "--trusted",
        action="store_true",
        help="load any class of a scikit-learn file, which can run its code: only for files that you made",
    )
    add_output_argument(bring_in)
    sign = _command(
        models,
        "sign",
        "sign a version with sigstore's model-signing (needs the signing extra)",
        _sign,
        "v20261120_020000 --private_key key.pem",
    )
    sign.add_argument("version", metavar="VERSION", help=_VERSION)
    sign.add_argument("--private_key", required=True, help="PEM file of an elliptic curve key")
    sign.add_argument("--certificate", help="PEM file of its certificate, to sign in certificate mode")
    sign.add_argument("--certificate_chain", nargs="+", default=[], help="PEM files from there to a root")


def _command(models: Commands, name: str, text: str, action: Action, example: str = "") -> argparse.ArgumentParser:
    parser = command(models, name, text, action, example=f"{example} --models models".lstrip())
    parser.add_argument("--models", required=True, help=_REGISTRY)
    return parser


def _registry(flags: argparse.Namespace) -> Registry:
    from beam_pcc.models.registry import Registry

    return Registry(flags.models, signer_of(flags))


def _list(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import ALIAS

    registry = _registry(flags)
    chosen, current, shadow = registry.resolve(), registry.current(), registry.shadow()
    current = current and registry.find(current, ALIAS)
    reporter = Reporter(flags)
    if reporter.json:
        reporter.report(
            VersionsResult(
                tuple(
                    _version_result(registry, version, chosen, current, shadow)
                    for version in reversed(registry.versions())
                )
            )
        )
        return 0
    names = ("roc_auc", "pr_auc", "brier", "precision", "recall")
    rows = [["version", "trained on", *names, "threshold", "sha256", ""]]
    for version in reversed(registry.versions()):
        metadata = registry.metadata(version)
        marks = [
            ("current", version == current),
            ("used by a run now", version == chosen),
            ("shadow", version == shadow),
        ]
        trained_on = f"{metadata.trained_on.get('rows', '?')} {'texts' if metadata.features else 'vectors'}"
        metrics = [metadata.metrics.get(name) for name in names]
        numbers = ["-" if value is None else f"{value:.3f}" for value in metrics]
        digest = (metadata.sha256 or "no digest")[:12]
        marked = ", ".join(mark for mark, applies in marks if applies)
        rows.append([version, trained_on, *numbers, f"{metadata.threshold:.3f}", digest, marked])
    say(*table(rows))
    return 0


def _version_result(
    registry: Registry, version: str, chosen: str, current: str | None, shadow: str | None
) -> VersionResult:
    metadata = registry.metadata(version)
    return VersionResult(
        version,
        current=version == current,
        used_by_run=version == chosen,
        shadow=version == shadow,
        trained_on_rows=metadata.trained_on.get("rows"),
        trained_on="texts" if metadata.features else "vectors",
        metrics=dict(metadata.metrics),
        threshold=metadata.threshold,
        sha256=metadata.sha256,
    )


def _verify(flags: argparse.Namespace) -> int:
    registry = _registry(flags)
    started = time.monotonic()
    checked = registry.verify(registry.resolve(flags.model_version), sha256=flags.model_sha256)
    golden, signed = checked.metadata.golden, signer_of(flags) is not None
    seconds = time.monotonic() - started
    reporter = Reporter(flags)
    if reporter.json:
        rows = None if golden is None else len(golden.vectors)
        file = checked.file
        reporter.report(
            VerifyResult(
                checked.name,
                file.path,
                file.sha256,
                checked.classes,
                rows,
                file.scorer,
                checked.scorer_reason,
                signed,
                round(seconds, 3),
            )
        )
        return 0
    say(f"{checked.name}: sound ({seconds:.1f} s)")
    say(f"  file        {checked.file.path}")
    say(f"  sha256      {checked.file.sha256}")
    say(f"  classes     {', '.join(checked.classes)}")
    rescored = "none stored, not checked" if golden is None else f"{len(golden.vectors)} give their scores again"
    say(f"  golden rows {rescored}")
    scorer = {"folded": "one matrix product", "estimator": "the estimator", "onnx": "the graph"}[checked.file.scorer]
    say(f"  scored by   {scorer} ({checked.scorer_reason})")
    if signed:
        say("  signature   good")
    return 0


def _promote(flags: argparse.Namespace) -> int:
    text = encoder_of(flags)
    from beam_pcc.evaluation import promotion
    from beam_pcc.features.featurizer import Runtime
    from beam_pcc.models.registry import ALIAS

    registry = _registry(flags)
    version = registry.find(flags.version, "beam-pcc models promote")
    if registry.current() == version:
        say(f"current: {version} (already; nothing was changed)")
        return 0
    runtime = Runtime(text.backend, text.threads)
    on = promotion.Evaluation(flags.data, text.text_column, text.address, runtime) if flags.data else None
    judgement = promotion.judge(registry, version, on)
    before = promotion.promote(registry, version, judgement, force=flags.force)
    say(f"current: {version} (was {before or 'none'})")
    for gate in judgement.gates:
        say(f"  {gate.name}: {gate.message}{' (forced)' if gate.failed else ''}")
    again = f"{called_as()} models rollback --models {shlex.quote(flags.models)}"
    say(f"  to go back: {again if before else f'remove {registry.root}/{ALIAS}'}")
    return 0


def _rollback(flags: argparse.Namespace) -> int:
    now, before = _registry(flags).rollback()
    say(f"current: {now} (was {before})")
    return 0


def _shadow(flags: argparse.Namespace) -> int:
    version = None if flags.version == "none" else flags.version
    before = _registry(flags).set_shadow(version)
    say(f"shadow: {version or 'none'} (was {before or 'none'})")
    return 0


def _history(flags: argparse.Namespace) -> int:
    if flags.earlier and not flags.verify:
        raise ConfigurationError("--earlier is the log before the one that --verify checks; add --verify")
    registry = _registry(flags)
    chain = registry.verify_history(_earlier(flags.earlier)) if flags.verify else None
    entries = registry.history(complete=not flags.verify)
    reporter = Reporter(flags)
    if reporter.json:
        changes = tuple(_change_result(entry) for entry in entries)
        reporter.report(HistoryResult(changes, None if chain is None else ChainResult(**chain._asdict())))
        return 0
    if chain is not None:
        _say_chain(chain)
        return 0
    rows = [["at", "by", "action", "version", "before", ""]]
    for entry in entries:
        reasons = "; ".join(f"{name}: {message}" for name, message in (entry.get("overridden") or {}).items())
        forced = ": ".join(filter(None, ["forced", reasons])) if entry.get("forced") else ""
        version = entry.get("shadow") or "none" if entry["action"] == "shadow" else entry["version"]
        before = entry.get("before") or "none"
        rows.append([str(entry.get("at"))[:19], str(entry.get("by")), entry["action"], version, before, forced])
    say(*table(rows))
    return 0


def _earlier(path: str | None) -> bytes:
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise ConfigurationError(f"--earlier {path} cannot be read: {error.strerror or error}; name a file") from None


def _say_chain(chain: Chain) -> None:
    say(f"log: whole; {chain.lines - chain.unchained:,} of {chain.lines:,} lines are chained")
    if chain.unchained:
        say(f"  {chain.unchained:,} of an earlier release are not: a change of them may not show")
    if chain.pending:
        say("  the last change is in current.json only; the next promote, rollback or history adds its line")
    if chain.by_hand:
        say(f"  no line made {chain.by_hand} current: a person wrote it into current.json")
    if chain.sha256:
        say(f"  sha256 of the last line  {chain.sha256}")


def _change_result(entry: Mapping[str, Any]) -> ChangeResult:
    version = entry.get("shadow") if entry["action"] == "shadow" else entry["version"]
    return ChangeResult(
        str(entry.get("at")),
        str(entry.get("by")),
        entry["action"],
        version,
        entry.get("before"),
        forced=bool(entry.get("forced")),
        overridden=dict(entry.get("overridden") or {}),
    )


def _unseen(registry: Registry, versions: list[str], rows: Labelled) -> Labelled:
    """The rows that none of the versions was trained on; says how many others were left out."""
    from beam_pcc.evaluation import trained_rows

    unseen = trained_rows.without(registry, versions, rows)
    if unseen.left_out:
        _log.warning(
            "left out %s of %s rows, which %s was trained on",
            f"{unseen.left_out:,}",
            f"{len(rows.labels):,}",
            " or ".join(versions),
        )
    if unseen.left_out and not len(unseen.rows.labels):
        raise ConfigurationError(
            f"--data holds no row that {' or '.join(versions)} was not trained on; name other rows"
        )
    for note in unseen.notes:
        _log.info("%s", note)
    return unseen.rows


def _compare(flags: argparse.Namespace) -> int:
    text = encoder_of(flags)
    from beam_pcc.evaluation import comparison
    from beam_pcc.evaluation.labelled import read_labelled
    from beam_pcc.features.featurizer import Runtime

    registry = _registry(flags)
    versions = [registry.find(version, "beam-pcc models compare") for version in flags.versions]
    rows = _unseen(registry, versions, read_labelled(flags.data, text.text_column))
    runtime = Runtime(text.backend, text.threads)
    first, second = (
        comparison.measure(registry, version, rows, encoder=encoder, runtime=runtime)
        for version, encoder in (
            (versions[0], text.address),
            (versions[1], comparison.shared_encoder(registry, versions[0], versions[1], text.address)),
        )
    )
    differ = comparison.differences(first, second, rows)
    reporter = Reporter(flags)
    if reporter.json:
        measured = (MeasuredResult(one.version, one.metrics, one.intervals) for one in (first, second))
        reporter.report(
            CompareResult(
                len(rows.labels),
                (next(measured), next(measured)),
                differ.flipped,
                differ.first_right,
                differ.second_right,
                differ.p_value,
            )
        )
        return 0
    lines = [["", first.version, second.version, "difference"]]
    for name, value in first.metrics.items():
        cells = [
            f"{one.metrics[name]:.3f} ({one.intervals[name][0]:.3f} to {one.intervals[name][1]:.3f})"
            for one in (first, second)
        ]
        lines.append([name, *cells, f"{second.metrics[name] - value:+.3f}"])
    say(*table(lines))
    say(f"{len(rows.labels):,} rows, {differ.flipped:,} of them labelled otherwise (McNemar p = {differ.p_value:.3f})")
    say(f"  of those {first.version} has {differ.first_right:,} right, {second.version} {differ.second_right:,}")
    return 0


def _evaluate(flags: argparse.Namespace) -> int:
    text = encoder_of(flags)
    from beam_pcc.evaluation import comparison, groups
    from beam_pcc.evaluation.labelled import read_labelled
    from beam_pcc.features.featurizer import Runtime

    if text.text_column is not None and text.text_column in flags.by:
        raise ConfigurationError(f"--by {text.text_column} is the column of messages, which are not printed")
    registry = _registry(flags)
    version = registry.resolve(flags.model_version)
    columns = list(dict.fromkeys([*flags.by, *([flags.writer_column] if flags.writer_column else [])]))
    rows = _unseen(registry, [version], read_labelled(flags.data, text.text_column, columns))
    probability, threshold = comparison.score(
        registry, version, rows, encoder=text.address, runtime=Runtime(text.backend, text.threads)
    )
    by = list(dict.fromkeys(flags.by))
    measured = [_group_result(one) for one in groups.evaluate(rows, probability, threshold, by, flags.writer_column)]
    reporter = Reporter(flags)
    if reporter.json:
        reporter.report(EvaluateResult(version, len(rows.labels), threshold, tuple(measured)))
        return 0
    lines = [["", "", "rows", "right", "PC found", "NOT_PC left alone"]]
    for one in measured:
        shares = [_share(share) for share in (one.right, one.pc_found, one.not_pc_kept)]
        lines.append([one.column or "all", one.value or "", f"{one.right.rows:,}", *shares])
    if flags.output == "markdown":
        lines.insert(1, ["---"] * len(lines[0]))
        say(*("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines))
    else:
        say(*table(lines))
    return 0


def _group_result(group: Group) -> GroupResult:
    shares = (group.right, group.pc_found, group.not_pc_kept)
    return GroupResult(
        group.column, group.value, *(ShareResult(one.rows, one.value, one.low, one.high) for one in shares)
    )


def _share(share: ShareResult) -> str:
    return "-" if share.value is None else f"{share.value:.1%} ({share.low:.0%} to {share.high:.0%})"


def _import(flags: argparse.Namespace) -> int:
    if not 0 < flags.threshold < 1:
        raise ConfigurationError("--threshold must be between 0 and 1")
    from beam_pcc.training.importing import import_model
    from beam_pcc.training.train import metrics_line

    made = import_model(
        flags.file,
        flags.models,
        flags.data,
        training_data=flags.training_data,
        kind=flags.format,
        classes=flags.classes,
        threshold=flags.threshold,
        trusted=flags.trusted,
    )
    metadata = made.metadata
    reporter = Reporter(flags)
    if reporter.json:
        reporter.report(
            ImportedModelResult(
                metadata.version,
                made.kind,
                metadata.classes or (),
                made.rows,
                made.difference,
                dict(metadata.metrics),
                str(metadata.sha256),
            )
        )
        return 0
    say(f"{metadata.version}: imported, {made.kind}, classes {', '.join(metadata.classes or ())}")
    if made.difference is not None:
        say(f"  scores as the original on {made.rows:,} rows (largest difference {made.difference:.1g})")
    if made.left_out:
        say(f"  {made.left_out:,} rows of --data are in --training_data too, and were left out")
    say(f"  on {made.rows:,} rows: {metrics_line(metadata.metrics)}")
    say(f"  {flags.models.rstrip('/')}/{metadata.version}  (sha256 {str(metadata.sha256)[:12]})")
    return 0


def _sign(flags: argparse.Namespace) -> int:
    signature = _registry(flags).sign(flags.version, flags.private_key, flags.certificate, flags.certificate_chain)
    say(f"{flags.version}: signed")
    say(f"  signature   {signature}")
    return 0
