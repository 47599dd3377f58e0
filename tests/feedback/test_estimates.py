"""What rows of feedback say: which label counts, of which prediction, and with which weight."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.feedback.estimates import Feedback, Measured, feedback_of
from tests.feedback.published import DATE, LABELLED, PUBLISHED, feedback_row, feedback_table

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
SAMPLE = "20261120-20261120-4-0a1b2c3d"


def estimated(*rows: dict[str, Any], last: dt.date = DATE, source: str | None = None) -> Feedback:
    return feedback_of(feedback_table(*rows), DATE, last, source)


def whole(feedback: Feedback, basis: str = "labels") -> Measured:
    (one,) = (one for one in feedback.of("all") if one.basis == basis)
    return one


def drawn(case: str, weight: float, stratum: str = "s01", of: int = 2, **more: Any) -> dict[str, Any]:
    sample = {"sample": SAMPLE, "stratum": stratum, "weight": weight, "drawn": of}
    return feedback_row(case_id=case, **sample | more)


MISSED = {"predicted_label": "NOT_PC", "confidence": 0.8}


def test_labels_are_counted_as_they_are() -> None:
    rows = [
        feedback_row(case_id="found"),
        feedback_row(case_id="missed", **MISSED),
        feedback_row(case_id="alarm", label="NOT_PC"),
        feedback_row(case_id="right", label="NOT_PC", **MISSED),
        feedback_row(case_id="found too"),
    ]
    one = whole(estimated(*rows))
    assert (one.labels, one.cases) == (5, 5)
    assert (one.precision.value, one.recall.value) == (pytest.approx(2 / 3, abs=1e-6),) * 2
    assert one.probability == pytest.approx((3 * 0.9 + 2 * 0.2) / 5)
    assert one.actual.value == pytest.approx(0.6)
    assert one.brier == pytest.approx((2 * 0.01 + 0.64 + 0.81 + 0.04) / 5)


def test_newer_label_of_a_source_replaces_the_older() -> None:
    rows = [feedback_row(label="NOT_PC"), feedback_row(label="PC", label_time=LABELLED + HOUR)]
    feedback = estimated(*reversed(rows))
    assert (whole(feedback).precision.value, feedback.replaced, feedback.disagreeing) == (1.0, 1, 0)


def test_of_two_labels_of_one_time_the_later_import_counts() -> None:
    rows = [feedback_row(label="NOT_PC", ingestion_time=LABELLED + HOUR), feedback_row(label="PC")]
    assert whole(estimated(*rows)).precision.value == 0.0


def test_sources_that_disagree_are_counted() -> None:
    rows = [feedback_row(), feedback_row(source="other", label="NOT_PC", label_time=LABELLED + HOUR)]
    feedback = estimated(*rows)
    assert (feedback.disagreeing, feedback.replaced, whole(feedback).precision.value) == (1, 0, 0.0)
    assert whole(estimated(*rows, source="team")).precision.value == 1.0


def test_a_case_of_two_days_has_a_label_for_each() -> None:
    rows = [feedback_row(), feedback_row(partition_date=DATE + DAY, label="NOT_PC", label_time=LABELLED + HOUR)]
    feedback = estimated(*rows, last=DATE + DAY)
    assert [(one.value, one.precision.value) for one in feedback.of("day")] == [
        ("2026-11-20", 1.0),
        ("2026-11-21", 0.0),
    ]
    assert estimated(*rows).labelled == 1


def test_a_republished_day_is_measured_by_each_version() -> None:
    rows = [feedback_row(), feedback_row(model_version="v2", published_at=PUBLISHED + HOUR, **MISSED)]
    feedback = estimated(*rows)
    assert [(one.value, one.recall.value) for one in feedback.of("version")] == [("v1", 1.0), ("v2", 0.0)]
    assert (feedback.labelled, whole(feedback).recall.value) == (1, 0.0)


def test_a_newer_label_counts_for_an_older_version_too() -> None:
    rows = [
        feedback_row(),
        feedback_row(
            label="NOT_PC", label_time=LABELLED + HOUR, model_version="v2", published_at=PUBLISHED + HOUR, **MISSED
        ),
    ]
    assert [one.precision.value for one in estimated(*rows).of("version")] == [0.0, None]


def test_cases_for_review_are_measured_apart() -> None:
    rows = [feedback_row(review=True, label="NOT_PC"), feedback_row(case_id="b")]
    assert [(one.value, one.precision.value) for one in estimated(*rows).of("review")] == [
        ("no review", 1.0),
        ("review", 0.0),
    ]


def test_scores_are_measured_in_bins() -> None:
    rows = [feedback_row(confidence=1.0), feedback_row(case_id="b", label="NOT_PC", **MISSED | {"confidence": 0.75})]
    assert [(one.value, one.probability, one.actual.value) for one in estimated(*rows).of("score")] == [
        ("0.2 to 0.3", 0.25, 0.0),
        ("0.9 to 1.0", 1.0, 1.0),
    ]


def test_labels_of_no_published_case_are_counted() -> None:
    nothing = dict.fromkeys(("partition_date", "predicted_label", "confidence", "model_version"))
    rows = [feedback_row(case_id="b", **nothing), feedback_row(), feedback_row(**nothing)]
    feedback = estimated(*rows)
    assert (feedback.unknown, feedback.labelled) == (1, 1)


def test_no_feedback_measures_nothing() -> None:
    assert estimated() == Feedback()


def test_a_sample_is_estimated_with_its_weights() -> None:
    rows = [
        drawn("a", 5.0),
        drawn("b", 5.0, label="NOT_PC"),
        drawn("c", 100.0, "s02", **MISSED),
        drawn("d", 100.0, "s02", label="NOT_PC", **MISSED),
    ]
    one = whole(estimated(*rows), "sample")
    assert (one.labels, one.cases) == (4, 210)
    assert one.precision.value == 0.5
    assert one.recall.value == pytest.approx(5 / 105, abs=1e-6)
    assert one.actual.value == pytest.approx(0.5)


def test_other_labels_do_not_change_what_a_sample_says() -> None:
    sample = [drawn("a", 5.0), drawn("b", 5.0, label="NOT_PC")]
    others = [feedback_row(case_id=f"x{n}", label="NOT_PC") for n in range(20)]
    assert whole(estimated(*sample, *others), "sample") == whole(estimated(*sample), "sample")
    assert whole(estimated(*sample, *others)).labels == 20


def test_a_label_from_elsewhere_counts_for_a_drawn_case() -> None:
    """Of a case that is in the sample, whoever knows better says what it is; it keeps its weight."""
    rows = [drawn("a", 5.0), drawn("b", 5.0), feedback_row(label="NOT_PC", source="court", label_time=LABELLED + HOUR)]
    feedback = estimated(*rows)
    assert whole(feedback, "sample").precision.value == 0.5
    assert [one.basis for one in feedback.of("all")] == ["sample"]


def test_drawn_cases_without_a_label_are_stood_for() -> None:
    """Half of the first stratum is labelled: each of its labels counts twice."""
    rows = [drawn("a", 5.0, of=4), drawn("b", 5.0, of=4), drawn("c", 10.0, "s02", of=1, label="NOT_PC")]
    feedback = estimated(*rows)
    assert whole(feedback, "sample").cases == 2 * 10 + 10
    assert whole(feedback, "sample").precision.value == pytest.approx(20 / 30, abs=1e-6)
    assert (feedback.drawn, feedback.answered) == (4, 3)


def test_one_day_of_a_sample_keeps_its_weights() -> None:
    """The labels of the sample's other days are no missing ones."""
    sample = "20261120-20261121-2-0a1b2c3d"
    rows = [drawn("a", 5.0, sample=sample), drawn("b", 5.0, sample=sample, partition_date=DATE + DAY)]
    assert whole(estimated(*rows), "sample").cases == 5


def test_days_of_two_samples_are_their_mean() -> None:
    wide, narrow = "20261120-20261121-2-00000001", "20261121-20261121-1-00000002"
    later = {"partition_date": DATE + DAY}
    rows = [
        drawn("a", 10.0, sample=wide, of=1),
        drawn("b", 10.0, "s02", sample=wide, of=1, **later),
        drawn("c", 14.0, sample=narrow, of=1, label="NOT_PC", **later),
    ]
    feedback = estimated(*rows, last=DATE + DAY)
    assert [one.cases for one in feedback.of("day")] == [10, 5 + 7]
    assert feedback.of("day")[1].precision.value == pytest.approx(5 / 12, abs=1e-6)


def test_a_case_of_two_samples_counts_in_both() -> None:
    other = "20261120-20261120-1-00000002"
    rows = [drawn("a", 10.0, of=1), drawn("a", 4.0, sample=other, of=1)]
    one = whole(estimated(*rows), "sample")
    assert (one.labels, one.cases) == (1, 7)


def test_weights_of_others_need_no_name_of_a_sample() -> None:
    rows = [feedback_row(weight=3.0), feedback_row(case_id="b", weight=3.0, label="NOT_PC")]
    feedback = estimated(*rows)
    assert (whole(feedback, "sample").cases, whole(feedback, "sample").precision.value) == (6, 0.5)
    assert feedback.drawn is None


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "case_id": st.sampled_from(["a", "b", "c", ""]),
            "label": st.sampled_from(["PC", "NOT_PC", "?"]),
            "source": st.sampled_from(["team", "other"]),
            "label_time": st.one_of(st.none(), st.sampled_from([LABELLED, LABELLED + HOUR])),
            "partition_date": st.sampled_from([DATE, DATE + DAY, None]),
            "predicted_label": st.sampled_from(["PC", "NOT_PC", "?", None]),
            "confidence": st.one_of(st.none(), st.floats()),
            "review": st.sampled_from([True, False, None]),
            "model_version": st.sampled_from(["v1", "v2", None]),
            "published_at": st.one_of(st.none(), st.just(PUBLISHED)),
            "ingestion_time": st.one_of(st.none(), st.just(LABELLED)),
            "weight": st.one_of(st.none(), st.floats()),
            "drawn": st.one_of(st.none(), st.integers(-5, 5)),
            "sample": st.sampled_from([None, SAMPLE, "x"]),
            "stratum": st.sampled_from([None, "s01", "s02"]),
        }
    ),
    max_size=12,
)


@given(ROWS)
def test_any_stored_rows_can_be_reported(rows: list[dict[str, Any]]) -> None:
    """A person may have changed the table: what does not fit is left out, and what is said stays within bounds."""
    feedback = estimated(*(feedback_row(**row) for row in rows), last=DATE + DAY)
    for one in feedback.measured:
        assert one.labels >= 1
        assert one.cases > 0
        for share in (one.precision, one.recall, one.actual):
            assert 0 <= share.low <= share.high <= 1
    assert sum(one.labels for one in feedback.of("all")) == feedback.labelled
