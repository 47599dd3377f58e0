"""JSONL files read by a real runner: rows as BigQuery or a script writes them, or an error that names the file."""

import base64
import gzip
import json
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.text_validation import validate_texts
from beam_pcc.cases.validation import validate
from beam_pcc.errors import SourceError
from beam_pcc.sources import jsonl as jsonl_module
from beam_pcc.sources.files import ReadFiles
from beam_pcc.sources.jsonl import read_jsonl as read_jsonl_file
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


def test_jsonl_rows_are_read_without_other_fields(tmp_path: Path, read_all: ReadAll) -> None:
    objects = [as_json(0, text="my address is ..."), as_json(1, nested={"a": [1]}), as_json(2)]
    found = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(*objects))
    assert found == [as_json(0), as_json(1), as_json(2)]


def test_jsonl_vectors_may_be_base64(tmp_path: Path, read_all: ReadAll) -> None:
    raw = VECTOR.astype("<f4").tobytes()
    encoded = base64.b64encode(raw).decode()
    content = jsonl(*(as_json(i, embedding_vector=v) for i, v in enumerate([encoded, None])))

    found = read_jsonl(read_all, tmp_path / "a.jsonl", content)

    assert [row["embedding_vector"] for row in found] == [encoded, None]


KEYS = {
    "as they are": {},
    "other case": {"case_id": "Case_Id", "embedding_vector": "EMBEDDING_VECTOR", "timestamp": "timeStamp"},
    "mapped": {"case_id": "id", "embedding_vector": "vec (584)", "timestamp": "created.at"},
    "mapped, other case": {"case_id": "ID", "embedding_vector": "Vec (584)", "timestamp": "Created.At"},
}
COLUMNS = {"case_id": "id", "embedding_vector": "VEC (584)", "timestamp": "created.at"}


def renamed(row: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    return {keys.get(name, name): value for name, value in row.items()}


@pytest.mark.parametrize("spelling", KEYS)
def test_keys_match_without_case(tmp_path: Path, read_all: ReadAll, spelling: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(*(renamed(as_json(i, other=1), KEYS[spelling]) for i in range(3))))
    columns = COLUMNS if "mapped" in spelling else {}
    (batch,) = read_all(ReadFiles(str(tmp_path / "a.jsonl"), 100, None, columns))
    assert batch.to_pylist() == [as_json(i) for i in range(3)]


@given(st.lists(st.sampled_from([key for key in KEYS if "mapped" in key]), min_size=1, max_size=6), st.booleans())
def test_each_row_may_spell_its_keys(spellings: list[str], texts: bool) -> None:
    objects = [renamed(as_json(i, Message=f"m{i}"), KEYS[spelling]) for i, spelling in enumerate(spellings)]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        Path(file.name).write_bytes(jsonl(*objects))
        batches, rejected = split(read_jsonl_file(file.name, "message" if texts else None, COLUMNS))
    found = [row for batch in batches for row in batch.to_pylist()]
    assert sorted(row["case_id"] for row in found) == [f"c{i:03d}" for i in range(len(spellings))]
    assert all(row["timestamp"] == as_json(0)["timestamp"] for row in found)
    assert all(row["message"] == f"m{int(row['case_id'][1:])}" for row in found if texts)
    assert rejected == []


def test_mapped_key_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(as_json(0), as_json(1)))
    with pytest.raises(SourceError, match=r"its rows have no id \(they have: embedding_vector, timestamp\)"):
        list(read_jsonl_file(str(tmp_path / "a.jsonl"), None, {"case_id": "id"}))


def test_jsonl_vectors_of_whole_numbers_are_numbers(tmp_path: Path, read_all: ReadAll) -> None:
    (row,) = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(as_json(0, embedding_vector=[1] * 584)))
    assert row["embedding_vector"] == [1.0] * 584


def test_jsonl_ids_may_be_integers(tmp_path: Path, read_all: ReadAll) -> None:
    found = read_jsonl(read_all, tmp_path / "a.jsonl", jsonl(as_json(0, case_id=7), as_json(1, case_id=8)))
    assert [row["case_id"] for row in found] == [7, 8]


def test_jsonl_row_without_a_field_is_left_to_validation(tmp_path: Path, read_all: ReadAll) -> None:
    content = jsonl(as_json(0), {"case_id": "c001"}, as_json(2, embedding_vector=None))
    (tmp_path / "a.jsonl").write_bytes(content)

    (batch,) = read_all(ReadFiles(str(tmp_path / "a.jsonl"), 100))

    assert validate(batch)[1].column("reason").to_pylist() == [faults.MISSING_VECTOR.code] * 2


def test_jsonl_leading_nulls_do_not_set_the_type(tmp_path: Path, read_all: ReadAll) -> None:
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
    assert [row["embedding_vector"] for row in found] == [None, encoded, None, None]


def test_jsonl_of_only_nulls_is_left_to_validation(tmp_path: Path, read_all: ReadAll) -> None:
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


def test_truncated_gzip_jsonl_is_an_error(tmp_path: Path, error_of: ErrorOf) -> None:
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


def split(batches: Iterable[pa.RecordBatch]) -> tuple[list[pa.RecordBatch], list[dict[str, Any]]]:
    """Batches of rows, and the rejected rows."""
    sound: list[pa.RecordBatch] = []
    rejected: list[dict[str, Any]] = []
    for batch in batches:
        if batch.schema.equals(schemas.STAGED_REJECTED):
            rejected += batch.to_pylist()
        else:
            sound.append(batch)
    return sound, rejected


def outcome(path: Path, content: bytes, text_column: str | None = None) -> tuple[list[Any], list[dict[str, Any]]]:
    """The ids of the rows that validation accepts, and what was rejected by the reader and by validation."""
    path.write_bytes(content)
    batches, rejected = split(read_jsonl_file(str(path), text_column))
    sound: list[Any] = []
    for batch in batches:
        if text_column is None:
            accepted, more = validate(batch)
        else:
            accepted, with_vector, more = validate_texts(batch, text_column)
            sound += with_vector.column("case_id").to_pylist()
        sound += accepted.column("case_id").to_pylist()
        rejected += more.to_pylist()
    return sorted(sound), rejected


def line(**changed: Any) -> bytes:
    return jsonl(as_json(1, **changed))


def raw_line(json_text: bytes) -> bytes:
    """A line with a field that is not read, as it is written."""
    return line(x=1).replace(b'"x": 1}', b'"x": ' + json_text + b"}")


DEEP = b"[" * 100_000 + b"]" * 100_000
VALUES = VECTOR.tolist()
ODD_LINES = {
    "id with a fraction": (line(case_id=1.5), None, "case_id is a number, not text or a whole number"),
    "id that is true": (line(case_id=True), None, "case_id is true or false"),
    "id that is an object": (line(case_id={"a": 1}), None, "case_id is an object"),
    "half a pair in the id": (line(case_id="a\ud83d"), None, "case_id has half a surrogate pair"),
    "text in a vector": (line(embedding_vector=["x", *VALUES[1:]]), "c001", "holds text at position 0"),
    "NaN as text": (line(embedding_vector=[*VALUES[1:], "NaN"]), "c001", "holds text at position 583"),
    "true in a vector": (line(embedding_vector=[True, *VALUES[1:]]), "c001", "holds true or false at position 0"),
    "a list in a vector": (line(embedding_vector=[VALUES]), "c001", "holds a list at position 0"),
    "a vector that is a number": (line(embedding_vector=1), "c001", "embedding_vector is a number, not a list"),
    "a vector that is an object": (line(embedding_vector={}), "c001", "embedding_vector is an object"),
    "too large": (line().replace(b"[", b"[1e999,", 1), "c001", "holds a number beyond float64 at position 0"),
    "epoch seconds": (line(timestamp=1795168800), "c001", "timestamp is a number, not text"),
    "epoch milliseconds": (line(timestamp=1795168800000.0), "c001", "timestamp is a number, not text"),
    "an id twice": (b'{"case_id": "b", ' + line()[1:], None, "case_id is there twice"),
    "an id in two spellings": (b'{"Case_ID": "b", ' + line()[1:], None, "Case_ID and case_id differ in case only"),
    "a time in two spellings": (line(TIMESTAMP=None), "c001", "timestamp and TIMESTAMP differ in case only"),
    "a time twice": (b'{"timestamp": "b", ' + line()[1:], "c001", "timestamp is there twice"),
    "a list": (b"[1]\n", None, "it is a list, not an object"),
    "null": (b"null\n", None, "it is null, not an object"),
    "text": (b'"a"\n', None, "it is text, not an object"),
    "two objects": (line().strip() + line(), "c001", "Extra data at character"),
    "an object and null": (line().strip() + b" null\n", "c001", "Extra data at character"),
    "no end": (line().strip()[:-1] + b"\n", "c001", "Expecting"),
    "cut within": (line()[:40] + b"\n", "c001", "at character"),
    "cut within a number": (b'{"case_id": 12\n', None, "at character"),
    "cut behind a number": (b'{"case_id": 12, "x\n', "12", "at character"),
    "a key that is null": (b'{null: 1, "case_id": "a"}\n', None, "Expecting property name"),
    "a key that is a number": (b'{1: 1, "case_id": "a"}\n', None, "Expecting property name"),
    "words": (b"<html>\n", None, "Expecting value at character 1"),
    "not UTF-8": (raw_line(b'"\xff"').replace(b'"c001"', b"1.5"), None, "it is not UTF-8"),
    "deep": (raw_line(DEEP).replace(b'"c001"', b"1.5"), None, "it is nested too deeply"),
}


@pytest.mark.parametrize(("odd", "case_id", "fault"), ODD_LINES.values(), ids=ODD_LINES.keys())
def test_odd_line_costs_only_itself(tmp_path: Path, odd: bytes, case_id: str | None, fault: str) -> None:
    content = jsonl(as_json(0)) + b"\n" + odd + jsonl(as_json(2))
    sound, rejected = outcome(tmp_path / "a.jsonl", content)
    assert sound == ["c000", "c002"]
    assert [row["reason"] for row in rejected] == [faults.MALFORMED_ROW.code]
    assert rejected[0]["detail"].startswith("line 3: ")
    assert fault in rejected[0]["detail"]
    assert rejected[0]["case_id"] == case_id


@pytest.mark.parametrize(("odd", "case_id", "fault"), ODD_LINES.values(), ids=ODD_LINES.keys())
def test_odd_first_line_costs_only_itself(tmp_path: Path, odd: bytes, case_id: str | None, fault: str) -> None:
    sound, rejected = outcome(tmp_path / "a.jsonl", odd + jsonl(as_json(2), as_json(3)))
    assert sound == ["c002", "c003"]
    assert [row["case_id"] for row in rejected] == [case_id]
    assert rejected[0]["detail"].startswith("line 1: ")
    assert fault in rejected[0]["detail"]


ACCEPTED_LINES = {
    "whole number as id": (line(case_id=7), "7"),
    "an id beyond int64": (line(case_id=10**25), str(10**25)),
    "20 MB that are not read": (line(attachment="A" * 20_000_000), "c001"),
    "100,000 levels that are not read": (raw_line(DEEP), "c001"),
    "1e999 that is not read": (raw_line(b"1e999"), "c001"),
    "half a pair that is not read": (line(x="\ud83d"), "c001"),
    "not UTF-8, not read": (raw_line(b'"\xff"'), "c001"),
    "a key twice that is not read": (line(x=1).replace(b"{", b'{"x": 2, ', 1), "c001"),
    "CR LF": (line().replace(b"\n", b"\r\n"), "c001"),
    "whole numbers": (line(embedding_vector=[0] * 584), "c001"),
    "a vector as JSON": (line(embedding_vector=json.dumps(VALUES)), "c001"),
    "other spelling": (line().replace(b"case_id", b"Case_ID").replace(b"timestamp", b"TimeStamp"), "c001"),
    "other spelling within": (line(x={"Case_ID": "b", "TIMESTAMP": 1}), "c001"),
    "other spelling in text": (line(x='"Case_ID": 1'), "c001"),
    "base64": (line(embedding_vector=base64.b64encode(VECTOR.astype("<f4").tobytes()).decode()), "c001"),
}


@pytest.mark.parametrize(("odd", "case_id"), ACCEPTED_LINES.values(), ids=ACCEPTED_LINES.keys())
def test_unusual_line_is_a_row(tmp_path: Path, odd: bytes, case_id: str) -> None:
    sound, rejected = outcome(tmp_path / "a.jsonl", jsonl(as_json(0)) + odd + jsonl(as_json(2)))
    assert sound == sorted(["c000", case_id, "c002"])
    assert rejected == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), None])
def test_value_that_is_not_finite_is_left_to_validation(tmp_path: Path, number: float | None) -> None:
    odd = line(embedding_vector=[number, *VALUES[1:]])
    sound, rejected = outcome(tmp_path / "a.jsonl", jsonl(as_json(0)) + odd)
    assert sound == ["c000"]
    assert [row["reason"] for row in rejected] == [faults.NON_FINITE.code]


def text_line(i: int, **changed: Any) -> bytes:
    return jsonl({"case_id": f"c{i:03d}", "text": "where is it?", "timestamp": "2026-11-20T10:00:00Z"} | changed)


@pytest.mark.parametrize("value", [4711, False, ["a"], {"a": "b"}], ids=str)
def test_message_that_is_no_text_costs_its_row(tmp_path: Path, value: Any) -> None:
    content = text_line(0) + text_line(1, text=value) + text_line(2)
    sound, rejected = outcome(tmp_path / "a.jsonl", content, "text")
    assert sound == ["c000", "c002"]
    assert [(row["case_id"], row["reason"]) for row in rejected] == [("c001", "malformed_row")]
    assert rejected[0]["detail"].startswith("line 2: text is ")
    assert "4711" not in rejected[0]["detail"]


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_half_a_surrogate_pair_in_a_message_is_replaced(tmp_path: Path, half: str) -> None:
    odd = text_line(1, text="thanks !").replace(b"!", half.encode())
    (tmp_path / "a.jsonl").write_bytes(text_line(0) + odd)
    batches, rejected = split(read_jsonl_file(str(tmp_path / "a.jsonl"), "text"))
    assert sorted(text for b in batches for text in b.column("text").to_pylist()) == ["thanks \ufffd", "where is it?"]
    assert rejected == []


def test_vector_beside_a_message_is_not_judged(tmp_path: Path) -> None:
    content = text_line(0) + text_line(1, embedding_vector=["NaN"]) + text_line(2, text="", embedding_vector=["NaN"])
    sound, rejected = outcome(tmp_path / "a.jsonl", content, "text")
    assert sound == ["c000", "c001"]
    assert [row["case_id"] for row in rejected] == ["c002"]


def test_overlong_line_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_module, "MAX_LINE", 2**20)
    monkeypatch.setattr(jsonl_module, "_BLOCK", 2**18)
    content = jsonl(as_json(0), as_json(1, x="A" * 3_000_000), as_json(2)) + line(x="B" * 2_000_000).rstrip()
    sound, rejected = outcome(tmp_path / "a.jsonl", content)
    assert sound == ["c000", "c002"]
    assert [row["detail"] for row in rejected] == [f"line {n}: it is longer than 1 MiB" for n in (2, 4)]
    assert [row["case_id"] for row in rejected] == ["c001", "c001"]


def test_line_numbers_count_over_blocks_and_blank_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_module, "_BLOCK", 30_000)
    lines = [b"\n" if i % 7 == 2 else jsonl(as_json(i)) for i in range(90)]
    lines[80] = lines[81].strip()[:-1] + b"\n"
    _, rejected = outcome(tmp_path / "a.jsonl", b"".join(lines))
    assert [row["detail"].partition(":")[0] for row in rejected] == ["line 81"]


def test_packed_and_unpacked_is_told_by_content(tmp_path: Path) -> None:
    assert outcome(tmp_path / "a.jsonl.gz", jsonl(as_json(0)))[0] == ["c000"]
    assert outcome(tmp_path / "a.jsonl", gzip.compress(jsonl(as_json(0))))[0] == ["c000"]


@pytest.mark.parametrize("at", [0.02, 0.5, 0.98])
def test_damaged_gzip_is_not_called_cut_off(tmp_path: Path, error_of: ErrorOf, at: float) -> None:
    packed = bytearray(gzip.compress(jsonl(*(as_json(i, x=i) for i in range(9)))))
    for place in range(3):
        packed[int(len(packed) * at) + place + 12 * (at < 0.1)] ^= 0xFF
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    assert "damaged" in error_of(tmp_path / "a.jsonl.gz")


TOKENS = [
    b"null",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\r",
    b"1e999",
    b"\\ud83d",
    b"\xff",
    b"\0",
    b"NaN",
    b"true",
]
EDITS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 8), st.sampled_from([b"", *TOKENS])), max_size=4)


def test_rows_of_two_lines_do_not_cancel_out(tmp_path: Path) -> None:
    """As many objects as lines: yet one line has two, and one object has two lines."""
    over_two = line().strip()[:-1] + b', "x":\n{}}\n'
    sound, rejected = outcome(tmp_path / "a.jsonl", jsonl(as_json(0)) + line().strip() + line() + over_two)
    assert sound == ["c000"]
    assert [row["detail"].partition(":")[0] for row in rejected] == ["line 2", "line 3", "line 4"]


@given(st.lists(st.one_of(st.none(), EDITS), min_size=1, max_size=6))
def test_sound_rows_survive_any_neighbour(tmp_path_factory: pytest.TempPathFactory, edits: list[Any]) -> None:
    """Each line is one row, accepted or rejected once, and sound ones are accepted whatever is beside them."""
    lines = []
    for i, edit in enumerate([None, *edits]):
        content = jsonl(as_json(i)).rstrip()
        for at, removed, added in edit or ():
            content = content[:at] + added + content[at + removed :]
        lines.append(content)
    sound, rejected = outcome(tmp_path_factory.mktemp("jsonl") / "a.jsonl", b"\n".join([*lines, b""]))
    assert {f"c{i:03d}" for i, edit in enumerate([None, *edits]) if edit is None} <= set(sound)
    assert len(sound) + len(rejected) == sum(1 for content in lines if content.strip(b" \t\r\n"))


FIELDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3),
    max_leaves=4,
)


@given(st.lists(st.dictionaries(st.sampled_from(schemas.INPUT_COLUMNS), FIELDS), min_size=1, max_size=5))
def test_mistyped_fields_cost_their_rows(tmp_path_factory: pytest.TempPathFactory, changes: list[Any]) -> None:
    content = jsonl(as_json(0), *(as_json(i + 1, **changed) for i, changed in enumerate(changes)), as_json(99))
    sound, rejected = outcome(tmp_path_factory.mktemp("jsonl") / "a.jsonl", content)
    assert {"c000", "c099"} <= set(sound)
    assert len(sound) + len(rejected) == len(changes) + 2


def test_line_of_many_small_values_stays_small(tmp_path: Path) -> None:
    """A list of n empty lists has 3 n bytes, and some 64 n when Python has parsed it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(raw_line(b"[" + b"[]," * 5_000_000 + b"1]") + line())
    tracemalloc.start()
    batches, rejected = split(read_jsonl_file(str(path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(batch.num_rows for batch in batches) == 2
    assert rejected == []
    assert peak < 8 * path.stat().st_size
