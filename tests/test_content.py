"""Digests of a case's content: equal for equal content, different for anything else."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import content, schemas

VECTOR = np.random.default_rng(1).normal(size=schemas.VECTOR_DIM).astype(np.float32)


def of_vector(vector: schemas.Vectors) -> int:
    (digest,) = content.of_vectors(vector.reshape(1, -1)).to_pylist()
    return int(digest)


def test_digest_does_not_depend_on_the_batch() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, schemas.VECTOR_DIM)).astype(np.float32)
    whole = content.of_vectors(vectors).to_pylist()
    assert whole == [of_vector(vector) for vector in vectors]
    assert whole == content.of_vectors(np.asfortranarray(vectors)).to_pylist()


@given(places=st.sets(st.integers(0, schemas.VECTOR_DIM - 1), min_size=1, max_size=4), bit=st.integers(0, 31))
def test_any_flipped_bits_change_the_digest(places: set[int], bit: int) -> None:
    changed = VECTOR.copy()
    bits = changed.view(np.uint32)
    for place in places:
        bits[place] ^= np.uint32(1 << bit)
    assert of_vector(changed) != of_vector(VECTOR)


@given(first=st.integers(0, schemas.VECTOR_DIM - 1), second=st.integers(0, schemas.VECTOR_DIM - 1))
def test_exchanged_values_change_the_digest(first: int, second: int) -> None:
    changed = VECTOR.copy()
    changed[[first, second]] = changed[[second, first]]
    assert (of_vector(changed) == of_vector(VECTOR)) == (first == second)


def test_many_vectors_have_as_many_digests() -> None:
    rows = 20_000
    vectors = np.zeros((rows, schemas.VECTOR_DIM), np.float32)
    vectors[:, 7] = np.arange(rows)  # small whole numbers: few bits differ
    assert len(set(content.of_vectors(vectors).to_pylist())) == rows


def test_no_vectors_have_no_digests() -> None:
    assert content.of_vectors(np.empty((0, schemas.VECTOR_DIM), np.float32)).to_pylist() == []


@given(st.lists(st.none() | st.text(max_size=20), max_size=20))
def test_texts_have_equal_digests_if_they_are_equal(texts: list[str | None]) -> None:
    digests = content.of_texts(pa.array(texts, pa.string())).to_pylist()
    assert len(set(digests)) == len(set(texts))


@pytest.mark.parametrize("texts", [["a", "a "], ["a", "A"], ["\u00e9", "e\u0301"]])
def test_similar_texts_differ(texts: list[str]) -> None:
    first, second = content.of_texts(pa.array(texts)).to_pylist()
    assert first != second
