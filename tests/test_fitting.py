"""Fitting rows of which several are of one message."""

import numpy as np
import pytest

from beam_pcc.training.fitting import Hyperparameters, choose_threshold, fit

RANDOM = np.random.default_rng(0)
MESSAGES = 120
X = RANDOM.normal(size=(MESSAGES, 300)).astype(np.float32).repeat(2, axis=0)  # each message and its copy
Y = RANDOM.permutation(["PC", "NOT_PC"] * (MESSAGES // 2)).repeat(2)  # labels that nothing can learn
GROUPS = np.arange(MESSAGES).repeat(2)
HYPERPARAMETERS = Hyperparameters(scaled=False, c=1.0, calibration="sigmoid")


def spread(groups: np.ndarray | None) -> float:
    """How far the scores of new rows are from one another."""
    new = np.random.default_rng(1).normal(size=(200, 300)).astype(np.float32)
    order = np.random.default_rng(2).permutation(len(Y))
    model = fit(HYPERPARAMETERS, X[order], Y[order], None if groups is None else groups[order])
    return float(np.ptp(model.predict_proba(new)[:, 0]))


def test_copies_do_not_make_the_calibration_sure() -> None:
    assert spread(GROUPS) < 0.5 * spread(None)


def test_copies_do_not_reach_a_precision() -> None:
    """Of labels at random, unless a message's copy is among what the fold learns."""
    assert choose_threshold(HYPERPARAMETERS, X, Y, 0.95, None) is not None
    threshold = choose_threshold(HYPERPARAMETERS, X, Y, 0.95, GROUPS)
    assert threshold is None or threshold > 0.9


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_splits_are_not_in_the_model(groups: np.ndarray | None) -> None:
    assert fit(HYPERPARAMETERS, X, Y, groups).cv == 5
