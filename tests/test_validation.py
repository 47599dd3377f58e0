"""Input rows to cases and rejected rows: every reason, every accepted type, and every row exactly once."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import content, faults, schemas
from beam_pcc.cases.validation import validate
from tests.inputs import DIM, LISTS, TIME, VECTOR, VECTOR_TYPES, not_utf8, rows, vectors


def reasons(batch: pa.RecordBatch) -> list[str]:
    return validate(batch)[1].column("reason").to_pylist()


def only_detail(batch: pa.RecordBatch) -> str:
    (detail,) = validate(batch)[1].column("detail").to_pylist()
    return detail


def test_sound_rows_become_cases_in_their_order() -> None:
    cases, rejected = validate(rows(case_id=["b", "a", "c"]))

    assert cases.schema.equals(schemas.CASES, check_metadata=True)
    assert cases.column("case_id").to_pylist() == ["b", "a", "c"]
    assert cases.column("timestamp").to_pylist() == [TIME] * 3
    assert rejected.num_rows == 0


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_each_accepted_vector_type_gives_float32(kind: pa.DataType) -> None:
    given_vectors = [VECTOR, VECTOR[::-1], -VECTOR]

    cases, rejected = validate(rows(vector=vectors(given_vectors, kind)))

    np.testing.assert_array_equal(schemas.vectors_of(cases), np.array(given_vectors, np.float32))
    assert schemas.vectors_of(cases).dtype == np.float32
    assert rejected.num_rows == 0


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_slice_of_a_batch_gives_its_own_rows(kind: pa.DataType) -> None:
    values = [None if i in (0, 3) else VECTOR / 2 ** (i % 4) for i in range(6)]

    cases, rejected = validate(rows(vector=vectors(values, kind)).slice(2, 3))

    assert cases.column("case_id").to_pylist() == ["c2", "c4"]
    np.testing.assert_array_equal(schemas.vectors_of(cases), np.array([values[2], values[4]], np.float32))
    assert rejected.column("case_id").to_pylist() == ["c3"]


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_a_slice_of_sound_rows_only_gives_these_rows(kind: pa.DataType) -> None:
    values = [VECTOR / 2**i for i in range(4)]

    cases, _ = validate(rows(vector=vectors(values, kind)).slice(1, 2))

    np.testing.assert_array_equal(schemas.vectors_of(cases), np.array(values[1:3], np.float32))


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_a_null_vector_of_any_type_is_missing(kind: pa.DataType) -> None:
    assert reasons(rows(vector=vectors([VECTOR, None], kind))) == [faults.MISSING_VECTOR.code]


@pytest.mark.parametrize("empty", [pa.array([[]], pa.list_(pa.float64())), pa.array([b""])], ids=["list", "bytes"])
def test_an_empty_vector_is_missing(empty: pa.Array) -> None:
    assert reasons(rows(vector=empty)) == [faults.MISSING_VECTOR.code]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.binary()], ids=str)
@pytest.mark.parametrize("length", [1, DIM - 1, DIM + 1])
def test_vector_of_another_length_is_wrong_dimension(kind: pa.DataType, length: int) -> None:
    batch = rows(vector=vectors([np.ones(length)], kind))

    assert reasons(batch) == [faults.WRONG_DIMENSION.code]
    assert f"{length} values" in only_detail(batch)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 3), pa.binary(12)], ids=str)
def test_column_of_another_fixed_size_is_wrong_dimension(kind: pa.DataType) -> None:
    column = pa.array([[1.0, 2.0, 3.0]], kind) if pa.types.is_fixed_size_list(kind) else pa.array([b"x" * 12], kind)
    assert reasons(rows(vector=column)) == [faults.WRONG_DIMENSION.code]


def test_bytes_of_no_whole_floats_are_wrong_dimension() -> None:
    batch = rows(vector=pa.array([b"x" * (DIM * 4 + 1)]))

    assert reasons(batch) == [faults.WRONG_DIMENSION.code]
    assert not only_detail(batch).startswith(f"{DIM} values")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
def test_non_finite_value_is_named_by_position(value: float) -> None:
    vector = VECTOR.copy()
    vector[[7, 400]] = value
    batch = rows(vector=[vector])

    assert reasons(batch) == [faults.NON_FINITE.code]
    assert only_detail(batch).startswith("2 values")
    assert only_detail(batch).endswith("position 7")


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_a_null_within_a_vector_is_not_finite(kind: pa.DataType) -> None:
    values = pa.array([None, *VECTOR.tolist()[1:]], pa.float32()).cast(kind.value_type)
    holed = pa.array([values.to_pylist()], kind)
    assert reasons(rows(vector=holed)) == [faults.NON_FINITE.code]


def test_the_largest_float32_is_finite() -> None:
    largest = float(np.finfo(np.float32).max)
    assert reasons(rows(vector=[np.full(DIM, largest), np.full(DIM, -largest)])) == []


@pytest.mark.parametrize("case_id", [None, "", "  ", "\t\n", "\u00a0"])
def test_a_blank_case_id_is_missing(case_id: str | None) -> None:
    assert reasons(rows(case_id=pa.array([case_id, "c1"], pa.string()))) == [faults.MISSING_CASE_ID.code]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_a_case_id_that_is_not_utf8_is_missing(kind: pa.DataType) -> None:
    cases, rejected = validate(rows(case_id=not_utf8(kind, [b"caf\xc3\xa9", b"\xff\xfe", b"c2"])))

    assert cases.column("case_id").to_pylist() == ["café", "c2"]
    assert rejected.to_pylist()[0]["case_id"] is None
    assert rejected.to_pylist()[0]["reason"] == faults.MISSING_CASE_ID.code


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64()], ids=str)
def test_an_integer_case_id_becomes_text(kind: pa.DataType) -> None:
    cases, rejected = validate(rows(case_id=pa.array([7, None, 120], kind)))

    assert cases.column("case_id").to_pylist() == ["7", "120"]
    assert rejected.column("reason").to_pylist() == [faults.MISSING_CASE_ID.code]


BAD_VECTORS = {
    faults.MISSING_VECTOR.code: None,
    faults.WRONG_DIMENSION.code: VECTOR[1:],
    faults.NON_FINITE.code: VECTOR * np.nan,
}


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_a_missing_id_comes_before_any_other_fault(vector: Any) -> None:
    assert reasons(rows(case_id=[" "], vector=[vector], timestamp=["soon"])) == [faults.MISSING_CASE_ID.code]


@pytest.mark.parametrize("reason", BAD_VECTORS)
def test_vector_fault_precedes_a_bad_timestamp(reason: str) -> None:
    assert reasons(rows(vector=[BAD_VECTORS[reason]], timestamp=["soon"])) == [reason]


def test_wrong_dimension_precedes_non_finite() -> None:
    assert reasons(rows(vector=[np.full(3, np.nan)])) == [faults.WRONG_DIMENSION.code]


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_no_rows_give_no_rows(kind: pa.DataType) -> None:
    cases, rejected = validate(rows(vector=vectors([VECTOR], kind)).slice(1))

    assert (cases.num_rows, rejected.num_rows) == (0, 0)
    assert cases.schema == schemas.CASES
    assert rejected.schema == schemas.STAGED_REJECTED


SECRET = "SECRET"
IDS = {f"{SECRET}-7": None, None: faults.MISSING_CASE_ID.code, " \t": faults.MISSING_CASE_ID.code}
VECTORS = {
    "sound": None,
    "null": faults.MISSING_VECTOR.code,
    "empty": faults.MISSING_VECTOR.code,
    "short": faults.WRONG_DIMENSION.code,
    "long": faults.WRONG_DIMENSION.code,
    "nan": faults.NON_FINITE.code,
    "huge": faults.NON_FINITE.code,
}
TIMES = {
    "2026-11-20": None,
    "2026-11-20T10:00-08:00": None,
    f"{SECRET} soon": faults.BAD_TIMESTAMP.code,
    None: faults.BAD_TIMESTAMP.code,
}
INSTANTS = {"2026-11-20": TIME.replace(hour=0), "2026-11-20T10:00-08:00": TIME.replace(hour=18)}


def drawn(kind: str, rng: np.random.Generator) -> Any:
    values = rng.standard_normal(DIM) * 10.0 ** rng.integers(-45, 37)
    if kind in ("nan", "huge"):
        values[rng.integers(DIM)] = np.nan if kind == "nan" else 1e200
    return {"null": None, "empty": [], "short": values[1:], "long": [*values, 0.5]}.get(kind, values)


@given(
    specs=st.lists(st.tuples(*(st.sampled_from(list(options)) for options in (IDS, VECTORS, TIMES))), max_size=12),
    kind=st.sampled_from([pa.list_(pa.float64()), pa.large_list(pa.float64())]),
    cut=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_row_comes_out_once_and_unchanged(
    specs: list[tuple[Any, Any, Any]], kind: pa.DataType, cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    raw = [drawn(vector, rng) for _, vector, _ in specs]
    ids = [f"{SECRET}-{i}" if IDS[id_] is None else id_ for i, (id_, _, _) in enumerate(specs)]
    batch = rows(
        case_id=pa.array(ids, pa.string()),
        vector=vectors(raw, kind),
        timestamp=pa.array([time for _, _, time in specs], pa.string()),
    ).slice(cut)

    cases, rejected = validate(batch)

    faults = [IDS[id_] or VECTORS[vector] or TIMES[time] for id_, vector, time in specs]
    kept = [i for i in range(cut, len(specs)) if faults[i] is None]
    lost = [i for i in range(cut, len(specs)) if faults[i] is not None]
    assert cases.column("case_id").to_pylist() == [ids[i] for i in kept]
    assert rejected.column("case_id").to_pylist() == [ids[i] for i in lost]
    assert cases.column("timestamp").to_pylist() == [INSTANTS[specs[i][2]] for i in kept]
    assert rejected.column("reason").to_pylist() == [faults[i] for i in lost]

    with np.errstate(under="ignore"):
        expected = np.array([np.asarray(raw[i]) for i in kept], np.float64).reshape(-1, DIM).astype(np.float32)
    found = schemas.vectors_of(cases)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)
    assert SECRET not in " ".join(rejected.column("detail").to_pylist())


@given(broken=st.lists(st.booleans(), min_size=1, max_size=12))
def test_digest_of_the_content_is_of_the_row(broken: list[bool]) -> None:
    given_vectors = [[1.0] if bad else VECTOR + row for row, bad in enumerate(broken)]
    cases, _ = validate(rows(vector=vectors(given_vectors, pa.list_(pa.float32()))))

    expected = content.of_vectors(schemas.vectors_of(cases)) if cases.num_rows else pa.array([], pa.int64())
    assert cases.column("content_digest").equals(expected)


def test_equal_content_has_one_digest_in_any_type() -> None:
    digests = {
        validate(rows(vector=vectors([VECTOR], kind)))[0].column("content_digest").to_pylist()[0]
        for kind in VECTOR_TYPES
    }
    assert len(digests) == 1
