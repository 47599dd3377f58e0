"""JSONL files read by a real runner: rows as BigQuery or a script writes them, or an error that names the file."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pcc.cases import faults
from beam_pcc.cases.validation import validate
from beam_pcc.sources.files import ReadFiles
from tests.inputs import VECTOR

ReadAll = Callable[..., list[pa.RecordBatch]]
ErrorOf = Callable[[Path], str]


def as_json(i: int, **changed: Any) -> dict[str, Any]:
    """A row as JSONL holds it."""
    sound = {"case_id": f"c{i:03d}", "embedding_vector": VECTOR.tolist(), "timestamp": "2026-11-20T10:00:00Z"}
    return sound | changed


def jsonl(*objects: dict[str, Any]) -> bytes:
    return "".join(json.dumps(o) + "\n" for o in objects).encode()


def read_jsonl(read_all: ReadAll, path: Path, content: bytes) -> list[dict[str, Any]]:
    """The rows of a JSONL file with this content, by case_id."""
    path.write_bytes(content)
    found = [row for batch in read_all(ReadFiles(str(path), 100)) for row in batch.to_pylist()]
    return sorted(found, key=lambda row: str(row["case_id"]))


def test_jsonl_rows_come_out_as_they_were_written_without_other_fields(tmp_path: Path, read_all: ReadAll) -> None:
    objects = [as_json(0, text="my address is ..."), as_json(1, nested={"a": [1]}), as_json(2)]
    found = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(*objects))
    assert found == [as_json(0), as_json(1), as_json(2)]


def test_jsonl_vectors_may_be_base64_as_bigquery_exports_bytes(tmp_path: Path, read_all: ReadAll) -> None:
    raw = VECTOR.astype("<f4").tobytes()
    encoded = base64.b64encode(raw).decode()
    content = jsonl(*(as_json(i, embedding_vector=v) for i, v in enumerate([encoded, "not base64!", None])))

    found = read_jsonl(read_all, tmp_path / "a.jsonl", content)

    assert [row["embedding_vector"] for row in found] == [raw, b"", None]


def test_jsonl_vectors_of_whole_numbers_are_numbers(tmp_path: Path, read_all: ReadAll) -> None:
    (row,) = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(as_json(0, embedding_vector=[1] * 584)))
    assert row["embedding_vector"] == [1.0] * 584


def test_jsonl_ids_may_be_integers(tmp_path: Path, read_all: ReadAll) -> None:
    found = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(as_json(0, case_id=7), as_json(1, case_id=8)))
    assert [row["case_id"] for row in found] == [7, 8]


def test_a_jsonl_row_without_a_field_is_left_to_validation(tmp_path: Path, read_all: ReadAll) -> None:
    content = jsonl(as_json(0), {"case_id": "c001"}, as_json(2, embedding_vector=None))
    (tmp_path / "a.jsonl").write_bytes(content)

    (batch,) = read_all(ReadFiles(str(tmp_path / "a.jsonl"), 100))

    assert validate(batch)[1].column("reason").to_pylist() == [faults.MISSING_VECTOR.code] * 2


def test_jsonl_values_that_are_null_at_first_do_not_tell_the_type(tmp_path: Path, read_all: ReadAll) -> None:
    raw = VECTOR.astype("<f4").tobytes()
    encoded = base64.b64encode(raw).decode()
    content = jsonl(
        as_json(0, case_id=None, embedding_vector=None),
        {},
        as_json(1, case_id=7, embedding_vector=None),
        as_json(2, case_id=8, embedding_vector=encoded),
    )

    found = read_jsonl(read_all, tmp_path / "a.jsonl", content)

    assert [row["case_id"] for row in found] == [7, 8, None, None]
    assert [row["embedding_vector"] for row in found] == [None, raw, None, None]


def test_jsonl_of_nothing_but_nulls_is_left_to_validation(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(*(as_json(i, case_id=None, embedding_vector=None) for i in range(3))))

    (batch,) = read_all(ReadFiles(str(tmp_path / "a.jsonl"), 100))

    assert validate(batch)[1].column("reason").to_pylist() == [faults.MISSING_CASE_ID.code] * 3


def test_jsonl_may_have_blank_lines_and_no_last_newline(tmp_path: Path, read_all: ReadAll) -> None:
    content = b"\n" + jsonl(as_json(0)) + b"\r\n\n" + jsonl(as_json(1)).rstrip()
    assert read_jsonl(read_all, tmp_path / "a.jsonl", content) == [as_json(0), as_json(1)]


def test_rows_below_many_blank_lines_are_not_lost(tmp_path: Path, read_all: ReadAll) -> None:
    content = b" \n" * 5_000_000 + jsonl(as_json(0))
    assert [row["case_id"] for row in read_jsonl(read_all, tmp_path / "a.jsonl", content)] == ["c000"]


def test_a_jsonl_file_larger_than_a_block_is_read_whole(tmp_path: Path, read_all: ReadAll) -> None:
    objects = [as_json(i, padding="x" * 200_000) for i in range(90)]  # 18 MB; a block is 8
    found = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(*objects))
    assert [row["case_id"] for row in found] == [f"c{i:03d}" for i in range(90)]


def test_jsonl_may_be_packed_with_gzip(tmp_path: Path, read_all: ReadAll) -> None:
    packed = gzip.compress(jsonl(as_json(0), as_json(1)))
    assert read_jsonl(read_all, tmp_path / "a.jsonl.gz", packed) == [as_json(0), as_json(1)]


def test_packed_jsonl_may_be_several_packed_files_joined(tmp_path: Path, read_all: ReadAll) -> None:
    packed = gzip.compress(jsonl(as_json(0))) + gzip.compress(jsonl(as_json(1)))
    assert read_jsonl(read_all, tmp_path / "a.jsonl.gz", packed) == [as_json(0), as_json(1)]


def test_packed_jsonl_cut_off_between_two_rows_is_an_error_and_not_a_shorter_file(
    tmp_path: Path, error_of: ErrorOf
) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    first_row = packer.compress(jsonl(as_json(0))) + packer.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "a.jsonl.gz").write_bytes(first_row)  # unpacks to one whole row, but has no end

    assert "is cut off: its gzip data have no end" in error_of(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize("missing", [1, 9, 60])
def test_packed_jsonl_cut_off_is_an_error_that_names_it(tmp_path: Path, error_of: ErrorOf, missing: int) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(*(as_json(i) for i in range(9))))[:-missing])

    assert "is cut off: its gzip data have no end" in error_of(path)


@pytest.mark.parametrize("batch_rows", [1, 6, 100])
def test_no_batch_is_larger_than_asked_for(tmp_path: Path, read_all: ReadAll, batch_rows: int) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(*(as_json(i) for i in range(13))))

    batches = read_all(ReadFiles(str(tmp_path / "a.jsonl"), batch_rows))

    assert sum(b.num_rows for b in batches) == 13
    assert max(b.num_rows for b in batches) == min(batch_rows, 13)


@pytest.mark.parametrize("content", [b"", b"\n  \n", b"\xef\xbb\xbf"], ids=["empty", "blank", "mark"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_jsonl_without_rows_is_an_error(tmp_path: Path, error_of: ErrorOf, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert "is empty" in error_of(tmp_path / name)


def utf(encoding: str) -> bytes:
    return jsonl(as_json(0), as_json(1)).decode().encode(encoding)


BAD_JSONL = {
    "cut off": (jsonl(as_json(0), as_json(1))[:-100], "is cut off: it ends within line 2"),
    "cut off in the first row": (jsonl(as_json(0))[:100], "is cut off: it ends within line 1"),
    "cut off in a string": (jsonl(as_json(0)) + b'{"case_id": "a", "text": "br{}', "it ends within line 2"),
    "UTF-16": (utf("utf-16"), "is UTF-16"),
    "UTF-16 LE without a mark": (utf("utf-16-le"), "is UTF-16"),
    "UTF-16 BE without a mark": (utf("utf-16-be"), "is UTF-16"),
    "UTF-32": (utf("utf-32-be"), "UTF-32"),
    "Parquet": (b"PAR1 and more", "is Parquet"),
    "lists": (b"[1, 2]\n[1, 2]\n", "no line of it is a JSON object (line 1: it is a list"),
    "an array over several lines": (b"[\n" + b",\n".join([jsonl(as_json(0))] * 2) + b"]\n", "is a JSON array"),
    "objects over several lines": (json.dumps(as_json(0), indent=1).encode(), "no line of it is a JSON object"),
    "without a field": (b'{"case_id": "a", "timestamp": "x"}\n' * 2, "its rows have no embedding_vector"),
}


@pytest.mark.parametrize(("content", "said"), BAD_JSONL.values(), ids=BAD_JSONL.keys())
def test_bad_jsonl_is_an_error_that_names_the_file(
    tmp_path: Path, error_of: ErrorOf, content: bytes, said: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    assert said in error_of(tmp_path / "a.jsonl")
