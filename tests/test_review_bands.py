"""Review bands: what of the hold-out each has, which one is recommended, and which one a run uses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.config.settings import DEFAULT_REVIEW_BAND, Limits
from beam_pcc.evaluation.review_bands import BANDS, MIN_ERRORS, MOST_CASES, review
from beam_pcc.models.metadata import ModelMetadata, Review, ReviewBand
from beam_pcc.pipeline.launch import review_band_of

FAR = 200  # rows far from the threshold, all right


def rows(*wrong: float, right: tuple[float, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Truth and P(PC) for a threshold of 0.5: MIN_ERRORS wrong rows at each distance, a right one at others."""
    distances = np.array([*np.repeat(wrong, MIN_ERRORS), *right, *np.full(FAR, 0.45)])
    is_wrong = np.arange(len(distances)) < len(wrong) * MIN_ERRORS
    return ~is_wrong, 0.5 + distances


def test_bands_have_shares_of_rows_and_of_errors() -> None:
    truth, probability = rows(0.07, 0.22, right=(0.03,) * 10)
    bands = review(truth, probability, 0.5).bands

    assert [one.band for one in bands] == list(BANDS)
    assert [one.errors for one in bands] == [0, 0.5, 0.5, 0.5, 1, 1]
    assert [one.cases for one in bands] == [round(n / 230, 6) for n in (10, 20, 20, 20, 30, 30)]


def test_recommended_band_has_most_errors_within_a_tenth_of_rows() -> None:
    truth, probability = rows(0.07, 0.22)
    assert review(truth, probability, 0.5).recommended == 0.25

    truth, probability = rows(0.07, 0.22, right=(0.24,) * 20)
    assert review(truth, probability, 0.5).recommended == 0.10


def test_narrowest_band_is_recommended_if_each_has_too_many_rows() -> None:
    truth, probability = rows(0.07, right=(0.01,) * FAR)
    assert review(truth, probability, 0.5).recommended == BANDS[0]


def test_few_errors_recommend_nothing() -> None:
    truth, probability = rows(0.07)
    truth[0] = True

    assert review(truth, probability, 0.5).recommended is None
    assert review(np.ones(3, bool), np.full(3, 0.9), 0.5).bands[0] == ReviewBand(0.05, 0, 0)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=200),
    st.floats(0.05, 0.95),
)
def test_shares_grow_with_the_band(labelled: list[tuple[bool, float]], threshold: float) -> None:
    truth, probability = np.array([t for t, _ in labelled]), np.array([p for _, p in labelled])
    measured = review(truth, probability, threshold)

    for name in ("cases", "errors"):
        shares = [getattr(one, name) for one in measured.bands]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1
    if measured.recommended is not None:
        (chosen,) = (one for one in measured.bands if one.band == measured.recommended)
        assert chosen.cases <= MOST_CASES or chosen == measured.bands[0]


def version(recommended: float | None) -> ModelMetadata:
    return ModelMetadata("v20261120_020000", review=Review((), recommended))


@pytest.mark.parametrize(
    ("said", "metadata", "band"),
    [
        (0.2, version(0.3), 0.2),
        (0.0, version(0.3), 0.0),
        (None, version(0.3), 0.3),
        (None, version(None), DEFAULT_REVIEW_BAND),
        (None, ModelMetadata("v20261120_020000"), DEFAULT_REVIEW_BAND),
    ],
    ids=["flag", "flag of 0", "recommended", "none recommended", "earlier version"],
)
def test_band_of_a_run(said: float | None, metadata: ModelMetadata, band: float) -> None:
    assert review_band_of(Limits(review_band=said), metadata) == band


def test_review_is_read_as_it_was_written() -> None:
    metadata = ModelMetadata(
        "v20261120_020000",
        review=Review((ReviewBand(0.05, 0.1, 0.2), ReviewBand(0.1, 0.2, 0.3)), 0.05),
        training_mean=np.arange(584, dtype=np.float32),
    )
    again = ModelMetadata.from_json(metadata.to_json().encode(), version=metadata.version, where="")

    assert again.review == metadata.review
    np.testing.assert_array_equal(again.training_mean, metadata.training_mean)
