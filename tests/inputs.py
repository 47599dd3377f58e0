"""Input rows as sources hold them: sound ones, but for what a test makes of them."""

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.cases.validation import validate
from beam_pcc.config.settings import RunConfig

DIM = schemas.VECTOR_DIM
TIME = dt.datetime(2026, 11, 20, 10, tzinfo=dt.timezone.utc)
DAY = TIME.date()
VECTOR = np.arange(DIM) / 1_024  # exact even as float16
DOUBLES = pa.list_(pa.float64())
LISTS = [
    make(kind)
    for kind in (pa.float16(), pa.float32(), pa.float64())
    for make in (pa.list_, pa.large_list, lambda kind: pa.list_(kind, DIM), pa.list_view, pa.large_list_view)
]
TENSORS = [pa.fixed_shape_tensor(pa.float32(), shape) for shape in ([DIM], [1, DIM, 1])]
BYTES = [pa.binary(), pa.large_binary(), pa.binary(DIM * 4), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.json_()]
VECTOR_TYPES = LISTS + TENSORS + BYTES + TEXTS


def vectors(values: list[Any], kind: pa.DataType = DOUBLES) -> pa.Array:
    """A column of vectors, or of None, in the way that a source of that type holds them."""
    if isinstance(kind, pa.DictionaryType):
        return vectors(values, kind.value_type).dictionary_encode()
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, vectors(values, kind.storage_type))
    if kind in BYTES:
        return pa.array([None if v is None else np.asarray(v, "<f4").tobytes() for v in values], kind)
    if kind in TEXTS:
        return pa.array([None if v is None else json.dumps(np.asarray(v).tolist()) for v in values], kind)
    dtype = f"f{kind.value_type.bit_width // 8}"
    return pa.array([None if v is None else np.asarray(v, dtype) for v in values], kind)


def rows(case_id: Any = None, vector: Any = None, timestamp: Any = None) -> pa.RecordBatch:
    """Sound rows but for the columns given, as lists or as Arrow arrays; one row if none is given."""
    n = next((len(column) for column in (case_id, vector, timestamp) if column is not None), 1)
    if not isinstance(vector, pa.Array):
        vector = vectors([VECTOR + i for i in range(n)] if vector is None else vector)
    columns = [
        pa.array([f"c{i}" for i in range(n)] if case_id is None else case_id),
        vector,
        pa.array([TIME] * n, pa.timestamp("us", "UTC")) if timestamp is None else pa.array(timestamp),
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(schemas.INPUT_COLUMNS))


def cases(n: int) -> pa.RecordBatch:
    """n sound cases, as validation passes them on."""
    return validate(rows(case_id=pa.array([f"c{i}" for i in range(n)], pa.string())))[0]


def not_utf8(kind: pa.DataType, values: list[bytes]) -> pa.Array:
    """A string column that holds what is not UTF-8: Parquet files may, and Arrow does not check."""
    if kind == pa.string_view():
        return pa.array(values, pa.binary_view()).view(kind)
    return pa.array(values, pa.large_binary() if kind == pa.large_string() else pa.binary()).view(kind)


def settings(source: str, day: dt.date = DAY, **more: Any) -> RunConfig:
    """The settings of a run that reads `source`."""
    return RunConfig.of(day, source=source, warehouse="pcc.duckdb", models="models", **more)


def printed_by(code: str) -> str:
    """What these lines of Python print in a process of their own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by_help(command: str, *heavy: str, also: str = "") -> tuple[str, list[str]]:
    """What `beam-pcc COMMAND --help` prints in a process of its own, and which of these packages it has loaded."""
    code = (
        "import json, sys\nfrom beam_pcc.cli import main as cli\n"
        f"try: cli.main([{command!r}, '--help'])\n"
        f"except SystemExit: pass\n{also}\n"
        f"print(json.dumps(sorted({set(heavy)!r} & set(sys.modules))), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout, json.loads(ended.stderr)
