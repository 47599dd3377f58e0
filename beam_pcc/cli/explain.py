"""`beam-pcc explain`: why a case, or a message, is PC or NOT_PC."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from beam_pcc.cli.parser import Commands, command
from beam_pcc.cli.results import ExplainResult, PublishedResult, Reporter, TermResult, add_output_argument
from beam_pcc.config.settings import RunConfig, add_partition_argument, add_run_arguments
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.terminal import logger, printable, say

if TYPE_CHECKING:
    from beam_pcc.models.registry import ModelVersion, Registry
    from beam_pcc.pipeline.explain import Explanation

_log = logger(__name__)
_DIGITS = 3
_LARGEST = 4 * 2**20  # bytes of a message; a run ignores what comes after 100,000 characters
_EXAMPLE = "--case case-17 --partition yesterday --source sample://100 --models models"
_NOTES = """of a message on standard input:
  beam-pcc explain --text - --models models < message.txt

exit codes:
  0  explained
  1  the case has no score: a run rejects it; or its source cannot be read
  2  wrong usage or configuration, or no such case"""


class _CaseConfig(RunConfig):
    """Of a case: that it was published is of interest, and not needed."""

    required: ClassVar[tuple[str, ...]] = ("source", "models")


class _TextConfig(RunConfig):
    """Of a message."""

    required: ClassVar[tuple[str, ...]] = ("models",)


def add(commands: Commands) -> None:
    """Declare the command."""
    explain = command(
        commands,
        "explain",
        "show why a case, or a message, is PC or NOT_PC; writes nothing",
        _explain,
        example=_EXAMPLE,
        notes=_NOTES,
    )
    explain.description = f"{explain.description} Takes the flags, the file and the environment of beam-pcc run."
    what = explain.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", metavar="ID", help="the case_id of a row of the partition")
    what.add_argument("--text", metavar="FILE", help="a file with one message, or - for standard input")
    explain.add_argument(
        "--terms", type=int, default=10, metavar="N", help="how many terms are shown (default: %(default)s)"
    )
    add_output_argument(explain)
    add_partition_argument(explain)
    add_run_arguments(explain)


def _explain(flags: argparse.Namespace) -> int:
    if flags.terms < 0:
        raise ConfigurationError("--terms must not be negative")
    reporter = Reporter(flags)
    result = _of_case(flags) if flags.case is not None else _of_text(flags)
    reporter.report(result)
    if not reporter.json:
        say(*_lines(result))
    return 0


def _of_case(flags: argparse.Namespace) -> ExplainResult:
    config = _CaseConfig.from_flags(flags)
    from beam_pcc.models.registry import Registry
    from beam_pcc.pipeline.explain import explain_case
    from beam_pcc.pipeline.text_mode import text_mode
    from beam_pcc.sources import ReadCases

    read = ReadCases(config, config.publish.staging or "")
    published = _published(config, flags.case)
    registry = Registry(config.model.registry, config.model.signer)
    version = _version(registry, config, published)
    explanation = explain_case(flags.case, read, version, text_mode(config, version.metadata))
    return _result(explanation, version, config, flags, published)


def _of_text(flags: argparse.Namespace) -> ExplainResult:
    config = _TextConfig.from_flags(flags, partition=dt.datetime.now(dt.timezone.utc).date())
    text = _message(flags.text)
    from beam_pcc.models.registry import Registry
    from beam_pcc.pipeline.explain import explain_text
    from beam_pcc.pipeline.text_mode import text_mode

    registry = Registry(config.model.registry, config.model.signer)
    version = _version(registry, config, None)
    encoder = dataclasses.replace(config.encoder, text_column=config.encoder.text_column or "text")
    mode = text_mode(dataclasses.replace(config, encoder=encoder), version.metadata)
    assert mode is not None  # noqa: S101 # nosec B101 - with a column it is text
    return _result(explain_text(text, version, mode), version, config, flags)


def _message(file: str) -> str:
    """The one message in a file. Raises ConfigurationError; the error quotes nothing of it."""
    where = "standard input" if file == "-" else one_line(file, 120)
    try:
        if file == "-":
            if sys.stdin.isatty():
                _log.info("reading the message from the terminal; end it with Ctrl-D")
            raw = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"--text {where} cannot be read: {error.strerror}; check the path") from None
    if len(raw) > _LARGEST:
        raise ConfigurationError(f"--text {where} has more than {_LARGEST:,} bytes; give it one message")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"--text {where} is not UTF-8; convert it") from None


def _published(config: RunConfig, case_id: str) -> Mapping[str, Any] | None:
    """What the warehouse has of the case, if one is named."""
    if not config.publish.warehouse:
        return None
    from beam_pcc.publishing.warehouse import open_warehouse

    warehouse = open_warehouse(config.publish, config.limits)
    warehouse.check()
    return warehouse.published(config.partition, case_id)


def _version(registry: Registry, config: RunConfig, published: Mapping[str, Any] | None) -> ModelVersion:
    """The version that the flags name, else the one that published the case, else the one that a run would use."""
    wanted = config.model
    if published is None or wanted.version or wanted.force_latest:
        name = registry.resolve(wanted.version, force_latest=wanted.force_latest)
    else:
        name = registry.find(published["model_version"], "the published row of the case")
    return registry.check(name, sha256=wanted.sha256)


def _result(
    explanation: Explanation,
    version: ModelVersion,
    config: RunConfig,
    flags: argparse.Namespace,
    published: Mapping[str, Any] | None = None,
) -> ExplainResult:
    import numpy as np

    from beam_pcc.models.scoring import needs_review
    from beam_pcc.pipeline.launch import review_band_of

    metadata, blocks = version.metadata, explanation.blocks or {}
    shown = explanation.terms[: flags.terms]
    band = review_band_of(config.limits, metadata)
    probability = np.array([explanation.probability])
    return ExplainResult(
        case_id=flags.case,
        partition=None if flags.case is None else f"{config.partition:%Y%m%d}",
        model_version=version.name,
        label=explanation.label,
        subtype=explanation.subtype,
        confidence=explanation.confidence,
        probability=explanation.probability,
        threshold=metadata.threshold,
        margin=abs(explanation.probability - metadata.threshold),
        review_band=band,
        review=bool(needs_review(probability, metadata.threshold, band)[0]),
        log_odds=explanation.log_odds,
        base=explanation.base,
        embedding=blocks.get("embedding"),
        tfidf=blocks.get("tfidf"),
        terms=tuple(TermResult(one.term, one.contribution, one.present) for one in shown),
        other_terms=blocks["tfidf"] - sum(one.contribution for one in shown) if explanation.terms else None,
        window=explanation.window,
        published=None if published is None else _published_result(published),
    )


def _published_result(row: Mapping[str, Any]) -> PublishedResult:
    return PublishedResult(row["run_id"], row["predicted_label"], row["confidence"], row["prediction_notes"])


def _lines(result: ExplainResult) -> list[str]:
    """For a person. The numbers add up as they stand."""
    name = "the message" if result.case_id is None else f"case {result.case_id} of {result.partition}"
    label = result.label if result.subtype is None else f"{result.label} ({result.subtype})"
    lines = [
        f"{printable(name)}: {label}, confidence {result.confidence:.3f}",
        f"  model       {result.model_version}",
        f"  P(PC)       {result.probability:.3f}, threshold {result.threshold:.3f}, margin {result.margin:.3f}",
        f"  review      {'yes' if result.review else 'no'}, the band is {result.review_band:g}",
        f"  decided by  {result.window or 'the whole of it'}",
    ]
    if result.published is not None:
        row = result.published
        lines.append(f"  published   {row.label}, confidence {row.confidence:.3f}, by run {row.run_id}")
    return [*lines, *_sum_lines(result)]


def _sum_lines(result: ExplainResult) -> list[str]:
    import numpy as np

    from beam_pcc.models.explaining import rounded

    if result.base is None or result.embedding is None or result.tfidf is None:
        return [
            f"  log-odds    {result.log_odds:+.{_DIGITS}f} of {result.label}, in parts unknown: the version has no mean "
            "vector of its training, or cannot score one; train again"
        ]
    values = [result.base, result.embedding, result.tfidf]
    (total,), (parts,) = rounded(np.array([result.log_odds]), np.array([values]), _DIGITS)
    lines = [f"  log-odds    {total:+.{_DIGITS}f} of {result.label}, the sum of"]
    names = ("base", "embedding", "tfidf")
    meanings = ("the mean of the training rows", "the meaning of the words", "the terms")
    lines += [
        f"    {name:<10}{part:+.{_DIGITS}f}  {meaning}"
        for name, part, meaning in zip(names, parts, meanings, strict=True)
    ]
    if result.other_terms is None:
        return lines
    values = [*(term.contribution for term in result.terms), result.other_terms]
    _, (terms,) = rounded(parts[2:], np.array([values]), _DIGITS)
    lines.append(f"  tfidf       {parts[2]:+.{_DIGITS}f}, the sum of")
    for term, value in zip(result.terms, terms, strict=False):
        lines.append(f"    {value:+.{_DIGITS}f}  {printable(term.term)!r}{'' if term.present else ', which is absent'}")
    return [*lines, f"    {terms[-1]:+.{_DIGITS}f}  all other terms"]
