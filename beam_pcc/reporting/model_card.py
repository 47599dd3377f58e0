"""The model card that lies beside each version: Markdown, and three plots of the hold-out as SVG.

The Markdown is made by templates/model_card.md.j2. What comes from data or a file name is text in it: see `text`.
"""

from __future__ import annotations

import functools
import html
import re

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from beam_pcc import progress
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
_CLASSIFIERS = {
    "logistic": "A logistic regression",
    "hist_gradient_boosting": "Gradient boosted trees",
    "mlp": "A neural network of one hidden layer",
}


@progress.task("drawing the plots")
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
    from sklearn.calibration import calibration_curve

    chart = charts.Chart(charts.share_axis("mean P(PC)"), charts.share_axis("share of PC"), "Calibration")
    chart.mark((0, 0), (1, 1))
    share, mean = calibration_curve(truth, probability, n_bins=SCORE_BINS)
    chart.line(list(zip(mean.tolist(), share.tolist(), strict=True)), "a", dots=True)
    return chart.svg()


def _precision_recall(truth: evaluation.Truth, probability: Floats) -> str:
    from sklearn.metrics import precision_recall_curve

    chart = charts.Chart(charts.share_axis("recall"), charts.share_axis("precision"), "Precision against recall")
    precision, recall, _ = precision_recall_curve(truth, probability, drop_intermediate=True)
    chart.line(list(zip(recall[::-1].tolist(), precision[::-1].tolist(), strict=True)), "a")
    return chart.svg()


def card(about: ModelMetadata) -> str:
    """The card of one version, Markdown."""
    return _template().render(about=about, data=about.trained_on, names=_NAMES, classifiers=_CLASSIFIERS)


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


class _Markdown(str):
    """What is Markdown already, so that the template does not escape it."""


def code(value: object) -> str:
    """Any value as a code span; the marks of the span itself cannot be in it."""
    return _Markdown(f"`{_cut(printable(value), 80).replace('`', chr(39)).strip() or ' '}`")


def _escaped(value: object) -> str:
    return value if isinstance(value, _Markdown) else text(value)


@functools.cache
def _template() -> Template:
    """The template of the card; it escapes every value for Markdown, as autoescape does for HTML."""
    environment = Environment(
        loader=PackageLoader("beam_pcc.reporting"),
        autoescape=False,  # noqa: S701 - Markdown: `finalize` escapes
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    return environment.get_template("model_card.md.j2")


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
