"""Which rows fail is found by halving; a computation that fails on every row is not asked for each of them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors.bisecting import FAILURES, EveryRowFailsError, failing_rows


class Computation:
    """Fails on batches with one of the failing rows."""

    def __init__(self, failing: set[int]) -> None:
        self.failing = failing
        self.computed: list[int] = []
        self.calls = 0

    def __call__(self, rows: Sequence[int]) -> None:
        self.calls += 1
        if self.failing & set(rows):
            raise ValueError(f"a secret in {rows}")
        self.computed += rows


def works() -> None:
    pass


def fails() -> None:
    raise TypeError("a secret")


@given(st.integers(1, 100).flatmap(lambda n: st.tuples(st.just(n), *[st.sets(st.integers(0, n - 1))] * 2)))
def test_each_row_is_computed_once_or_fails(case: tuple[int, set[int], set[int]]) -> None:
    rows, failing, first = case
    compute = Computation(failing)

    failures = failing_rows(compute, range(rows), known_good=works, first=sorted(first))

    assert set(failures) == failing
    assert sorted(compute.computed) == [row for row in range(rows) if row not in failing]


@given(st.integers(1, 3_000))
def test_computation_that_fails_on_every_row_is_given_up(rows: int) -> None:
    compute = Computation(set(range(rows)))

    with pytest.raises(EveryRowFailsError, match=r"^TypeError$"):
        failing_rows(compute, range(rows), known_good=fails)
    assert compute.calls < 3 * FAILURES + 12


def test_one_row_that_succeeds_keeps_the_computation_going() -> None:
    compute = Computation(set(range(1, 100)))
    assert len(failing_rows(compute, range(100), known_good=fails)) == 99


def test_likely_rows_are_computed_apart() -> None:
    compute = Computation({7, 50, 99})
    failing_rows(compute, range(100), known_good=works, first=[7, 50, 99])
    assert compute.calls <= 7


@pytest.mark.parametrize("error", [MemoryError(), OSError("x"), RuntimeError("std::bad_alloc")], ids=repr)
def test_fault_of_the_machine_ends_the_halving(error: Exception) -> None:
    calls = []

    def compute(rows: Sequence[int]) -> None:
        calls.append(rows)
        raise error

    with pytest.raises(type(error)):
        failing_rows(compute, range(100), known_good=works)
    assert len(calls) == 1


def test_fault_of_the_machine_in_the_known_row_is_named() -> None:
    def known_good() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        failing_rows(Computation({0}), range(1), known_good=known_good)
