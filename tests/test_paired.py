"""The paired bootstrap: the metrics of a resample, and how often versions are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sk

from beam_pcc.evaluation import paired
from beam_pcc.evaluation.paired import Scored

Drawn = list[tuple[bool, float, int]]
_rows = st.lists(
    st.tuples(st.booleans(), st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), st.integers(0, 3)),
    max_size=40,
)


@given(_rows, st.floats(0.01, 0.99))
def test_resampled_metrics_equal_those_of_scikit_learn(drawn: Drawn, threshold: float) -> None:
    rows = [*drawn, (True, 0.5, 1), (False, 0.5, 1)]  # each class is there, and scores are tied
    truth, probability, counts = (np.array(column) for column in zip(*rows, strict=True))
    found = paired.values(truth, Scored(probability, threshold), counts[None].astype(float))[0]

    repeated = np.repeat(np.arange(len(rows)), counts)
    truth, probability = truth[repeated], probability[repeated]
    expected = (
        sk.roc_auc_score(truth, probability),
        sk.average_precision_score(truth, probability),
        sk.f1_score(truth, probability >= threshold, zero_division=0),
        sk.brier_score_loss(truth, probability),
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def scores(truth: np.ndarray, area: float, shared: np.ndarray, rng: np.random.Generator) -> Scored:
    """A calibrated version with this ROC-AUC; three quarters of its noise are of the rows, a quarter is its own."""
    distance = np.sqrt(2) * norm.ppf(area)
    signal = distance * truth + np.sqrt(0.75) * shared + 0.5 * rng.standard_normal(len(truth))
    odds = distance * signal - distance**2 / 2 + np.log(truth.mean() / (1 - truth.mean()))
    return Scored(1 / (1 + np.exp(-odds)), 0.5)


def refusals(rows: int, share: float, area: float, *, trials: int) -> tuple[float, float]:
    """The share of trials in which a candidate with this ROC-AUC is refused against one with 0.96.

    Second, by the rule of earlier releases: a loss of more than 0.01 in any metric.
    """
    rng = np.random.default_rng(0)
    truth = np.arange(rows) < round(rows * share)
    refused = lost = 0
    for trial in range(trials):
        shared = rng.standard_normal(rows)
        current, candidate = (scores(truth, each, shared, rng) for each in (0.96, area))
        changes = paired.changes(truth, current, candidate, seed=trial)
        refused += any(change.is_worse for change in changes)
        lost += any(change.gain < -paired.TOLERANCE for change in changes)
    return refused / trials, lost / trials


@pytest.mark.parametrize("share", [0.15, 0.45])
def test_equally_good_version_is_rarely_refused(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 400)
    refused, by_earlier_rule = refusals(100, share, 0.96, trials=200)

    assert refused <= 0.05
    assert by_earlier_rule > 0.24


@pytest.mark.parametrize(
    ("rows", "share", "area", "power"), [(100, 0.45, 0.8, 0.8), (400, 0.45, 0.9, 0.8), (400, 0.15, 0.8, 0.8)]
)
def test_worse_version_is_usually_refused(
    monkeypatch: pytest.MonkeyPatch, rows: int, share: float, area: float, power: float
) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 400)
    assert refusals(rows, share, area, trials=60)[0] >= power


def sample(rows: int = 400, share: float = 0.3) -> tuple[np.ndarray, Scored, np.random.Generator]:
    rng = np.random.default_rng(1)
    truth = np.arange(rows) < round(rows * share)
    return truth, scores(truth, 0.95, rng.standard_normal(rows), rng), rng


def test_identical_versions_differ_in_nothing() -> None:
    truth, one, _ = sample()
    changes = paired.changes(truth, one, one)
    assert [change.name for change in changes] == list(paired.NAMES)
    assert all((change.gain, change.low, change.high) == (0, 0, 0) for change in changes)
    assert not any(change.is_worse for change in changes)


def test_a_version_that_finds_nothing_is_worse_in_f1() -> None:
    truth, one, _ = sample()
    worse = [c.name for c in paired.changes(truth, one, Scored(one.probability, 0.9999999)) if c.is_worse]
    assert worse == ["f1"]


def test_a_constant_version_is_worse() -> None:
    truth, one, _ = sample()
    changes = paired.changes(truth, one, Scored(np.full(len(truth), 0.3), 0.5))
    assert [change.name for change in changes if change.is_worse] == list(paired.NAMES)
    assert changes[0].candidate == 0.5  # ties rank as chance does


def test_a_higher_brier_score_is_a_loss() -> None:
    truth, one, _ = sample()
    brier = paired.changes(truth, one, Scored(one.probability**4, 0.5**4))[3]
    assert brier.candidate > brier.current
    assert brier.gain == pytest.approx(brier.current - brier.candidate, abs=2e-6)
    assert brier.high < 0


def test_a_certain_loss_within_the_tolerance_is_none() -> None:
    change = paired.Change("f1", 0.9, 0.892, -0.008, -0.009, -0.007)
    assert not change.is_worse
    assert change._replace(gain=-0.011).is_worse


def test_the_interval_of_a_gain_holds_the_gain() -> None:
    truth, one, rng = sample()
    other = scores(truth, 0.9, rng.standard_normal(len(truth)), rng)
    assert all(change.low <= change.gain <= change.high for change in paired.changes(truth, one, other))


def test_the_same_rows_give_the_same_intervals() -> None:
    truth, one, rng = sample()
    other = scores(truth, 0.9, rng.standard_normal(len(truth)), rng)
    assert paired.changes(truth, one, other) == paired.changes(truth, one, other)


def test_resamples_in_parts_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "_CELLS", 50_000)
    truth, *_ = sample()
    parts = list(paired._resamples(truth, np.random.default_rng(0)))
    assert len(parts) == 8
    assert sum(len(part) for part in parts) == paired.RESAMPLES
    for part in parts:
        assert (part.sum(axis=1) == len(truth)).all()
        assert (part[:, truth].sum(axis=1) == truth.sum()).all()


def test_very_many_rows_have_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "_MOST_CELLS", 100_000)
    truth, *_ = sample()
    assert sum(len(part) for part in paired._resamples(truth, np.random.default_rng(0))) == 250
