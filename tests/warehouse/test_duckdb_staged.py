"""What the DuckDB warehouse publishes of staged files: each case once, and only rows that were audited."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.cases import schemas
from beam_pcc.errors import WarehouseError
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.statistics import RunStats, score_histogram
from beam_pcc.publishing.warehouse.base import Run, StagedFigures, StagedFile
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse

DAY = dt.date(2026, 11, 20)
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)
RUN = Run("run", DAY, NOW, "v20261101_000000", "m", "f" * 64)
Row = dict[str, Any]


def row(case_id: str, hour: int = 0, digest: int = 0, confidence: float = 0.75, subtype: str | None = None) -> Row:
    return {
        "case_id": case_id,
        "predicted_label": "PC" if subtype else "NOT_PC",
        "subtype_label": subtype,
        "confidence": confidence,
        "inference_timestamp": NOW,
        "prediction_notes": "review: margin 0.010" if confidence < 0.6 else None,
        "case_timestamp": NOW.replace(hour=hour),
        "content_digest": digest,
    }


def stage(folder: Path, files: Sequence[Sequence[Row]], rejected: int = 0, name: str = "staged") -> list[StagedFile]:
    """Each list of rows as a file, and one of rejected rows, if there are any."""
    staged = []
    for number, rows in enumerate(files):
        path = folder / f"{name}-{number}.parquet"
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schemas.STAGED_PREDICTIONS), path)
        staged.append(StagedFile("predictions", str(path), len(rows)))
    if rejected:
        reasons = [{"case_id": None, "reason": "missing_case_id", "detail": "no case_id"}] * rejected
        path = folder / f"{name}-rejected.parquet"
        pq.write_table(pa.Table.from_pylist(reasons, schema=schemas.STAGED_REJECTED), path)
        staged.append(StagedFile("rejected", str(path), rejected))
    return staged


def publish(warehouse: DuckDBWarehouse, files: list[StagedFile]) -> StagedFigures:
    with warehouse.load(RUN, files) as staged:
        figures = staged.figures()
        staged.publish(audited_row(RUN, figures, RunStats(rows_read=sum(file.rows for file in files)), None, ()))
    return figures


def published(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(duckdb.connect(str(folder / "pcc.duckdb"), read_only=True)) as connection:
        return connection.execute(sql).fetchall()


OUTPUT = "SELECT case_id, confidence, subtype_label FROM pcc_inference_output ORDER BY ALL"
QUARANTINE = "SELECT case_id, reason, detail FROM pcc_quarantine ORDER BY ALL"

ROWS = st.builds(
    row,
    st.sampled_from(["", "a", "b", "c", "é"]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([0.5, 0.75, 0.95]),
    st.sampled_from([None, "access", "deletion"]),
)


def best_first(rows: list[Row]) -> list[Row]:
    """By confidence, label and subtype, as the contract orders rows of one case (null last)."""
    rows = sorted(rows, key=lambda one: (one["subtype_label"] is None, one["subtype_label"] or ""))
    return sorted(rows, key=lambda one: (one["confidence"], one["predicted_label"]), reverse=True)


def expected(rows: list[Row]) -> tuple[list[Row], Counter[tuple[str, int]], int]:
    """The published rows, the number of rows of each case with rejected ones, once for each of these; exact copies."""
    cases: dict[str, dict[tuple[Any, ...], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for one in rows:
        cases[one["case_id"]][one["case_timestamp"], one["content_digest"]].append(one)
    kept, rejected, copies = [], Counter[tuple[str, int]](), 0
    for case_id, contents in cases.items():
        copies += sum(len(same) - 1 for same in contents.values())
        of_case = best_first([best_first(same)[0] for same in contents.values()])
        kept.append(sorted(of_case, key=lambda one: one["case_timestamp"], reverse=True)[0])
        if len(of_case) > 1:
            rejected[case_id, len(of_case)] += len(of_case) - 1
    return kept, rejected, copies


@settings(max_examples=40)
@given(st.lists(st.lists(ROWS, max_size=6), max_size=3))
def test_each_case_is_published_once(files: list[list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = publish(DuckDBWarehouse(str(folder / "pcc.duckdb")), stage(folder, files))
        output, quarantine = published(folder, OUTPUT), published(folder, QUARANTINE)

    kept, rejected, copies = expected([one for rows in files for one in rows])
    by_id = {one["case_id"]: one for one in kept}
    assert [line[0] for line in output] == sorted(by_id)
    assert all((line[1], line[2]) == (by_id[line[0]]["confidence"], by_id[line[0]]["subtype_label"]) for line in output)
    details = Counter(
        (case_id, "duplicate_case_id", f"one of {rows} rows with this case_id; the latest is kept")
        for case_id, rows in rejected.elements()
    )
    assert Counter(quarantine) == details
    assert (figures.predictions, figures.distinct_case_ids, figures.copies) == (len(kept), len(kept), copies)
    assert figures.rejected.total() == rejected.total()
    assert figures.review == sum(one["confidence"] < 0.6 for one in kept)
    scores = [one["confidence"] if one["predicted_label"] == "PC" else 1 - one["confidence"] for one in kept]
    assert figures.score_histogram == score_histogram(np.array(scores))
    assert figures.positive == sum(one["predicted_label"] == "PC" for one in kept)


class SameHash(DuckDBWarehouse):
    """A warehouse in which all ids have one hash."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        session = self._file.session

        @contextlib.contextmanager
        def with_macro() -> Iterator[duckdb.DuckDBPyConnection]:
            with session() as connection:
                connection.execute("CREATE TEMP MACRO hash(anything) AS 7::UBIGINT")
                assert connection.execute("SELECT hash('a') = hash('b')").fetchone() == (True,)
                yield connection

        self._file.session = with_macro  # type: ignore[method-assign]


def test_cases_that_share_a_hash_are_published(tmp_path: Path) -> None:
    figures = publish(SameHash(str(tmp_path / "pcc.duckdb")), stage(tmp_path, [[row("a"), row("b")], [row("a", 1)]]))

    assert [line[0] for line in published(tmp_path, OUTPUT)] == ["a", "b"]
    assert (figures.predictions, figures.distinct_case_ids) == (2, 2)
    assert figures.rejected == {"duplicate_case_id": 1}


def test_duplicates_that_were_kept_are_counted(tmp_path: Path) -> None:
    """The audit counts ids in what is to be published, whatever was left out of it before."""
    files = stage(tmp_path, [[row("a"), row("b"), row("a", 1)]])
    with DuckDBWarehouse(str(tmp_path / "pcc.duckdb")).load(RUN, files) as staged:
        staged._connection.execute("DELETE FROM left_out")
        figures = staged.figures()

    assert (figures.predictions, figures.distinct_case_ids) == (3, 2)


@pytest.mark.parametrize(("predictions", "rejected"), [(1, 2), (2, 4)])
def test_rows_that_changed_after_the_audit_are_refused(tmp_path: Path, predictions: int, rejected: int) -> None:
    warehouse = DuckDBWarehouse(str(tmp_path / "pcc.duckdb"))
    publish(warehouse, stage(tmp_path, [[row("old")]]))
    files = stage(tmp_path, [[row("a"), row("b")]], rejected=2, name="new")

    with warehouse.load(RUN, files) as staged:
        monitoring = audited_row(RUN, staged.figures(), RunStats(rows_read=4), None, ())
        for file in stage(tmp_path, [[row("a"), row("b")][:predictions]], rejected=rejected, name="new"):
            os.utime(file.uri, (2e9, 2e9))  # DuckDB caches what it read, and looks at the time of a file
        with pytest.raises(
            WarehouseError, match=r"was not changed: 2 staged rows were audited, and [14] are there now"
        ):
            staged.publish(monitoring)

    assert [line[0] for line in published(tmp_path, OUTPUT)] == ["old"]
    assert published(tmp_path, QUARANTINE) == []


@pytest.mark.parametrize("name", ["it's", 'a "b"', "[ab]", "*", "a,b", "x; --", "%s", "{x}"])
def test_file_is_loaded_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-0.parquet").write_bytes(b"of another run")
    figures = publish(
        DuckDBWarehouse(str(tmp_path / "pcc.duckdb")), stage(tmp_path, [[row("a")]], rejected=1, name=name)
    )
    assert (figures.predictions, figures.rejected.total()) == (1, 1)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (64, 2)])
def test_writer_has_few_threads_on_any_machine(tmp_path: Path, cores: int, threads: int) -> None:
    """Each thread holds rows in memory that cannot spill."""
    code = (
        f"import os, sys; os.cpu_count = lambda: {cores}\n"
        "from beam_pcc.publishing.warehouse.duckdb.file import DuckDBFile\n"
        "with DuckDBFile(sys.argv[1], 1).session() as connection:\n"
        "    print(connection.execute(\"SELECT current_setting('threads')\").fetchone()[0])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "pcc.duckdb")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"{threads}\n"
