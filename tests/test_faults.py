"""The table of faults: complete, in one order, told in the contracts as it is declared, and silent about content."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.faults import Fault, TextColumn, VectorColumn

CONTRACTS = (Path(__file__).parent.parent / "docs/contracts.md").read_text()
SOUND: dict[str, Any] = {
    "case_id": pa.array(["c0"]),
    "text": TextColumn(pa.array(["delete me"]), np.array([True])),
    "embedding_vector": VectorColumn(
        np.zeros((1, schemas.VECTOR_DIM), np.float32), np.array([float(schemas.VECTOR_DIM)]), np.array([True])
    ),
    "timestamp": pa.array([0], pa.timestamp("us", "UTC")),
}
FAULTY: dict[str, Any] = {
    "missing_case_id": pa.array([" "]),
    "malformed_row": SOUND["embedding_vector"]._replace(unreadable=np.array([True])),
    "empty_text": TextColumn(pa.array([""]), np.array([False])),
    "missing_vector": VectorColumn(np.empty((0, schemas.VECTOR_DIM), np.float32), np.array([0.0]), np.array([False])),
    "wrong_dimension": VectorColumn(np.empty((0, schemas.VECTOR_DIM), np.float32), np.array([3.0]), np.array([False])),
    "non_finite": SOUND["embedding_vector"]._replace(values=np.full((1, schemas.VECTOR_DIM), np.nan, np.float32)),
    "bad_timestamp": pa.array([None], pa.timestamp("us", "UTC")),
}
SEEN_BY_VALIDATION = [fault for fault in faults.FAULTS if fault.has_fault is not None]


def test_the_contracts_list_the_faults_in_order() -> None:
    section = CONTRACTS.partition("## Reason codes\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE) == [
        (fault.code, fault.meaning) for fault in faults.FAULTS
    ]


def test_every_declared_fault_is_in_the_table_once() -> None:
    declared = [value for value in vars(faults).values() if isinstance(value, Fault)]

    assert sorted(fault.code for fault in declared) == sorted(fault.code for fault in faults.FAULTS)
    assert len({fault.code for fault in declared}) == len(declared)


@pytest.mark.parametrize("fault", SEEN_BY_VALIDATION, ids=lambda fault: fault.code)
def test_a_row_with_one_fault_is_rejected_for_it(fault: Fault) -> None:
    valid, rejected = faults.split({**SOUND, fault.column: FAULTY[fault.code]})

    assert not valid.any()
    assert rejected.column("reason").to_pylist() == [fault.code]
    assert rejected.column("detail").to_pylist() != [""]


@given(st.sets(st.sampled_from([fault.code for fault in SEEN_BY_VALIDATION])))
def test_a_row_with_several_faults_gets_the_first(codes: set[str]) -> None:
    chosen = [fault for fault in SEEN_BY_VALIDATION if fault.code in codes]
    columns = {**SOUND, **{fault.column: FAULTY[fault.code] for fault in reversed(chosen)}}
    valid, rejected = faults.split(columns)

    assert rejected.column("reason").to_pylist() == [fault.code for fault in chosen[:1]]
    assert valid.tolist() == [not chosen]


def test_fault_of_a_missing_column_is_ignored() -> None:
    columns = {name: column for name, column in SOUND.items() if name != "embedding_vector"}
    assert faults.split(columns)[0].tolist() == [True]
