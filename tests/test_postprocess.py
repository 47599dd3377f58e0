"""Scores to labels: the label, its subtype, its confidence, and the note of what a person should review."""

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.validation import validate
from beam_pcc.models.explaining import log_odds
from beam_pcc.models.postprocess import postprocess
from beam_pcc.models.scoring import Scores
from tests.inputs import TIME, VECTOR, cases, rows, vectors

NOW = dt.datetime(2026, 11, 21, 2, 0, 0, 123_456, tzinfo=dt.timezone.utc)
BINARY = ("NOT_PC", "PC")
SUBTYPES = ("NOT_PC", "PC/access", "PC/deletion")


def label(
    probabilities: Any,
    classes: tuple[str, ...] = BINARY,
    *,
    threshold: float = 0.5,
    review_band: float = 0.0,
    errors: dict[int, str] | None = None,
    blocks: Any = None,
    base: float = np.nan,
    untrained: list[str | None] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The prediction rows and the rejected rows of a batch with these scores."""
    matrix = np.array(probabilities, np.float64).reshape(-1, len(classes))
    matrix[list(errors or {})] = np.nan
    scores = Scores(matrix, errors or {}, None if blocks is None else np.array(blocks, np.float64), base)
    predictions, rejected = postprocess(
        cases(len(matrix)),
        scores,
        classes=classes,
        threshold=threshold,
        review_band=review_band,
        now=NOW,
        untrained=untrained,
    )
    assert predictions.schema.equals(schemas.STAGED_PREDICTIONS, check_metadata=True)
    assert rejected.schema.equals(schemas.STAGED_REJECTED, check_metadata=True)
    return predictions.to_pylist(), rejected.to_pylist()


def column(predictions: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in predictions]


def test_a_case_is_pc_from_the_threshold_on() -> None:
    predictions, _ = label([[0.71, 0.29], [0.7, 0.3], [0.1, 0.9]], threshold=0.3)
    assert column(predictions, "predicted_label") == ["NOT_PC", "PC", "PC"]


def test_confidence_is_of_the_published_label() -> None:
    predictions, _ = label([[0.75, 0.25], [0.25, 0.75], [0.625, 0.375]], threshold=0.3)

    assert column(predictions, "predicted_label") == ["NOT_PC", "PC", "PC"]
    assert column(predictions, "confidence") == [0.75, 0.75, 0.375]


def test_subtypes_add_up_and_the_likeliest_is_named() -> None:
    predictions, _ = label([[0.4, 0.35, 0.25], [0.4, 0.25, 0.35]], SUBTYPES)

    assert column(predictions, "predicted_label") == ["PC", "PC"]
    assert column(predictions, "subtype_label") == ["access", "deletion"]
    assert column(predictions, "confidence") == pytest.approx([0.6, 0.6])


def test_not_pc_has_no_subtype() -> None:
    predictions, _ = label([[0.9, 0.05, 0.05]], SUBTYPES)
    assert column(predictions, "subtype_label") == [None]


def test_plain_pc_has_no_subtype() -> None:
    predictions, _ = label([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], ("NOT_PC", "PC", "PC/opt_out"))
    assert column(predictions, "subtype_label") == [None, "opt_out"]


def test_a_subtype_may_be_called_as_the_class_is() -> None:
    predictions, _ = label([[0.1, 0.9]], ("NOT_PC", "PC/PC"))
    assert column(predictions, "subtype_label") == ["PC"]


def test_a_subtype_keeps_all_that_follows_the_prefix() -> None:
    predictions, _ = label([[0.1, 0.9]], ("NOT_PC", "PC/access/export"))
    assert column(predictions, "subtype_label") == ["access/export"]


def test_the_order_of_the_classes_is_the_models() -> None:
    predictions, _ = label([[0.5, 0.1, 0.4]], ("PC/zeta", "NOT_PC", "PC/alpha"))

    assert column(predictions, "subtype_label") == ["zeta"]
    assert column(predictions, "confidence") == pytest.approx([0.9])


def test_rounding_above_one_gives_confidence_one() -> None:
    assert 1.0 + 3e-16 > 1.0
    predictions, _ = label([[0.0, 1.0, 3e-16]], SUBTYPES)
    assert column(predictions, "confidence") == [1.0]


def test_cases_in_the_review_band_get_a_note() -> None:
    predictions, _ = label([[0.25, 0.75], [0.375, 0.625], [0.625, 0.375], [0.75, 0.25]], review_band=0.25)

    notes = column(predictions, "prediction_notes")
    assert notes == [None, "review: margin 0.125", "review: margin 0.125", None]


def explained(odds: float, base: float, embedding: float) -> dict[str, Any]:
    """The arguments of a row with these log-odds of PC, of which the rest is of the other block."""
    p = 1 / (1 + np.exp(-odds))
    return {"probabilities": [[1 - p, p]], "base": base, "blocks": [[embedding, odds - base - embedding]]}


def test_note_has_the_parts_of_the_log_odds() -> None:
    predictions, _ = label(**explained(0.2, -0.5, 0.6), review_band=0.1)

    assert column(predictions, "prediction_notes") == [
        "review: margin 0.050; log-odds +0.20: base -0.50, embedding +0.60, tfidf +0.10"
    ]


def test_note_of_not_pc_speaks_of_not_pc() -> None:
    predictions, _ = label(**explained(-0.2, -0.5, 0.6), review_band=0.1)

    assert column(predictions, "predicted_label") == ["NOT_PC"]
    assert column(predictions, "prediction_notes") == [
        "review: margin 0.050; log-odds +0.20: base +0.50, embedding -0.60, tfidf +0.30"
    ]


def test_log_odds_of_a_label_may_be_below_zero() -> None:
    predictions, _ = label(**explained(-0.2, -0.5, 0.2), review_band=0.2, threshold=0.3)

    assert column(predictions, "predicted_label") == ["PC"]
    assert column(predictions, "prediction_notes")[0].endswith(
        "; log-odds -0.20: base -0.50, embedding +0.20, tfidf +0.10"
    )


NOTE = re.compile(
    r"review: margin (\d\.\d{3}); log-odds ([+-]\d+\.\d\d): "
    r"base ([+-]\d+\.\d\d), embedding ([+-]\d+\.\d\d), tfidf ([+-]\d+\.\d\d)"
)


@given(
    st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(-30, 30)), min_size=1, max_size=5),
    st.floats(-13, 13),
    st.floats(0.01, 0.99),
)
def test_numbers_of_a_note_add_up_as_they_stand(rows: list[tuple[float, float]], base: float, threshold: float) -> None:
    probability = np.array([p for p, _ in rows])
    embedding = np.array([e for _, e in rows])
    blocks = np.column_stack([embedding, log_odds(probability) - base - embedding])
    predictions, _ = label(
        np.column_stack([1 - probability, probability]), threshold=threshold, review_band=1, base=base, blocks=blocks
    )

    for row in predictions:
        match = NOTE.fullmatch(row["prediction_notes"])
        assert match, row["prediction_notes"]
        total, *parts = (Decimal(number) for number in match.groups()[1:])
        assert sum(parts) == total
        assert "-0.00" not in match.groups()
        confidence = row["confidence"]
        assert float(total) == pytest.approx(np.log(confidence / (1 - confidence)), abs=0.0051)


def test_unscored_case_is_rejected_with_the_error_type() -> None:
    predictions, rejected = label(
        [[0.9, 0.1], [0, 0], [0.2, 0.8], [0, 0]],
        errors={3: "the model raised ValueError", 1: "the model raised TypeError"},
    )

    assert column(predictions, "case_id") == ["c0", "c2"]
    assert column(predictions, "confidence") == [0.9, 0.8]
    assert [tuple(row.values()) for row in rejected] == [
        ("c1", faults.MODEL_ERROR.code, "the model raised TypeError"),
        ("c3", faults.MODEL_ERROR.code, "the model raised ValueError"),
    ]


def test_note_belongs_to_its_case_beside_a_rejected_one() -> None:
    predictions, _ = label(
        [[0, 0], [0.5, 0.5]], review_band=0.1, errors={0: "no"}, base=-0.3, blocks=[[np.nan, np.nan], [0.3, 0.0]]
    )
    assert column(predictions, "prediction_notes") == [
        "review: margin 0.000; log-odds +0.00: base -0.30, embedding +0.30, tfidf +0.00"
    ]


def test_note_without_parts_has_the_margin_only() -> None:
    predictions, _ = label([[0.5, 0.5]] * 2, review_band=0.1, base=0.1, blocks=[[np.nan, 0.1], [-0.1, 0.0]])

    notes = column(predictions, "prediction_notes")
    assert notes[0] == "review: margin 0.000"
    assert notes[1].startswith("review: margin 0.000; log-odds +0.00: base +0.10,")


def test_batch_that_cannot_be_scored_is_rejected() -> None:
    predictions, rejected = label([[0, 0]] * 2, errors={0: "no", 1: "no"})

    assert predictions == []
    assert column(rejected, "case_id") == ["c0", "c1"]


def test_an_empty_batch_gives_nothing() -> None:
    assert label([], SUBTYPES) == ([], [])


def test_prediction_has_both_timestamps() -> None:
    predictions, _ = label([[0.9, 0.1]])

    assert column(predictions, "inference_timestamp") == [NOW]
    assert column(predictions, "case_timestamp") == [TIME]


@st.composite
def scored(draw: st.DrawFn) -> tuple[tuple[str, ...], np.ndarray]:
    """Classes of a model, and probabilities whose rows sum to 1 but for rounding."""
    named = draw(st.sampled_from([BINARY, SUBTYPES, ("NOT_PC", "PC", "PC/access"), ("NOT_PC", "PC/a", "PC/b", "PC/c")]))
    classes = draw(st.permutations(named))
    shape = (draw(st.integers(0, 8)), len(classes))
    weights = draw(hnp.arrays(np.float64, shape, elements=st.floats(0.0, 1.0)))
    weights[weights.sum(axis=1) < 1e-9] = 1.0
    return tuple(classes), weights / weights.sum(axis=1, keepdims=True)


@given(
    scored(),
    st.floats(0.01, 0.99),
    st.floats(0.0, 0.5),
    st.sets(st.integers(0, 7)),
)
def test_each_case_is_labelled_once_by_its_own_row(
    model: tuple[tuple[str, ...], np.ndarray], threshold: float, band: float, guilty: set[int]
) -> None:
    classes, probabilities = model
    errors = {row: "no" for row in guilty if row < len(probabilities)}

    predictions, rejected = label(probabilities, classes, threshold=threshold, review_band=band, errors=errors)

    scored_rows = [i for i in range(len(probabilities)) if i not in errors]
    assert column(predictions, "case_id") == [f"c{i}" for i in scored_rows]
    assert column(rejected, "case_id") == [f"c{i}" for i in sorted(errors)]
    for row, i in zip(predictions, scored_rows, strict=True):
        by_class = dict(zip(classes, probabilities[i].tolist(), strict=True))
        other = by_class.pop("NOT_PC")
        positive = row["predicted_label"] == "PC"
        assert 0.0 <= row["confidence"] <= 1.0
        assert row["confidence"] == pytest.approx(1.0 - other if positive else other, abs=1e-12)
        if abs(1.0 - other - threshold) > 1e-12:
            assert positive == (1.0 - other > threshold)
        if abs(abs(1.0 - other - threshold) - band) > 1e-12:
            assert (row["prediction_notes"] or "").startswith("review") == (abs(1.0 - other - threshold) < band)
        if not positive:
            assert row["subtype_label"] is None
        else:
            said = "PC" if row["subtype_label"] is None else f"PC/{row['subtype_label']}"
            assert by_class[said] == max(by_class.values())


def test_digest_of_the_content_stays_with_its_case() -> None:
    batch = validate(rows(vector=vectors([VECTOR, VECTOR + 1, VECTOR + 2], pa.list_(pa.float32()))))[0]
    scores = Scores(np.array([[0.5, 0.5], [np.nan, np.nan], [0.5, 0.5]]), {1: "ValueError: no"}, None)
    predictions, _ = postprocess(batch, scores, classes=BINARY, threshold=0.5, review_band=0.0, now=NOW)

    first, _, third = batch.column("content_digest").to_pylist()
    assert predictions.column("content_digest").to_pylist() == [first, third]


def note_of(scores: Scores) -> str | None:
    batch = cases(1)
    predictions, _ = postprocess(batch, scores, classes=BINARY, threshold=0.5, review_band=0.1, now=NOW)
    return predictions.column("prediction_notes")[0].as_py()


def test_note_says_which_part_of_a_long_message_decided() -> None:
    probabilities = np.array([[0.1, 0.9]])
    assert note_of(Scores(probabilities, places=("sentence 7 of 9",))) == "sentence 7 of 9"
    assert note_of(Scores(probabilities, places=(None,))) is None


def test_note_of_a_review_names_the_part_last() -> None:
    note = note_of(Scores(np.array([[0.48, 0.52]]), places=("sentences 7-9 of 20",)))
    assert note == "review: margin 0.020; sentences 7-9 of 20"


def test_explained_parts_add_up_with_a_discount() -> None:
    """The base has it: the log-odds of the deciding window are higher than those of the message by the discount."""
    probability, discount = 0.52, 0.7 * np.log(4)
    odds = float(log_odds(np.array([probability]))[0])
    blocks = np.array([[odds + discount + 0.5 - 0.2, 0.2]])  # with a base of -0.5 they are the window's
    scores = Scores(
        np.array([[1 - probability, probability]]), blocks=blocks, base=-0.5, discounts=np.array([discount])
    )
    parts = [Decimal(part) for part in re.findall(r"[+-]\d+\.\d+", note_of(scores) or "")]
    assert parts[0] == sum(parts[1:])
    assert float(parts[1]) == pytest.approx(-0.5 - discount, abs=0.01)


def test_language_not_in_training_is_noted() -> None:
    predictions, _ = label([[0.9, 0.1], [0.1, 0.9]], untrained=["pl", None])
    assert column(predictions, "prediction_notes") == ["review: language pl not in training", None]


def test_language_is_noted_after_the_margin() -> None:
    predictions, _ = label([[0.53, 0.47]], review_band=0.1, untrained=["pl"])
    assert column(predictions, "prediction_notes") == ["review: margin 0.030; language pl not in training"]


def test_languages_keep_their_rows_beside_failed_ones() -> None:
    predictions, _ = label([[0.9, 0.1]] * 3, errors={0: "ValueError"}, untrained=["sv", None, "pl"])
    assert column(predictions, "prediction_notes") == [None, "review: language pl not in training"]
