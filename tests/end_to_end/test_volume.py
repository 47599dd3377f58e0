"""Days that shrank, and sources that come late: whole runs on files and DuckDB."""

import datetime as dt
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.sources import synthetic
from beam_pcc.sources.sample import ReadSample
from beam_pcc.sources.volume import SourceVolume
from tests.end_to_end.conftest import DATE, DAY, Workspace

pytestmark = pytest.mark.end_to_end


def write(folder: Path, *files: int, suffix: str = "parquet") -> Path:
    """Files of so many sound rows each, and the pattern that matches them."""
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_batches([synthetic.cases(2_000, DATE, chunk=0)])
    sound = table.take(
        [i for i in range(len(table)) if i % synthetic.BROKEN_EVERY not in synthetic.BROKEN_AT and i != 83]
    )
    first = 0
    for number, rows in enumerate(files):
        part = sound.slice(first, rows)
        first += rows
        path = folder / f"{number}.{suffix}"
        if suffix == "parquet":
            pq.write_table(part, path)
        else:
            lines = [{**row, "timestamp": row["timestamp"].isoformat()} for row in part.to_pylist()]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / f"*.{suffix}"


def alerts(workspace: Workspace) -> list[tuple[str, str]]:
    """Name and action of each alert of the newest run."""
    return [(alert["name"], alert["action"]) for alert in json.loads(workspace.monitoring()[-1]["alerts"])]


def test_day_that_shrank_is_refused_and_the_published_stays(workspace: Workspace) -> None:
    assert workspace.run("sample://2000").code == 0
    before = workspace.published()
    ended = workspace.run("sample://3")

    assert ended.code == 3
    assert "3 rows are 0.1% of the 2,000 that are published for this day" in ended.out
    assert workspace.published() == before
    newest = workspace.monitoring()[-1]
    assert (newest["status"], newest["source_rows"], newest["total_cases"]) == ("refused", 3, 3)
    assert alerts(workspace) == [("share of the day's published rows", "refuse")]


def test_accepted_volume_is_published_and_recorded(workspace: Workspace) -> None:
    workspace.run("sample://2000")
    assert workspace.run("sample://3", "--accept_volume").code == 0

    assert len(workspace.published()) == 3
    assert alerts(workspace) == [("share of the day's published rows", "accepted")]


def test_min_volume_zero_is_published_and_recorded(workspace: Workspace) -> None:
    workspace.run("sample://2000")
    assert workspace.run("sample://3", "--min_volume", 0).code == 0

    assert len(workspace.published()) == 3
    assert "not compared with other days (--min_volume 0)" in workspace.monitoring()[-1]["notes"]


def test_day_below_the_last_days_is_refused(workspace: Workspace) -> None:
    for day in ("20261117", "20261118", "20261119"):
        assert workspace.run("sample://300", day=day).code == 0
    ended = workspace.run("sample://149")

    assert ended.code == 3
    assert "149 rows are 49.7% of the 300 that the last 3 published days have in the median" in ended.out
    assert workspace.query("SELECT count(*) FROM pcc_inference_output WHERE partition_date = '2026-11-20'") == [(0,)]


def test_first_days_are_published_without_history(workspace: Workspace) -> None:
    assert workspace.run("sample://300", day="20261119").code == 0
    assert workspace.run("sample://3").code == 0


def test_monitoring_row_counts_the_source_of_parquet(workspace: Workspace) -> None:
    ended = workspace.run(write(workspace.folder / "in", 30, 12))

    (row,) = workspace.monitoring()
    assert (row["source_rows"], row["source_files"], row["total_cases"]) == (42, 2, 42)
    assert abs(row["source_modified"].timestamp() - time.time()) < 300
    assert "of a source with 42 rows, 2 files, changed" in ended.out


def test_monitoring_row_counts_the_source_of_jsonl(workspace: Workspace) -> None:
    workspace.run(write(workspace.folder / "in", 30, 12, suffix="jsonl"))

    (row,) = workspace.monitoring()
    assert (row["source_rows"], row["source_files"]) == (42, 2)


def test_source_that_lost_rows_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadSample, "volume", lambda self: SourceVolume(rows=501))
    ended = workspace.run("sample://500")

    assert ended.code == 3
    assert "500 rows read of 501 that the source had at launch" in ended.out


def test_empty_day_stays_an_empty_day(workspace: Workspace) -> None:
    workspace.run("sample://500")
    before = workspace.published()
    empty = workspace.folder / "empty.parquet"
    types = {"case_id": pa.string(), "embedding_vector": pa.list_(pa.float32()), "timestamp": pa.timestamp("us", "UTC")}
    pq.write_table(pa.table({name: pa.array([], types[name]) for name in schemas.INPUT_COLUMNS}), empty)

    assert workspace.run(empty).code == 0
    assert workspace.published() == before
    assert workspace.monitoring()[-1]["status"] == "empty"
    assert alerts(workspace) == [("share of the day's published rows", "alert")]


def test_a_broken_footer_is_a_failure_at_launch(workspace: Workspace) -> None:
    pattern = write(workspace.folder / "in", 30)
    (workspace.folder / "in" / "1.parquet").write_bytes(b"PAR1 cut off")
    ended = workspace.run(pattern)

    assert ended.code == 1
    assert "1.parquet cannot be read as Parquet" in ended.err
    assert [row["status"] for row in workspace.monitoring()] == ["failed"]


def later(seconds: float, do: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, do)
    timer.start()
    return timer


def test_source_that_comes_late_is_waited_for(workspace: Workspace) -> None:
    folder = workspace.folder / "in"
    timer = later(1, lambda: write(folder, 30))
    ended = workspace.run(folder / "*.parquet", "--wait_for_source", "30s")
    timer.join()

    assert ended.code == 0, ended.err
    assert len(workspace.published()) == 30


def test_file_that_still_grows_is_waited_for(workspace: Workspace) -> None:
    file = write(workspace.folder / "in", 30, suffix="jsonl").parent / "0.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:1]))

    def append() -> None:
        for line in lines[1:]:
            with file.open("a") as more:
                more.write(line)
            time.sleep(0.1)

    timer = later(0, append)
    ended = workspace.run(file, "--wait_for_source", "40s")
    timer.join()

    assert ended.code == 0, ended.err
    assert len(workspace.published()) == 30


def test_source_that_never_comes_is_an_error(workspace: Workspace) -> None:
    ended = workspace.run(workspace.folder / "none.parquet", "--wait_for_source", "1s")

    assert ended.code == 2
    assert "waited 1s for the source in vain (--wait_for_source): --source " in ended.err
    assert [row["status"] for row in workspace.monitoring()] == ["failed"]


def test_wrong_model_is_reported_before_the_wait(workspace: Workspace) -> None:
    ended = workspace.run(
        workspace.folder / "none.parquet", "--wait_for_source", "1h", "--model_version", "v20200101_000000"
    )
    assert ended.code == 2
    assert "v20200101_000000" in ended.err


def waiting_line(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for the source" in line:
            return
    raise AssertionError("it does not wait")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("command", ["run", "jobjar"])
def test_wait_ends_on_a_signal(workspace: Workspace, number: signal.Signals, command: str) -> None:
    output = ["--output", workspace.folder / "job.jar"] if command == "jobjar" else []
    flags = workspace.flags(workspace.folder / "none.parquet", "--wait_for_source", "1h", *output)
    process = workspace.spawn(command, "--partition", DAY, *flags)
    waiting_line(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.strip().splitlines()[-1] == f"beam-pcc: stopped by {number.name}"
    assert not list(workspace.folder.glob("*.staging/*"))


def repeated(workspace: Workspace, *changes: dict[str, object]) -> Path:
    """40 rows, and the first again for each change: its other values by column."""
    pattern = write(workspace.folder / "in", 40)
    rows = pq.read_table(pattern.parent / "0.parquet")
    again = [{**rows.slice(0, 1).to_pylist()[0], **change} for change in changes]
    pq.write_table(pa.concat_tables([rows, pa.Table.from_pylist(again, rows.schema)]), pattern.parent / "0.parquet")
    return pattern


def test_exact_copies_are_dropped_and_counted(workspace: Workspace) -> None:
    ended = workspace.run(repeated(workspace, *[{}] * 12))

    assert ended.code == 0, ended.out
    (row,) = workspace.monitoring()
    assert (row["total_cases"], row["passed_validation"], row["dropped_cases"], row["exact_copies"]) == (52, 40, 0, 12)
    assert (len(workspace.published()), workspace.query("SELECT count(*) FROM pcc_quarantine")) == (40, [(0,)])
    assert "copies             12" in ended.out


def test_rows_that_share_only_an_id_are_duplicates(workspace: Workspace) -> None:
    other_time = {"timestamp": dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc)}
    other_vector = {"embedding_vector": [0.0] * 583 + [1.0]}
    ended = workspace.run(repeated(workspace, {}, other_time, other_vector))

    assert ended.code == 0, ended.out
    (row,) = workspace.monitoring()
    assert (row["passed_validation"], row["exact_copies"]) == (40, 1)
    assert json.loads(row["reject_reasons"]) == {"duplicate_case_id": 2}
    details = workspace.query("SELECT DISTINCT detail FROM pcc_quarantine")
    assert details == [("one of 3 rows with this case_id; the latest is kept",)]


def test_duplicates_still_count_against_the_drop_rate(workspace: Workspace) -> None:
    others = [{"embedding_vector": [0.0] * 583 + [float(n)]} for n in range(1, 7)]
    assert workspace.run(repeated(workspace, *others)).code == 3


def test_copies_do_not_hide_rejected_rows(workspace: Workspace) -> None:
    broken = [{"case_id": f"broken {n}", "embedding_vector": [1.0]} for n in range(6)]
    ended = workspace.run(repeated(workspace, *broken, *[{}] * 100))

    assert ended.code == 3
    assert "13.0% of the rows rejected" in ended.out
