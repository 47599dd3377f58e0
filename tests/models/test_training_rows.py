"""training_rows.bin: digests of training rows that tell nothing but whether a row is one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ModelError
from beam_pcc.models import training_rows
from beam_pcc.models.training_rows import TrainingRows
from beam_pcc.storage import open_store

KEYS = [b"one", b"two", b"three"]


@given(st.sets(st.binary(max_size=20), max_size=30), st.sets(st.binary(max_size=20), max_size=30))
def test_known_rows_are_recognised(known: set[bytes], others: set[bytes]) -> None:
    rows = TrainingRows.from_bytes(TrainingRows.of(known, "texts", 1).to_bytes(), "f")
    assert rows.contain(known).all()
    assert rows.contain(others - known).sum() == 0
    assert (rows.rows, rows.cleaning, rows.left_out) == ("texts", 1, 0)


def test_digests_of_two_versions_cannot_be_compared() -> None:
    first, second = (TrainingRows.of(KEYS, "texts") for _ in range(2))
    assert first.salt != second.salt
    assert not set(first.digests.tolist()) & set(second.digests.tolist())


def test_file_holds_no_row() -> None:
    assert all(key not in TrainingRows.of(KEYS, "texts").to_bytes() for key in KEYS)


def test_rows_beyond_the_limit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_rows, "MAX_DIGESTS", 2)
    rows = TrainingRows.of(KEYS, "vectors")
    assert (len(rows.digests), rows.left_out, int(rows.contain(KEYS).sum())) == (2, 1, 2)


def test_equal_rows_count_once() -> None:
    assert len(TrainingRows.of([b"one", b"one"], "texts").digests) == 1


def test_a_version_without_the_file_has_none(tmp_path: Path) -> None:
    assert training_rows.read(open_store(str(tmp_path)), "v20261120_020000") is None


GOOD = TrainingRows.of(KEYS, "vectors").to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n",
        GOOD[:-1],
        GOOD + b"\0" * 8,
        GOOD.replace(b'"format": 1', b'"format": 2'),
        GOOD.replace(b'"digests": 3', b'"digests": -3'),
        GOOD.replace(b'"vectors"', b'"numbers"'),
        GOOD.replace(b'"salt": "', b'"salt": "x'),
        b" " * 2_000 + GOOD,
        b"\xff" + GOOD,
    ],
    ids=[  # the salt is another in each process
        *("nothing", "no fields", "cut", "more", "format", "negative", "kind", "salt", "spaces", "no UTF-8"),
    ],
)
def test_malformed_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "training_rows.bin").write_bytes(data)
    with pytest.raises(ModelError, match=r"v1/training_rows\.bin is not the file of training rows"):
        training_rows.read(open_store(str(tmp_path)), "v1")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ModelError) as error:
        TrainingRows.from_bytes(data, "f")
    assert str(error.value).isprintable()


def test_order_of_digests_does_not_matter() -> None:
    rows = TrainingRows.of(KEYS, "texts")
    turned = TrainingRows("texts", 0, rows.salt, np.sort(rows.digests)[::-1])
    assert turned.contain([b"two", b"four"]).tolist() == [True, False]
