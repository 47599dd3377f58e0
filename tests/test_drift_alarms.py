"""The limits of drift: no false alarms on small days, and each kind of drift refused, alarmed, or documented."""

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from beam_pcc.cases import drift, schemas
from beam_pcc.cases.monitoring_row import Alert, Histogram, MonitoringRow
from beam_pcc.models.metadata import Baseline
from beam_pcc.publishing.drift_alarms import Drift, history_of, measure, psi_limit
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.statistics import RunStats, psi_of_draws
from beam_pcc.publishing.warehouse.base import Run, StagedFigures

Vectors = npt.NDArray[np.float32]
MAX_PSI = 0.25
SHARES = {
    "vector model": np.array([630, 24, 18, 7, 5, 6, 7, 10, 14, 79]) / 800,
    "even": np.full(10, 0.1),
    "two bins": np.array([0.97, 0, 0, 0, 0, 0, 0, 0, 0, 0.03]),
}
WORLD = np.random.default_rng(7)
TRUE_MEAN = WORLD.standard_normal(schemas.EMBEDDING_DIM) * 0.02
ROTATION = np.linalg.qr(WORLD.standard_normal((schemas.EMBEDDING_DIM, schemas.EMBEDDING_DIM)))[0]


def unit(block: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)


def vectors(rows: int, seed: int) -> Vectors:
    """Unit blocks like those of an encoder and of TF-IDF: a common mean, few terms."""
    random = np.random.default_rng(seed)
    embedding = unit(TRUE_MEAN + random.standard_normal((rows, schemas.EMBEDDING_DIM)) / 20)
    terms = random.random((rows, schemas.TFIDF_DIM)) * (random.random((rows, schemas.TFIDF_DIM)) < 0.05)
    terms[:, 0] += 0.3
    return np.hstack([embedding, unit(terms)]).astype(np.float32)


BASE = vectors(800, 0)
TRAINING: Histogram = (630, 24, 18, 7, 5, 6, 7, 10, 14, 79)
BASELINE = Baseline(
    TRAINING,
    {},
    {name: {"mean": 1.0, "std": float(drift.norm(BASE[:, part]).std())} for name, part in schemas.BLOCKS.items()},
    drift.baseline(BASE),
)
TFIDF, EMBEDDING = schemas.BLOCKS["tfidf"], schemas.BLOCKS["embedding"]


def day(rows: int, seed: int = 1) -> Histogram:
    drawn = np.random.default_rng(seed).multinomial(rows, np.asarray(TRAINING) / 800)
    return tuple(int(n) for n in drawn)


def measured(
    block: Vectors, scores: Histogram | None = None, history: list[MonitoringRow] | None = None, *, refuse: bool = True
) -> Drift:
    figures = StagedFigures(len(block), score_histogram=scores or day(len(block)))
    return measure(figures, drift.sums(block), BASELINE, history or [], MAX_PSI, refuse=refuse)


@pytest.mark.parametrize("cases", [20, 100, 1_000, 10_000])
@pytest.mark.parametrize(
    ("shares", "rows"), [("vector model", 800), ("vector model", 28_000), ("even", 800), ("two bins", 100)]
)
def test_psi_false_alarms_are_below_one_percent(shares: str, rows: int, cases: int) -> None:
    random = np.random.default_rng([cases, rows])
    draws = [random.multinomial(size, SHARES[shares], size=2_000) for size in (rows, cases)]
    values = psi_of_draws(*draws)
    # Each pair has a limit of its own; only the largest values can be above theirs.
    largest = np.argsort(values)[-40:]
    alarms = [values[at] > psi_limit(*(side[at].tolist() for side in draws), 0.0) for at in largest]
    assert sum(alarms) <= 0.01 * 2_000


def test_psi_limit_is_near_its_asymptote() -> None:
    """Yurdakul (2018): about (1/n + 1/m) chi2 with 9 degrees of freedom; 23.6 is its 99.5 % quantile."""
    limit = psi_limit((2_000,) * 10, (1_000,) * 10, 0.0)
    assert limit == pytest.approx((1 / 20_000 + 1 / 10_000) * 23.59, rel=0.1)


def test_psi_limit_is_at_least_the_floor() -> None:
    assert psi_limit(TRAINING, day(10_000), MAX_PSI) == MAX_PSI


def test_psi_limit_is_the_same_each_time() -> None:
    assert psi_limit(TRAINING, day(100), 0.0) == psi_limit(TRAINING, day(100), 0.0)


def test_a_shift_of_scores_is_seen_at_100_cases() -> None:
    result = measured(vectors(100, 1), (20, 20, 20, 0, 0, 0, 0, 0, 20, 20))
    assert [alert.name for alert in result.alerts] == ["score PSI against training"]


@pytest.mark.parametrize("cases", [1, 5, 20, 60, 100, 1_000])
def test_days_without_drift_raise_no_block_alarm(cases: int) -> None:
    assert [measured(vectors(cases, seed)).alerts for seed in range(15)] == [()] * 15


@pytest.mark.parametrize("cases", [1, 3, 20, 100, 1_000])
def test_vectors_without_terms_as_in_training_raise_no_alarm(cases: int) -> None:
    """Text mode: 5 % of the messages have no known term, so a zero block."""

    def some(rows: int, seed: int) -> Vectors:
        block = vectors(rows, seed)
        block[np.random.default_rng(seed).random(rows) < 0.05, TFIDF] = 0
        return block

    training = some(800, 0)
    norms = {n: {"std": float(drift.norm(training[:, part]).std())} for n, part in schemas.BLOCKS.items()}
    baseline = dataclasses.replace(BASELINE, norms=norms, blocks=drift.baseline(training))
    for seed in range(1, 25):
        block = some(cases, seed)
        figures = StagedFigures(cases, score_histogram=day(cases))
        assert measure(figures, drift.sums(block), baseline, [], MAX_PSI).alerts == ()


def zeroed(part: slice) -> Callable[[Vectors], Vectors]:
    def change(block: Vectors) -> Vectors:
        block[:, part] = 0
        return block

    return change


def swapped(block: Vectors) -> Vectors:
    return np.hstack([block[:, TFIDF], block[:, EMBEDDING]])


def half_broken(block: Vectors) -> Vectors:
    block[::2, EMBEDDING] = 0
    return block


def scaled(factor: float) -> Callable[[Vectors], Vectors]:
    def change(block: Vectors) -> Vectors:
        block[:, EMBEDDING] *= np.float32(factor)
        return block

    return change


def unnormalised(block: Vectors) -> Vectors:
    lengths = np.random.default_rng(3).uniform(2, 9, (len(block), 1)).astype(np.float32)
    return block * lengths


REFUSED = {
    "zeroed embedding": zeroed(EMBEDDING),
    "zeroed tfidf": zeroed(TFIDF),
    "all zero": zeroed(slice(None)),
    "swapped blocks": swapped,
    "half of the rows without embedding": half_broken,
    "unnormalised": unnormalised,
    "times 1.5": scaled(1.5),
    "times 0.5": scaled(0.5),
    "beyond float32": scaled(1e30),
}


@pytest.mark.parametrize("kind", list(REFUSED))
@pytest.mark.parametrize("cases", [20, 2_000])
def test_a_broken_block_refuses(kind: str, cases: int) -> None:
    block = REFUSED[kind](vectors(cases, 1))
    assert measured(block).refusals()
    accepted = measured(block, refuse=False)
    assert accepted.refusals() == []
    assert "accepted" in {alert.action for alert in accepted.alerts}


def shifted(block: Vectors) -> Vectors:
    block[:, EMBEDDING] = unit(block[:, EMBEDDING] + np.float32(0.02))
    return block


def rotated(block: Vectors) -> Vectors:
    block[:, EMBEDDING] @= ROTATION.astype(np.float32)
    return block


def other_terms(block: Vectors) -> Vectors:
    block[:, TFIDF] = np.roll(block[:, TFIDF], 60, axis=1)
    return block


ALARMS = {
    "times 1.1": (scaled(1.1), "embedding norm shift"),
    "shifted mean": (shifted, "embedding mean shift"),
    "another encoder": (rotated, "embedding mean shift"),
    "another language": (other_terms, "tfidf mean shift"),
}


@pytest.mark.parametrize("kind", list(ALARMS))
def test_a_changed_block_is_an_alarm(kind: str) -> None:
    change, name = ALARMS[kind]
    result = measured(change(vectors(2_000, 1)))
    assert [(alert.name, alert.action) for alert in result.alerts] == [(name, "alert")]
    assert name in (result.notes(2_000) or "")


SCORES = {
    "scores drawn to the middle": (200, 200, 300, 300, 300, 300, 200, 100, 50, 50),
    "share of PC of 60 %": (630, 24, 18, 7, 5, 6, 7, 40, 200, 900),
    "every score the same": (0, 0, 0, 0, 2_000, 0, 0, 0, 0, 0),
}


@pytest.mark.parametrize("kind", list(SCORES))
def test_shifted_scores_are_an_alarm(kind: str) -> None:
    result = measured(vectors(2_000, 1), SCORES[kind])
    assert [alert.name for alert in result.alerts] == ["score PSI against training"]


def past(days: int, scores: Histogram, version: str = "v1") -> list[MonitoringRow]:
    run = Run("r", dt.date(2026, 11, 19), dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc), model_version=version)
    figures = StagedFigures(sum(scores), score_histogram=scores)
    drift_of_day = measure(figures, drift.sums(vectors(sum(scores), 2)), BASELINE, [], MAX_PSI)
    return [audited_row(run, figures, RunStats(sum(scores)), BASELINE, (), drift_of_day)] * days


def test_a_share_of_pc_as_in_the_last_weeks_is_no_alarm() -> None:
    """Traffic has another share of PC than training, every day."""
    usual = SCORES["share of PC of 60 %"]
    result = measured(vectors(2_000, 1), usual, history_of(past(5, usual), "v1"))
    assert result.alerts == ()
    assert (result.psi or 0) > MAX_PSI
    assert (result.psi_recent or 1) < 0.01


def test_scores_unlike_the_last_weeks_are_an_alarm() -> None:
    """Though they are like those of training."""
    history = history_of(past(5, SCORES["share of PC of 60 %"]), "v1")
    result = measured(vectors(2_000, 1), day(2_000), history)
    assert [alert.name for alert in result.alerts] == ["score PSI against the last weeks"]


def test_a_usual_mean_shift_is_no_alarm() -> None:
    history = [
        dataclasses.replace(row, embedding_mean_shift=measured(shifted(vectors(2_000, 5))).shifts["embedding"].mean)
        for row in past(4, day(2_000))
    ]
    assert measured(shifted(vectors(2_000, 1)), history=history).alerts == ()
    assert measured(vectors(2_000, 1), history=history).alerts


@pytest.mark.parametrize(
    "rows",
    [past(2, day(500)), past(5, day(9)), past(5, day(500), "v2"), []],
    ids=["two days", "few cases", "another model", "none"],
)
def test_a_history_too_short_is_not_used(rows: list[MonitoringRow]) -> None:
    assert history_of(rows, "v1") == []


def test_days_with_accepted_drift_are_no_history() -> None:
    accepted = measured(zeroed(TFIDF)(vectors(500, 1)), refuse=False).alerts
    assert history_of([dataclasses.replace(row, alerts=accepted) for row in past(5, day(500))], "v1") == []


def test_days_with_accepted_volume_are_history() -> None:
    accepted = (Alert("share of the usual rows", 0.2, 0.5, "accepted"),)
    rows = [dataclasses.replace(row, alerts=accepted) for row in past(5, day(500))]
    assert history_of(rows, "v1") == rows


def test_vectors_of_copies_are_counted_among_the_scored() -> None:
    figures = StagedFigures(200, copies=200, score_histogram=day(200))
    whole, half = (measure(figures, drift.sums(vectors(n, 1)), BASELINE, [], MAX_PSI).alerts for n in (400, 200))
    assert whole == ()
    assert [alert.name for alert in half] == ["share of vectors beyond float32's range"]


def test_too_few_cases_are_named_not_judged() -> None:
    result = measured(vectors(20, 1), (0,) * 9 + (20,))
    assert result.alerts == ()
    assert result.psi is not None
    assert result.psi_limit is None
    assert result.notes(20) == "too few cases to judge drift: 20 of at least 50"


def test_a_model_without_baseline_has_no_alarm() -> None:
    figures = StagedFigures(2_000, score_histogram=day(2_000))
    result = measure(figures, drift.sums(zeroed(TFIDF)(vectors(2_000, 1))), None, [], MAX_PSI)
    assert (result.psi, result.alerts, result.notes(2_000)) == (None, (), None)


def test_duplicates_are_no_missing_vectors() -> None:
    block = vectors(400, 1)
    figures = StagedFigures(200, rejected=Counter(duplicate_case_id=200), score_histogram=day(200))
    assert measure(figures, drift.sums(block), BASELINE, [], MAX_PSI).alerts == ()


# What docs/models.md says cannot be seen.


def test_a_few_zeroed_rows_are_not_seen() -> None:
    block = vectors(2_000, 1)
    block[::25, TFIDF] = 0
    assert measured(block).alerts == ()


def test_a_language_with_the_same_terms_and_scores_is_not_seen() -> None:
    block = vectors(2_000, 1)
    block[:, EMBEDDING] = block[::-1, EMBEDDING]  # each row has another's embedding
    assert measured(block).alerts == ()


def test_alerts_come_back_from_the_stored_row() -> None:
    row = past(1, day(500))[0]
    row = dataclasses.replace(row, alerts=measured(zeroed(TFIDF)(vectors(500, 1))).alerts)
    assert row.alerts
    assert MonitoringRow.from_stored(row.to_stored()) == row
