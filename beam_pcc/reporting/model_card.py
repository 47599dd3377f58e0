"""The model card that lies beside each version: Markdown, and three plots of the hold-out as SVG. Text only."""

from __future__ import annotations

import html
import re

import numpy as np

from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.models.metadata import SCORE_BINS, ModelMetadata
from beam_pcc.models.scoring import Floats
from beam_pcc.reporting import charts
from beam_pcc.terminal import printable

_NAMES = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier score (lower is better)",
    "precision": "Precision of PC",
    "recall": "Recall of PC",
}


def plots(truth: evaluation.Truth, probability: Floats, threshold: float) -> dict[str, str]:
    """File name to SVG: how scores part the classes, whether they mean what they say, precision against recall."""
    return {
        "scores.svg": _scores(truth, probability, threshold),
        "calibration.svg": _calibration(truth, probability),
        "precision_recall.svg": _precision_recall(truth, probability),
    }


def _scores(truth: evaluation.Truth, probability: Floats, threshold: float) -> str:
    counts = [np.histogram(probability[rows], bins=SCORE_BINS, range=(0, 1))[0].tolist() for rows in (truth, ~truth)]
    highest = max(max(count) for count in counts)
    chart = charts.Chart(charts.share_axis("P(PC)"), charts.count_axis(highest, "rows"), "Scores of the hold-out")
    width = 1 / SCORE_BINS
    for place, (count, kind) in enumerate(zip(reversed(counts), ("b", "a"), strict=True)):
        starts = [bin_ * width + (0.08 + 0.42 * place) * width for bin_ in range(SCORE_BINS)]
        chart.bars([(start, start + 0.42 * width) for start in starts], count, kind)
    chart.mark((threshold, 0), (threshold, charts.count_axis(highest).high))
    return chart.svg()


def _calibration(truth: evaluation.Truth, probability: Floats) -> str:
    chart = charts.Chart(charts.share_axis("mean P(PC)"), charts.share_axis("share of PC"), "Calibration")
    chart.mark((0, 0), (1, 1))
    chart.line([(said, was) for said, was, _ in evaluation.calibration(truth, probability)], "a", dots=True)
    return chart.svg()


def _precision_recall(truth: evaluation.Truth, probability: Floats) -> str:
    chart = charts.Chart(charts.share_axis("recall"), charts.share_axis("precision"), "Precision against recall")
    chart.line(evaluation.precision_recall(truth, probability), "a")
    return chart.svg()


def card(about: ModelMetadata) -> str:
    """The card of one version."""
    on = about.trained_on
    lines = [
        f"# Model card: {text(about.version)}",
        "",
        "Says of a customer-support case whether it is a privacy case or not. `PC`: the customer asks to see, delete,",
        "correct or move the data held about them, objects to its use, or complains of its handling; else `NOT_PC`.",
        f"A calibrated logistic regression on {about.feature_count} values ({text(about.embedding_model)}).",
        "",
        f"- trained at {text(about.trained_at)}, on {on['rows']:,} rows of {code(on['data'])}, of them "
        f"{on['holdout']:,} held out; left out: {on['dropped']:,} unfit, {on['duplicates']:,} duplicates, "
        f"{on['contradicting']:,} that contradict one another",
        f"- threshold of P(PC): {about.threshold:.3f}{_why(about)}",
        f"- SHA-256 of the model file: {code(about.sha256)}",
    ]
    if about.features is not None:
        terms = about.features.tfidf
        lines.append(
            f"- reads text: encoder {code(about.features.encoder_sha256[:16])}, {len(terms.terms)} TF-IDF terms "
            f"({text(terms.analyzer)}, {terms.ngrams[0]} to {terms.ngrams[1]})"
        )
    lines += [
        "- " + ", ".join(f"{text(name)} {text(version)}" for name, version in about.libraries.items()),
        "",
        "## Hold-out",
        "",
    ]
    lines += [
        "PC against NOT_PC, by a model that learnt from the other rows only (this version then learnt from all, in the",
        "same way); 95 % intervals by bootstrap.",
        "",
        "| metric | value | interval |",
        "|---|---|---|",
    ]
    for name, value in about.metrics.items():
        low, high = about.intervals[name]
        lines.append(f"| {text(_NAMES.get(name, name))} | {value:.3f} | {low:.3f} to {high:.3f} |")
    lines += [
        "",
        "| label | rows |",
        "|---|---|",
        *(f"| {text(label)} | {n:,} |" for label, n in on["labels"].items()),
        "",
    ]
    lines += [
        "![Scores of the hold-out: blue PC, yellow NOT_PC, dashed the threshold](scores.svg)",
        "![Calibration: dashed is ideal](calibration.svg)",
        "![Precision against recall](precision_recall.svg)",
        "",
        "## What to bear in mind",
        "",
        "The figures are of rows from the same set that it was trained on. Cases that are written otherwise (another",
        "language, channel or time) may be told worse: watch drift and the review share, and compare on your own",
        "labelled cases (`beam-pcc models compare`). It helps people who handle privacy requests; it does not judge.",
        "",
    ]
    return "\n".join(lines)


_MARKUP = re.compile(
    r"[\\`*\[\]|~<>&@]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # not within a word, where it is no emphasis
    r"|:(?=//)|(?<=www)\."  # what a page would make a link of
)
_ENTITIES = set("<>&")


def text(value: object) -> str:
    """Any value as plain text of a Markdown page that is shown as HTML: no markup, no link, on one line."""
    line = _cut(printable(value), 200)
    return _MARKUP.sub(lambda found: html.escape(found[0]) if found[0] in _ENTITIES else f"\\{found[0]}", line)


def code(value: object) -> str:
    """Any value as a code span; the marks of the span itself cannot be in it."""
    return f"`{_cut(printable(value), 80).replace('`', chr(39)).strip() or ' '}`"


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _why(about: ModelMetadata) -> str:
    wanted = about.trained_on["settings"]["min_precision"]
    return "" if wanted is None else f", the lowest that keeps a precision of {wanted:g} on held-out folds"
