"""Files read by a real runner, Parquet above all: every row of every file once, or an error that names the file."""

import datetime as dt
import errno
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import FileMetadata
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.validation import validate
from beam_pcc.errors import ConfigurationError, SourceError
from beam_pcc.sources import ReadCases, synthetic
from beam_pcc.sources.files import ReadFiles, _Columns, _grouped, _Part, _read
from tests.inputs import TIME, VECTOR, VECTOR_TYPES, rows, settings, vectors
from tests.machines import without_root

DAY = dt.date(2026, 11, 20)
ReadAll = Callable[..., list[pa.RecordBatch]]
ErrorOf = Callable[[Path], str]


def case_rows(n: int, first: int = 0) -> pa.RecordBatch:
    return rows(case_id=pa.array([f"c{first + i:03d}" for i in range(n)], pa.string()))


def write_parquet(path: Path, table: pa.Table | pa.RecordBatch, row_group_size: int | None = None) -> Path:
    table = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def ids(batches: list[pa.RecordBatch]) -> list[Any]:
    return sorted(case_id for batch in batches for case_id in batch.column("case_id").to_pylist())


def numbered(n: int) -> list[str]:
    return [f"c{i:03d}" for i in range(n)]


def test_each_row_of_each_row_group_is_read_once(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(30), row_group_size=7)
    write_parquet(tmp_path / "b.parquet", case_rows(20, first=30), row_group_size=20)

    assert ids(read_all(ReadFiles(str(tmp_path / "*.parquet"), 5))) == numbered(50)


def test_rows_are_read_without_other_columns(tmp_path: Path, read_all: ReadAll) -> None:
    written = case_rows(4)
    table = pa.Table.from_batches([written]).append_column("text", [["my address is ..."] * 4])
    write_parquet(tmp_path / "a.parquet", table.select(["text", "timestamp", "embedding_vector", "case_id"]))

    (batch,) = read_all(ReadFiles(str(tmp_path / "a.parquet"), 100))

    assert sorted(batch.column_names) == sorted(schemas.INPUT_COLUMNS)
    assert batch.select(list(schemas.INPUT_COLUMNS)).to_pydict() == written.to_pydict()


@pytest.mark.parametrize("batch_rows", [1, 6, 100])
def test_no_batch_is_larger_than_asked_for(tmp_path: Path, read_all: ReadAll, batch_rows: int) -> None:
    path = write_parquet(tmp_path / "a.parquet", case_rows(13))

    batches = read_all(ReadFiles(str(path), batch_rows))

    assert ids(batches) == numbered(13)
    assert max(b.num_rows for b in batches) == min(batch_rows, 13)


@pytest.mark.parametrize(
    ("batch_rows", "sizes"), [(2000, [2000, 600]), (1200, [1200, 1200, 200]), (700, [700, 700, 700, 500])]
)
def test_batches_of_double_are_full(tmp_path: Path, batch_rows: int, sizes: list[int]) -> None:
    """They are decoded in smaller blocks, as float."""
    written = case_rows(2600)
    assert written.schema.field("embedding_vector").type == pa.list_(pa.float64())
    path = write_parquet(tmp_path / "a.parquet", written)

    batches = list(_read(_Part((str(path),), 0), batch_rows, _Columns(None, {})))

    assert [batch.num_rows for batch in batches] == sizes
    table = pa.Table.from_batches(batches)
    assert table.column("case_id").to_pylist() == written.column("case_id").to_pylist()
    assert table.column("embedding_vector").type == pa.list_(pa.float32())


def test_the_partition_stands_in_the_path(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "cases_20261120.parquet", case_rows(2))
    write_parquet(tmp_path / "cases_20261121.parquet", case_rows(3, first=2))

    assert ids(read_all(ReadCases(settings(f"{tmp_path}/cases_{{partition}}.parquet", DAY), "staging"))) == [
        "c000",
        "c001",
    ]


def test_parquet_and_jsonl_may_be_mixed(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(2))
    row = {"case_id": "c002", "embedding_vector": VECTOR.tolist(), "timestamp": "2026-11-20T10:00:00Z"}
    (tmp_path / "b.jsonl").write_text(json.dumps(row))

    assert ids(read_all(ReadFiles(str(tmp_path / "*"), 100))) == numbered(3)


def test_a_parquet_file_without_rows_gives_no_rows(tmp_path: Path, read_all: ReadAll) -> None:
    path = write_parquet(tmp_path / "a.parquet", case_rows(1).slice(1))
    assert ids(read_all(ReadFiles(str(path), 100))) == []


def test_a_file_cut_off_is_an_error_that_names_it(tmp_path: Path, error_of: ErrorOf) -> None:
    path = write_parquet(tmp_path / "a.parquet", case_rows(50))
    path.write_bytes(path.read_bytes()[:-200])

    assert "cannot be read as Parquet (it is cut off: its end is missing); write it again" in error_of(path)


def test_a_file_damaged_within_is_an_error_that_names_it(tmp_path: Path, error_of: ErrorOf) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_batches([case_rows(50)]), path, compression="gzip")  # has checksums of its own
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)

    line = error_of(path)
    assert "cannot be read as Parquet" in line
    assert "cut off" not in line


def test_one_bad_file_among_good_ones_is_the_one_named(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(5))
    (tmp_path / "b.parquet").write_bytes(b"PAR1")

    with pytest.raises(SourceError, match=rf"^{tmp_path / 'b.parquet'} cannot be read as Parquet"):
        read_all(ReadFiles(str(tmp_path / "*.parquet"), 100))


def test_file_that_is_no_parquet_is_named(tmp_path: Path, error_of: ErrorOf) -> None:
    (tmp_path / "a.parquet").write_text("case_id,embedding_vector,timestamp\n")
    assert "cannot be read as Parquet (it is not Parquet); write it again" in error_of(tmp_path / "a.parquet")


def test_empty_parquet_file_is_named(tmp_path: Path, error_of: ErrorOf) -> None:
    (tmp_path / "a.parquet").touch()
    assert "cannot be read as Parquet (it is empty); write it again" in error_of(tmp_path / "a.parquet")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_missing_right_to_a_file_is_the_cause(open_folder: Path, name: str) -> None:
    file = write_parquet(open_folder / name, case_rows(2))
    file.chmod(0)

    with without_root(), pytest.raises(SourceError, match=rf"^{file}: permission denied.*; give the account that runs"):
        list(_read(_Part((str(file),)), 100, _Columns(None, {})))


@pytest.mark.parametrize("pattern", ["closed/a.parquet", "closed/*.parquet", "*/a.parquet"])
def test_missing_right_to_a_folder_is_the_cause(open_folder: Path, pattern: str) -> None:
    (open_folder / "closed").mkdir()
    write_parquet(open_folder / "closed" / "a.parquet", case_rows(2))
    (open_folder / "closed").chmod(0)

    with without_root(), pytest.raises(ConfigurationError, match=r"cannot be listed: permission denied \(.*/closed"):
        ReadFiles(f"{open_folder}/{pattern}", 100)


def test_fault_of_the_disk_is_the_cause(tmp_path: Path, error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", case_rows(2))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("beam_pcc.sources.files.pq.ParquetFile", fail)
    assert f"{path}: the disk or network share does not work (Input/output error)" in error_of(path)


def test_missing_column_and_file_are_named(tmp_path: Path, error_of: ErrorOf) -> None:
    table = pa.Table.from_batches([case_rows(2)]).rename_columns(["id", "embedding_vector", "timestamp"])
    said = error_of(write_parquet(tmp_path / "a.parquet", table))
    assert "has no column case_id (its columns: id, embedding_vector, timestamp)" in said


def test_column_of_an_unreadable_type_is_named(tmp_path: Path, error_of: ErrorOf) -> None:
    table = pa.Table.from_batches([case_rows(2)]).drop_columns(["timestamp"]).append_column("timestamp", [[1, 2]])
    assert "column timestamp is int64" in error_of(write_parquet(tmp_path / "a.parquet", table))


def test_file_that_vanished_is_named(tmp_path: Path, read_all: ReadAll) -> None:
    path = write_parquet(tmp_path / "a.parquet", case_rows(2))
    source = ReadFiles(str(path), 100)
    path.unlink()

    with pytest.raises(SourceError, match=rf"^{path} is gone since the run started; run again$"):
        read_all(source)


def test_source_without_a_match_is_refused_at_launch(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--source .*20261120\.parquet matches no file; check the path"):
        ReadCases(settings(f"{tmp_path}/{{partition}}.parquet", DAY), "staging")


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet.tmp"])
def test_file_of_another_format_is_refused_at_launch(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(1))
    (tmp_path / name).write_text("x")

    with pytest.raises(ConfigurationError, match=rf"^--source {tmp_path / name} is neither \.parquet nor \.jsonl"):
        ReadFiles(f"{tmp_path}/*", 100)


def test_a_synthetic_file_holds_the_rows_of_the_sample(tmp_path: Path, read_all: ReadAll) -> None:
    synthetic.write(tmp_path / "a.parquet", 2_500, DAY)
    from_file = read_all(ReadFiles(str(tmp_path / "a.parquet"), 500))
    sample = [synthetic.cases(2_500, DAY, chunk=chunk) for chunk in range(2)]
    assert sorted(str(i) for b in from_file for i in b["case_id"].to_pylist()) == sorted(
        str(i) for b in sample for i in b["case_id"].to_pylist()
    )


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.binary()], ids=str)
def test_vectors_reach_validation_in_their_type(tmp_path: Path, read_all: ReadAll, kind: pa.DataType) -> None:
    path = write_parquet(tmp_path / "a.parquet", rows(vector=vectors([VECTOR, None, -VECTOR], kind)))

    (batch,) = read_all(ReadFiles(str(path), 100))

    cases, rejected = validate(batch)
    np.testing.assert_array_equal(schemas.vectors_of(cases), np.array([VECTOR, -VECTOR], np.float32))
    assert rejected.column("reason").to_pylist() == [faults.MISSING_VECTOR.code]


def test_each_type_of_vectors_is_read_from_parquet(tmp_path: Path, read_all: ReadAll) -> None:
    """Arrow reads no null back into a list of fixed size, if its note on the type is followed."""
    for number, dtype in enumerate(VECTOR_TYPES):
        ids = pa.array([f"{number:02d} {name}" for name in "abc"])
        batch = rows(case_id=ids, vector=vectors([VECTOR, None, -VECTOR], dtype))
        write_parquet(
            tmp_path / f"{number}.parquet", batch.rename_columns(["case_id", "Embedding_Vector", "timestamp"])
        )

    parts = [validate(batch) for batch in read_all(ReadFiles(f"{tmp_path}/*.parquet", 100))]

    found: dict[str, tuple[float, ...]] = {}
    for cases, rejected in parts:
        assert set(rejected.column("reason").to_pylist()) <= {faults.MISSING_VECTOR.code}
        assert all(case_id.endswith("b") for case_id in rejected.column("case_id").to_pylist())
        assert set(cases.column("timestamp").to_pylist()) <= {TIME}
        found |= zip(cases.column("case_id").to_pylist(), map(tuple, schemas.vectors_of(cases).tolist()), strict=True)
    assert found == {
        f"{number:02d} {name}": tuple((sign * VECTOR).tolist())
        for number in range(len(VECTOR_TYPES))
        for name, sign in (("a", 1), ("c", -1))
    }


IDS = {
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(15) + b"\x01", None], pa.binary(16))),
    "dictionary": pa.array(["a", None]).dictionary_encode(),
    "dictionary of integers": pa.array([7, None]).dictionary_encode(),
    "string_view": pa.array(["a", None], pa.string_view()),
    "large_string": pa.array(["a", None], pa.large_string()),
    "decimal": pa.array([7, None], pa.decimal128(20, 0)),
    "null": pa.nulls(2),
}


@pytest.mark.parametrize(("name", "value"), [*zip(IDS, [f"{1:032x}", "a", "7", "a", "a", "7", None], strict=True)])
@pytest.mark.parametrize("vector_type", [pa.list_(pa.float32()), pa.list_(pa.float32(), schemas.VECTOR_DIM)], ids=str)
def test_each_type_of_ids_is_read_from_parquet(
    tmp_path: Path, name: str, value: str | None, vector_type: pa.DataType
) -> None:
    path = write_parquet(tmp_path / "a.parquet", rows(case_id=IDS[name], vector=vectors([VECTOR] * 2, vector_type)))
    (batch,) = _read(_Part((str(path),)), 100, _Columns(None, {}))
    cases, rejected = validate(batch)
    assert [case_id.replace("-", "") for case_id in cases.column("case_id").to_pylist()] == ([value] if value else [])
    assert set(rejected.column("reason").to_pylist()) == {faults.MISSING_CASE_ID.code}


@pytest.mark.parametrize("dtype", [pa.int32(), pa.float64(), pa.bool_(), pa.list_(pa.int8())], ids=str)
@pytest.mark.parametrize("column", schemas.INPUT_COLUMNS)
def test_column_without_a_value_may_have_any_type(tmp_path: Path, column: str, dtype: pa.DataType) -> None:
    """DuckDB gives it INT32, and pandas DOUBLE."""
    table = pa.Table.from_batches([case_rows(5)])
    table = table.set_column(table.column_names.index(column), column, pa.nulls(5, dtype))
    path = write_parquet(tmp_path / "a.parquet", table, row_group_size=2)
    batches = list(_read(_Part((str(path),)), 100, _Columns(None, {})))
    rejected = [row for batch in batches for row in validate(batch)[1].to_pylist()]
    reasons = {"case_id": "missing_case_id", "embedding_vector": "missing_vector", "timestamp": "bad_timestamp"}
    assert [row["reason"] for row in rejected] == [reasons[column]] * 5


def test_column_with_one_value_of_another_type_is_named(tmp_path: Path, error_of: ErrorOf) -> None:
    table = pa.Table.from_batches([case_rows(5)]).drop_columns(["timestamp"])
    table = table.append_column("timestamp", pa.array([None, None, None, None, 7], pa.int32()))
    assert "column timestamp is int32" in error_of(write_parquet(tmp_path / "a.parquet", table, row_group_size=2))


def test_small_files_of_many_types_share_batches(tmp_path: Path, read_all: ReadAll) -> None:
    for number, ids in enumerate([pa.array(["a", "b"]), pa.array(["c", "d"]).dictionary_encode()]):
        write_parquet(
            tmp_path / f"{number}.parquet",
            rows(case_id=ids).rename_columns(["Case_ID" if number else "case_id", "embedding_vector", "timestamp"]),
        )
    (batch,) = read_all(ReadFiles(f"{tmp_path}/*.parquet", 50))
    assert batch.column("case_id").to_pylist() == ["a", "b", "c", "d"]


def test_mapped_columns_are_read_from_each_format(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(2).rename_columns(["ID", "vec", "timestamp"]))
    row = {"id": "c002", "Vec": VECTOR.tolist(), "timestamp": "2026-11-20T10:00:00Z"}
    (tmp_path / "b.jsonl").write_text(json.dumps(row))
    source = settings(f"{tmp_path}/*", DAY, columns="case_id=id, embedding_vector=vec")
    assert ids(read_all(ReadCases(source, "staging"))) == numbered(3)


def test_mapped_columns_are_read_with_texts(tmp_path: Path, read_all: ReadAll) -> None:
    table = pa.table({"ID": ["c000"], "Body": ["delete me"], "Timestamp": [TIME], "embedding_vector": pa.nulls(1)})
    write_parquet(tmp_path / "a.parquet", table)
    source = settings(f"{tmp_path}/a.parquet", DAY, columns="case_id=id", text_column="body")
    (batch,) = read_all(ReadCases(source, "staging"))
    assert batch.to_pylist() == [{"case_id": "c000", "body": "delete me", "timestamp": TIME, "embedding_vector": None}]


def test_names_that_differ_in_case_are_an_error(tmp_path: Path, error_of: ErrorOf) -> None:
    table = pa.Table.from_batches([case_rows(1)]).append_column("CASE_ID", [["x"]])
    words = "has the columns case_id and CASE_ID, which differ in case at most; rename one"
    assert words in error_of(write_parquet(tmp_path / "a.parquet", table))


def test_columns_of_the_sample_are_not_mapped() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^--source sample://10 has the names of the graph: leave --columns out"
    ):
        ReadCases(settings("sample://10", DAY, columns="case_id=id"), "staging")


@pytest.mark.parametrize("shape", [[2, 292], [292, 2]])
def test_tensors_of_several_axes_are_refused(tmp_path: Path, error_of: ErrorOf, shape: list[int]) -> None:
    column = vectors([VECTOR], pa.fixed_shape_tensor(pa.float32(), shape))
    assert "column embedding_vector is extension<arrow.fixed_shape_tensor" in error_of(
        write_parquet(tmp_path / "a.parquet", rows(vector=column))
    )


@pytest.mark.parametrize("name", ["a[1].parquet", "b*.parquet", "c?.parquet", "{d}.parquet", "[e.parquet", "F.PARQUET"])
def test_existing_name_is_no_pattern(tmp_path: Path, read_all: ReadAll, name: str) -> None:
    write_parquet(tmp_path / name, case_rows(2))
    write_parquet(tmp_path / "a1.parquet", case_rows(3, first=10))
    assert ids(read_all(ReadFiles(str(tmp_path / name), 100))) == numbered(2)


@pytest.mark.parametrize("pattern", ["*.parquet", "part-[0-9].parquet", "part-?.parquet"])
def test_pattern_in_a_folder_with_brackets(tmp_path: Path, read_all: ReadAll, pattern: str) -> None:
    folder = tmp_path / "cases [v2]" / "{x}*"
    (folder / "deeper").mkdir(parents=True)
    write_parquet(folder / "part-1.parquet", case_rows(2))
    write_parquet(folder / "deeper" / "part-2.parquet", case_rows(2, first=5))
    assert ids(read_all(ReadFiles(f"{folder}/{pattern}", 100))) == numbered(2)


def test_pattern_may_name_folders(tmp_path: Path, read_all: ReadAll) -> None:
    for i in range(2):
        (tmp_path / f"h={i}").mkdir()
        write_parquet(tmp_path / f"h={i}" / "a.parquet", case_rows(2, first=2 * i))
    assert ids(read_all(ReadFiles(f"{tmp_path}/h=*/*.parquet", 100))) == numbered(4)
    assert ids(read_all(ReadFiles(f"{tmp_path}/**.parquet", 100))) == numbered(4)


@pytest.mark.parametrize("source", ["cases_{partition}.parquet", "file://{here}/cases_{partition}.parquet"])
def test_source_is_found_from_another_folder(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """A worker of Flink has another working directory than the launcher."""
    write_parquet(tmp_path / "cases_20261120.parquet", case_rows(2))
    monkeypatch.chdir(tmp_path)
    read = ReadCases(settings(source.replace("{here}", str(tmp_path)), DAY), "staging")
    monkeypatch.chdir("/")
    assert ids(read_all(read)) == numbered(2)


def test_small_files_share_batches(tmp_path: Path, read_all: ReadAll) -> None:
    for i in range(40):
        write_parquet(tmp_path / f"{i:02d}.parquet", case_rows(5, first=5 * i))
    batches = read_all(ReadFiles(f"{tmp_path}/*.parquet", 50))
    assert ids(batches) == numbered(200)
    assert [batch.num_rows for batch in batches] == [50] * 4


def test_small_files_of_other_types_keep_them(tmp_path: Path, read_all: ReadAll) -> None:
    write_parquet(tmp_path / "a.parquet", case_rows(2))
    write_parquet(tmp_path / "b.parquet", rows(case_id=pa.array([7, 8])))
    batches = read_all(ReadFiles(f"{tmp_path}/*.parquet", 50))
    assert sorted(
        batch.column("case_id").to_pylist() for batch in batches if batch.column("case_id").type == "int64"
    ) == [[7, 8]]
    assert sum(batch.num_rows for batch in batches) == 4


SIZES = st.lists(st.tuples(st.sampled_from([".parquet", ".jsonl"]), st.integers(0, 10 * 2**20)), max_size=400)


@given(SIZES)
def test_groups_hold_each_file_once_and_few_bytes(sizes: list[tuple[str, int]]) -> None:
    files = [FileMetadata(f"{i}{suffix}", size) for i, (suffix, size) in enumerate(sizes)]
    groups = _grouped(files)
    assert [name for group in groups for name in group] == [file.path for file in files]
    size_of = {file.path: file.size_in_bytes for file in files}
    for group in groups:
        assert len(group) == 1 or sum(size_of[name] for name in group) <= 8 * 2**20
        assert len(group) <= 100
        assert len({Path(name).suffix for name in group}) == 1


@pytest.mark.parametrize("year", [1, 1816, 2026, 9999])
def test_int96_timestamp_of_any_year_is_read(tmp_path: Path, read_all: ReadAll, year: int) -> None:
    time = dt.datetime(year, 11, 20, 10, tzinfo=dt.timezone.utc)
    table = pa.Table.from_batches([case_rows(1)])
    column = pa.array([time], pa.timestamp("us", "UTC"))
    table = table.set_column(table.schema.get_field_index("timestamp"), "timestamp", column)
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)

    (batch,) = read_all(ReadFiles(str(tmp_path / "a.parquet"), 100))
    assert pa.compute.year(batch.column("timestamp")).to_pylist() == [year]
