"""Learns from messages that are windows: multiple-instance learning, calibrated on the windows that decide.

Of a NOT_PC message every window is NOT_PC. Of a PC message at least one is PC, and only the one that decides is
learned from (as MI-SVM of Andrews, Tsochantaridis and Hofmann, 2002). Probabilities are
calibrated on one window of each message, the deciding one, as this is what a run publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import deciding, scoring
from beam_pcc.models.scoring import Floats

Rows = npt.NDArray[np.int64]
_DISCOUNTS = np.arange(0.0, 2.01, 0.05)
_JOINED = (2, 6)
"""Messages that are joined to a long one, at least and at most."""


@dataclass(frozen=True)
class Messages:
    """n messages as m windows.

    Attributes:
        vectors: (m, 584).
        counts: (n,) windows of each message, which follow each other.
        labels: (n,) PC, NOT_PC or PC/<subtype>.
        sources: (n,) a number that a message shares with its augmented copies; None if there are no copies.
    """

    vectors: schemas.Vectors
    counts: Rows
    labels: Labels
    sources: Rows | None = None

    @classmethod
    def whole(cls, vectors: schemas.Vectors, labels: Labels) -> Messages:
        """Messages of one window each."""
        return cls(vectors, np.ones(len(labels), dtype=np.int64), labels)

    @property
    def are_split(self) -> bool:
        """Whether one has several windows."""
        return len(self.vectors) > len(self.counts)

    @property
    def numbers(self) -> Rows:
        """(m,) the message of each window."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def take(self, messages: Rows) -> Messages:
        """The messages with these numbers, in this order."""
        starts = np.cumsum(self.counts) - self.counts
        rows = [np.arange(starts[one], starts[one] + self.counts[one]) for one in messages.tolist()]
        return Messages(
            self.vectors[np.concatenate([np.empty(0, np.int64), *rows])],
            self.counts[messages],
            self.labels[messages],
            None if self.sources is None else self.sources[messages],
        )

    def folds(self, number: int, seed: int | None = None) -> Iterator[tuple[Rows, Rows]]:
        """Pairs of messages to learn from and others, stratified; a message and its copies are in one fold."""
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        kind = StratifiedKFold if self.sources is None else StratifiedGroupKFold
        parts = kind(number, shuffle=seed is not None, random_state=seed)
        yield from parts.split(self.labels, self.labels, self.sources)

    def decide(self, model: Any, discount: float = 0.0) -> tuple[Rows, scoring.Scores]:
        """See `deciding.decide`, of a model's scores of all windows."""
        classes = tuple(str(c) for c in model.classes_)
        return deciding.decide(scoring.score(model, self.vectors), self.counts, classes, discount)


@dataclass(frozen=True)
class TrainingRows:
    """The windows to learn from.

    Attributes:
        x: (k, 584).
        y: (k,) their labels.
        decides: (k,) whether the window is the deciding one of its message, and counts for calibration.
        groups: (k,) its message: windows of one, and of its copies, are in the same fold.
    """

    x: schemas.Vectors
    y: Labels
    decides: npt.NDArray[np.bool_]
    groups: Rows

    @property
    def is_split(self) -> bool:
        """Whether a message has several rows."""
        return len(np.unique(self.groups)) < len(self.groups)


def training_rows(messages: Messages, estimator: Any) -> TrainingRows:
    """All windows of NOT_PC messages, and the deciding window of each PC message.

    Args:
        messages: To learn from.
        estimator: Not fitted; finds the deciding windows, first with all windows of PC messages, then with them.
    """
    numbers = messages.numbers
    labels = messages.labels[numbers]
    learned, decides = np.ones(len(labels), dtype=bool), np.ones(len(labels), dtype=bool)
    if messages.are_split:
        for _ in range(2):
            model = estimator.fit(messages.vectors[learned], labels[learned])
            rows, _ = messages.decide(model)
            decides[:] = False
            decides[rows] = True
            learned = decides | (labels == schemas.NOT_PC)
    groups = numbers if messages.sources is None else messages.sources[numbers]
    return TrainingRows(messages.vectors[learned], labels[learned], decides[learned], groups[learned])


def choose_discount(model: Any, messages: Messages, seed: int) -> float:
    """The discount with the lowest log loss of long messages, which are joined from these.

    Each message is joined with one to five unrelated NOT_PC messages, in any order, so that its label stays.

    Args:
        model: Fitted on other messages.
        messages: At least one of them NOT_PC.
        seed: Of the choice.
    """
    from sklearn.metrics import log_loss

    classes = tuple(str(c) for c in model.classes_)
    scores = scoring.score(model, messages.vectors)
    highest = deciding.decide(scores, messages.counts, classes, 0.0)[1]
    probability = scoring.privacy_probability(highest.probabilities, classes)
    others = np.flatnonzero(messages.labels == schemas.NOT_PC)
    rng = np.random.default_rng(seed)
    joined, counts = probability.copy(), messages.counts.copy()
    for message, extra in enumerate(rng.integers(_JOINED[0] - 1, _JOINED[1], len(probability)).tolist()):
        added = rng.choice(others, extra)
        joined[message] = max(probability[message], probability[added].max())
        counts[message] += messages.counts[added].sum()
    truth = messages.labels != schemas.NOT_PC

    def loss(discount: float) -> float:
        rows = np.column_stack([1.0 - joined, joined])
        less = deciding.discounted(rows, discount * np.log(counts), (schemas.NOT_PC, schemas.PC))
        return float(log_loss(truth, np.clip(less[:, 1], 1e-9, 1 - 1e-9), labels=[False, True]))

    return round(float(min(_DISCOUNTS, key=loss)), 2)


def folds(rows: TrainingRows, number: int, seed: int) -> Any:
    """Stratified folds in which the windows of one message are together."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if not rows.is_split:
        return StratifiedKFold(number, shuffle=True, random_state=seed)
    parts = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    return list(parts.split(rows.x, rows.y, rows.groups))


def privacy_probability(model: Any, messages: Messages, discount: float) -> tuple[schemas.Vectors, Floats]:
    """The vectors of the deciding windows, (n, 584), and P(PC) of the messages, (n,)."""
    rows, scores = messages.decide(model, discount)
    classes = tuple(str(c) for c in model.classes_)
    return messages.vectors[rows], scoring.privacy_probability(scores.probabilities, classes)
