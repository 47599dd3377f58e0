"""What a file of labels is read as, and what becomes of rows that are none."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError
from beam_pcc.feedback.labels import CLOCK_SKEW, MAX_TEXT, REASONS, Labels, read_labels

NOW = dt.datetime(2026, 11, 29, 10, tzinfo=dt.timezone.utc)
TIME = "2026-11-23T10:00:00Z"
AT = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)
ROW = {"case_id": "a", "label": "PC", "source": "team", "time": TIME}


def jsonl(folder: Path, *rows: Any) -> str:
    path = folder / "labels.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def parquet(folder: Path, **columns: Any) -> str:
    path = folder / "labels.parquet"
    n = max(len(column) for column in columns.values()) if columns else 1
    pq.write_table(pa.table({**{name: [value] * n for name, value in ROW.items()}, **columns}), path)
    return str(path)


def of_csv(folder: Path, text: str) -> Labels:
    path = folder / "labels.csv"
    path.write_text(text)
    return read_labels(str(path), NOW)


def column(labels: Labels, name: str) -> list[Any]:
    values: list[Any] = labels.table.column(name).to_pylist()
    return values


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(["a", "b"]), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([7, 2**62], pa.int64()), ["7", str(2**62)]),
        (pa.array([UUID(int=1).bytes, UUID(int=2).bytes], pa.uuid()), [str(UUID(int=1)), str(UUID(int=2))]),
    ],
    ids=["string", "large", "view", "category", "integer", "uuid"],
)
def test_ids_of_any_kind_are_text(tmp_path: Path, ids: pa.Array, expected: list[str]) -> None:
    assert column(read_labels(parquet(tmp_path, case_id=ids), NOW), "case_id") == expected


@pytest.mark.parametrize(
    "times",
    [
        pa.array([AT], pa.timestamp("us", "UTC")),
        pa.array([AT.replace(tzinfo=None)], pa.timestamp("ns")),
        pa.array(["2026-11-23T10:00:00"]),
        pa.array(["20261123T110000+0100"]),
        pa.array(["2026-11-23 10:00Z"]).dictionary_encode(),
    ],
    ids=["utc", "naive nanoseconds", "text", "basic form", "category"],
)
def test_times_of_any_kind_are_utc(tmp_path: Path, times: pa.Array) -> None:
    assert column(read_labels(parquet(tmp_path, time=times), NOW), "label_time") == [AT]


@pytest.mark.parametrize(
    "days",
    [
        pa.array([20261120]),
        pa.array([20261120.0, None]),
        pa.array(["20261120"]),
        pa.array(["2026-11-20"]),
        pa.array([dt.date(2026, 11, 20)]),
        pa.array([dt.datetime(2026, 11, 20, 23)]),
    ],
    ids=["integer", "float", "basic", "iso", "date", "time"],
)
def test_partitions_of_any_kind_are_days(tmp_path: Path, days: pa.Array) -> None:
    labels = read_labels(parquet(tmp_path, partition=days), NOW)
    assert column(labels, "partition_date")[0] == dt.date(2026, 11, 20)
    assert labels.rejected == []


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("case_id", pa.array([1.5]), "column case_id is double, not STRING, UUID or an integer"),
        ("label", pa.array([1]), "column label is int64, not STRING"),
        ("time", pa.array([1_700_000_000]), "column time is int64, not TIMESTAMP, DATE or an ISO 8601 STRING"),
        ("weight", pa.array([[1.0]]), "column weight is list<"),
    ],
)
def test_columns_of_another_type_are_refused(tmp_path: Path, name: str, values: pa.Array, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        read_labels(parquet(tmp_path, **{name: values}), NOW)


FAULTY: list[tuple[str, Any]] = [
    ("malformed_row", "no json"),
    ("malformed_row", "[1]"),
    ("malformed_row", ROW | {"label": 1}),
    ("malformed_row", ROW | {"time": 1_700_000_000}),
    ("malformed_row", ROW | {"weight": True}),
    ("malformed_row", '{"case_id": "a", "case_id": "b", "label": "PC"}'),
    ("missing_case_id", ROW | {"case_id": None}),
    ("missing_case_id", ROW | {"case_id": "  "}),
    ("missing_label", ROW | {"label": " "}),
    ("bad_label", ROW | {"label": "pc"}),
    ("bad_label", ROW | {"label": "PC/payment"}),
    ("bad_source", ROW | {"source": None}),
    ("bad_source", ROW | {"source": "x" * (MAX_TEXT + 1)}),
    ("bad_source", ROW | {"stratum": "x" * (MAX_TEXT + 1)}),
    ("bad_time", ROW | {"time": "soon"}),
    ("bad_time", ROW | {"time": None}),
    ("future_time", ROW | {"time": "2026-11-30"}),
    ("bad_partition", ROW | {"partition": "last week"}),
    ("bad_weight", ROW | {"weight": 0.5}),
    ("bad_weight", ROW | {"weight": "many"}),
    ("bad_weight", ROW | {"weight": 2, "drawn": 0}),
    ("bad_weight", ROW | {"weight": 2, "drawn": 10**30}),
]


@pytest.mark.parametrize(("reason", "row"), FAULTY, ids=[f"{reason}-{n}" for n, (reason, _) in enumerate(FAULTY)])
def test_each_faulty_row_costs_itself_alone(tmp_path: Path, reason: str, row: Any) -> None:
    labels = read_labels(jsonl(tmp_path, ROW, row, ROW | {"case_id": "b"}), NOW)
    assert [(rejected.number, rejected.reason) for rejected in labels.rejected] == [(2, reason)]
    assert column(labels, "case_id") == ["a", "b"]
    assert reason in REASONS


def test_every_reason_is_tried() -> None:
    assert {reason for reason, _ in FAULTY} | {"contradicting_label"} == set(REASONS)


def test_time_within_the_clock_skew_is_no_future(tmp_path: Path) -> None:
    times = [(NOW + CLOCK_SKEW).isoformat(), (NOW + CLOCK_SKEW + dt.timedelta(seconds=1)).isoformat()]
    labels = read_labels(jsonl(tmp_path, *(ROW | {"time": time} for time in times)), NOW)
    assert [row.number for row in labels.rejected] == [2]


def test_two_labels_of_one_time_contradict_each_other(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"label": "NOT_PC"}, ROW | {"source": "other"}]
    labels = read_labels(jsonl(tmp_path, *rows), NOW)
    assert [(row.number, row.reason) for row in labels.rejected] == [(n, "contradicting_label") for n in (1, 2)]
    assert column(labels, "source") == ["other"]


def test_rows_that_repeat_another_are_counted(tmp_path: Path) -> None:
    labels = read_labels(jsonl(tmp_path, ROW, ROW, ROW | {"time": "2026-11-23T11:00:00+01:00"}), NOW)
    assert (len(labels.table), labels.copies) == (1, 2)


def test_rows_without_a_source_get_the_named_one(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {name: value for name, value in ROW.items() if name != "source"}, ROW | {"case_id": "b"})
    assert column(read_labels(path, NOW, "queue"), "source") == ["queue", "team"]


def test_names_of_columns_are_matched_without_case(tmp_path: Path) -> None:
    labels = read_labels(jsonl(tmp_path, {name.upper(): value for name, value in ROW.items()}), NOW)
    assert column(labels, "label") == ["PC"]


def test_packed_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(ROW).encode()))
    assert column(read_labels(str(path), NOW), "case_id") == ["a"]


def test_csv_keeps_the_zeros_of_an_id(tmp_path: Path) -> None:
    labels = of_csv(tmp_path, f'case_id,label,source,time,weight\n007,PC,"a ""team""",{TIME},2.5\n8,NOT_PC,t,{TIME},\n')
    assert column(labels, "case_id") == ["007", "8"]
    assert column(labels, "source") == ['a "team"', "t"]
    assert column(labels, "weight") == [2.5, None]


def test_csv_rows_with_other_columns_are_named(tmp_path: Path) -> None:
    labels = of_csv(tmp_path, f"case_id,label,source,time\na,PC,t,{TIME}\nb,PC\n\nc,PC,t,{TIME},more\nd,PC,t,{TIME}\n")
    assert [(row.number, row.reason) for row in labels.rejected] == [(3, "malformed_row"), (5, "malformed_row")]
    assert column(labels, "case_id") == ["a", "d"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.txt", b"x", "is neither .parquet nor .jsonl nor .csv"),
        ("labels.jsonl", b"", "is empty"),
        ("labels.jsonl", b'[\n{"case_id": "a"}\n]', "is a JSON array and not JSONL"),
        ("labels.jsonl", b'{"case_id": "a"}\n{"case_id": "b"}\n', "has no column label"),
        ("labels.jsonl", b'{"case_id": "a", "label": "PC"}\n{"case_id": "b', "is cut off"),
        ("labels.parquet", b"PAR1", "cannot be read as Parquet"),
        ("labels.csv", b"case_id,label,time\na,PC,2026-11-23\n", "has no column source .* name it with --label_source"),
        ("labels.csv", b"case_id,label\xff\n", "it is not UTF-8"),
        ("missing.csv", None, "missing.csv"),
    ],
)
def test_files_that_cannot_be_labels_are_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        read_labels(str(path), NOW)


def test_what_is_refused_is_not_quoted(tmp_path: Path) -> None:
    path = jsonl(tmp_path, ROW | {"label": "my secret"}, '{"label": "my secret', ROW | {"my secret": 1, "time": "no"})
    labels = read_labels(path, NOW)
    assert "secret" not in str(labels.rejected)
    assert "secret" not in str(labels.table.to_pylist())


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2)
)


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20).filter(str.strip),
            st.fixed_dictionaries(
                {},
                optional={
                    "case_id": st.one_of(st.sampled_from(["a", "b"]), VALUES),
                    "label": st.one_of(st.sampled_from(["PC", "NOT_PC"]), VALUES),
                    "source": st.one_of(st.just("team"), VALUES),
                    "time": st.one_of(st.sampled_from([TIME, "2027-01-01"]), VALUES),
                    "partition": VALUES,
                    "weight": VALUES,
                    "drawn": VALUES,
                    "sample": VALUES,
                },
            ),
        ),
        max_size=6,
    )
)
def test_every_row_comes_out_exactly_once(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("labels")
    path = jsonl(folder, ROW, ROW | {"case_id": "second"}, *rows, ROW | {"case_id": "last"})
    labels = read_labels(path, NOW)
    assert labels.rows == len(rows) + 3
    assert labels.table.schema.equals(schemas.LABELS)
    assert column(labels, "case_id")[-1] == "last"
    assert len({row.number for row in labels.rejected}) == len(labels.rejected)
