"""The sample through a real runner: the same rows for the same seed and day, broken in known shares."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from beam_pcc.cases import faults
from beam_pcc.cases.validation import validate
from beam_pcc.errors import ConfigurationError
from beam_pcc.sources import ReadCases, synthetic
from tests.inputs import settings

DAY = dt.date(2026, 11, 20)
COLUMNS = ("case_id", "embedding_vector", "timestamp")
ReadAll = Callable[..., list[pa.RecordBatch]]
Row = tuple[str, bytes, str]


def sample(read_all: ReadAll, source: str, *, day: dt.date = DAY, batch_rows: int = 2_000) -> list[Row]:
    """The rows, sorted; vectors as bytes, as a NaN is not equal to itself."""
    batches = read_all(ReadCases(settings(source, day, batch_rows=batch_rows), "staging"))
    assert all(0 < batch.num_rows <= batch_rows for batch in batches)
    return sorted(row for batch in batches for row in rows_of(batch))


def rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    for case_id, vector, time in zip(*(batch.column(name) for name in COLUMNS), strict=True):
        values = b"" if vector.values is None else vector.values.to_numpy(zero_copy_only=False).tobytes()
        yield str(case_id), values, str(time)


def test_a_sample_is_the_same_every_time(read_all: ReadAll) -> None:
    assert sample(read_all, "sample://300") == sample(read_all, "sample://300")


def test_sample_does_not_depend_on_batch_rows(read_all: ReadAll) -> None:
    assert sample(read_all, "sample://2100") == sample(read_all, "sample://2100", batch_rows=77)


def vectors(rows: list[Row]) -> set[bytes]:
    """Without ids and timestamps, which differ by day anyway."""
    return {vector for _, vector, _ in rows}


def test_another_seed_gives_other_vectors(read_all: ReadAll) -> None:
    assert not vectors(sample(read_all, "sample://9")) & vectors(sample(read_all, "sample://9?seed=1"))


def test_without_a_seed_it_is_zero(read_all: ReadAll) -> None:
    assert sample(read_all, "sample://9") == sample(read_all, "sample://9?seed=0")


def test_another_day_gives_other_vectors(read_all: ReadAll) -> None:
    next_day = DAY + dt.timedelta(days=1)
    assert not vectors(sample(read_all, "sample://9")) & vectors(sample(read_all, "sample://9", day=next_day))


@pytest.mark.parametrize("rows", [0, 1, 1_999, 2_000, 2_001, 4_500])
def test_a_sample_has_as_many_rows_as_asked_for(read_all: ReadAll, rows: int) -> None:
    assert len(sample(read_all, f"sample://{rows}")) == rows


def test_a_known_share_of_the_rows_is_broken_in_each_way(read_all: ReadAll) -> None:
    found: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    for batch in read_all(ReadCases(settings("sample://2500", DAY, batch_rows=400), "staging")):
        cases, rejected = validate(batch)
        found.update(rejected.column("reason").to_pylist())
        ids.update(cases.column("case_id").to_pylist())

    by_validation = set(synthetic.BROKEN_AT.values()) - {faults.DUPLICATE_CASE_ID.code}
    assert found == dict.fromkeys(by_validation, 10)
    assert Counter(ids.values())[2] == 10  # the duplicates: one more row for each of ten ids


@pytest.mark.parametrize("source", ["sample://", "sample://ten", "sample://-1", "sample://10?seed=x", "sample://1e3"])
def test_a_sample_of_no_number_is_refused_before_the_run(source: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--source sample://.*: write sample://ROWS, such as sample://2000$"):
        ReadCases(settings(source, DAY), "staging")
