"""Fitting rows of which several are of one message."""

from typing import Any

import numpy as np
import pytest

from beam_pcc.training.fitting import Hyperparameters, choose_threshold, deciding_rows, fit
from beam_pcc.training.windowed import Messages

RANDOM = np.random.default_rng(0)
MESSAGES = 120
X = RANDOM.normal(size=(MESSAGES, 300)).astype(np.float32).repeat(2, axis=0)  # each message and its copy
Y = RANDOM.permutation(["PC", "NOT_PC"] * (MESSAGES // 2)).repeat(2)  # labels that nothing can learn
SOURCES = np.arange(MESSAGES).repeat(2)
HYPERPARAMETERS = Hyperparameters(scaled=False, c=1.0, calibration="sigmoid")


def messages(sources: np.ndarray | None) -> Messages:
    order = np.random.default_rng(2).permutation(len(Y))
    ones = np.ones(len(Y), dtype=np.int64)
    return Messages(X[order], ones, Y[order], None if sources is None else sources[order])


def fitted(sources: np.ndarray | None) -> Any:
    return fit(HYPERPARAMETERS, deciding_rows(messages(sources), scaled=False))


def spread(sources: np.ndarray | None) -> float:
    """How far the scores of new rows are from one another."""
    new = np.random.default_rng(1).normal(size=(200, 300)).astype(np.float32)
    return float(np.ptp(fitted(sources).predict_proba(new)[:, 0]))


def test_copies_do_not_make_the_calibration_sure() -> None:
    assert spread(SOURCES) < 0.5 * spread(None)


def test_copies_do_not_reach_a_precision() -> None:
    """Of labels at random, unless a message's copy is among what the fold learns."""
    assert choose_threshold(HYPERPARAMETERS, messages(None), 0.95, 0.0) is not None
    threshold = choose_threshold(HYPERPARAMETERS, messages(SOURCES), 0.95, 0.0)
    assert threshold is None or threshold > 0.9


@pytest.mark.parametrize("sources", [None, SOURCES])
def test_splits_are_not_in_the_model(sources: np.ndarray | None) -> None:
    assert fitted(sources).cv == 5
