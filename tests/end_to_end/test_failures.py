"""Runs that cannot succeed: one clear line, the right exit code, nothing published, a failed row."""

import json
import pickle
import shutil
import signal
import time
from pathlib import Path
from subprocess import TimeoutExpired

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cli import main as cli
from tests.end_to_end.conftest import DAY, Ended, Workspace
from tests.end_to_end.test_run import good_rows

pytestmark = pytest.mark.end_to_end


def one_line(ended: Ended) -> str:
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("beam-pcc: ")
    assert "Traceback" not in line
    return line


def assert_failed(workspace: Workspace, ended: Ended, code: int, *words: str) -> None:
    """Ended with this code and these words on one line; a failed row says the same; the earlier partition stands."""
    assert ended.code == code
    line = one_line(ended)
    for word in words:
        assert word in line
    failed = workspace.monitoring()[-1]
    assert failed["status"] == "failed"
    assert failed["error_message"] == line.removeprefix("beam-pcc: ")
    ((published,),) = workspace.query("SELECT count(*) FROM pcc_inference_output WHERE run_id = ?", failed["run_id"])
    assert published == 0


def test_a_missing_file(workspace: Workspace) -> None:
    ended = workspace.run(workspace.folder / "cases_{partition}.parquet")

    assert_failed(workspace, ended, 2, f"cases_{DAY}.parquet", "matches no file")


def test_a_truncated_parquet_file(workspace: Workspace) -> None:
    workspace.run()
    before = workspace.published()
    file = workspace.folder / "cases.parquet"
    pq.write_table(good_rows(200), file)
    file.write_bytes(file.read_bytes()[:-1000])
    ended = workspace.run(file)

    assert_failed(workspace, ended, 1, str(file), "Parquet")
    assert workspace.published() == before


def test_damaged_parquet_is_detected_by_checksums(workspace: Workspace) -> None:
    file = workspace.folder / "cases.parquet"
    pq.write_table(good_rows(200), file, write_page_checksum=True)
    data = bytearray(file.read_bytes())
    data[5_000:9_000] = bytes(4_000)
    file.write_bytes(data)

    assert_failed(workspace, workspace.run(file), 1, str(file), "Parquet")


def test_one_bad_file_publishes_nothing(workspace: Workspace) -> None:
    pq.write_table(good_rows(200), workspace.folder / "a.parquet")
    (workspace.folder / "b.parquet").write_text("not Parquet")

    assert_failed(workspace, workspace.run(workspace.folder / "*.parquet"), 1, "b.parquet")
    assert workspace.published() == []


def test_a_file_without_the_vector_column(workspace: Workspace) -> None:
    file = workspace.folder / "cases.parquet"
    pq.write_table(good_rows(20).drop_columns(["embedding_vector"]), file)

    assert_failed(workspace, workspace.run(file), 1, str(file), "no column embedding_vector")


def test_a_vector_column_of_the_wrong_type(workspace: Workspace) -> None:
    file = workspace.folder / "cases.parquet"
    table = good_rows(20)
    pq.write_table(table.set_column(1, "embedding_vector", pa.array([True] * len(table))), file)

    assert_failed(workspace, workspace.run(file), 1, str(file), "embedding_vector is bool")


def test_truncated_jsonl_names_file_and_quotes_nothing(workspace: Workspace) -> None:
    file = workspace.folder / "cases.jsonl"
    row = {"case_id": "a", "embedding_vector": [0.0] * 584, "timestamp": "2026-11-20T10:00:00Z"}
    file.write_text(json.dumps(row) + '\n{"case_id": "b", "text": "my secret words", "embedding')

    ended = workspace.run(file)
    assert_failed(workspace, ended, 1, str(file), "is cut off: it ends within line 2")
    assert "secret" not in ended.err


def test_hostile_model_runs_no_code(workspace: Workspace) -> None:
    canary = workspace.folder / "canary"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (canary,)

    version = workspace.folder / "models" / "v20261120_020000"
    version.mkdir(parents=True)
    (version / "model.joblib").write_bytes(pickle.dumps(Payload()))
    ended = workspace.run("sample://100", "--models", version.parent)

    assert_failed(workspace, ended, 2, str(version / "model.joblib"), "not an allowed")
    assert not canary.exists()


def test_a_digest_that_does_not_match(workspace: Workspace) -> None:
    ended = workspace.run("sample://100", "--model_sha256", "0" * 64)

    assert_failed(workspace, ended, 2, "model.joblib", "--model_sha256")


def test_missing_registry(workspace: Workspace) -> None:
    ended = workspace.run("sample://100", "--models", workspace.folder / "nowhere")

    assert_failed(workspace, ended, 2, "nowhere", "beam-pcc train")


def test_model_changed_after_launch_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker reads the file again: what it loads must be what was checked."""
    from beam_pcc.pipeline import launch

    models = workspace.folder / "models"
    shutil.copytree(workspace.models, models)
    model = next(models.iterdir()) / "model.joblib"
    checked = launch.load_models

    def swap_after(settings: object) -> object:
        versions = checked(settings)
        model.write_bytes(model.read_bytes() + b"x")
        return versions

    monkeypatch.setattr(launch, "load_models", swap_after)
    ended = workspace.run("sample://100", "--models", models)

    assert_failed(workspace, ended, 2, str(model), "digest")


def refused_after(workspace: Workspace, change: str) -> str:
    """The error of a run whose tables were changed after their creation."""
    workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    workspace.query(f"ALTER TABLE pcc_inference_output {change}")
    ended = workspace.run()
    assert ended.code == 2
    return one_line(ended)


def test_a_table_with_a_column_of_another_type(workspace: Workspace) -> None:
    error = refused_after(workspace, "ALTER COLUMN confidence TYPE VARCHAR")
    assert "pcc_inference_output.confidence is VARCHAR, not DOUBLE" in error


def test_a_table_that_lacks_a_column(workspace: Workspace) -> None:
    error = refused_after(workspace, "DROP COLUMN prediction_notes")
    assert "pcc_inference_output lacks prediction_notes" in error
    mended = workspace.call("tables", "create", "--warehouse", workspace.warehouse, "--add_columns")
    assert "added pcc_inference_output.prediction_notes" in mended.out
    assert workspace.run().code == 0


def test_a_warehouse_that_is_no_duckdb_file(workspace: Workspace) -> None:
    workspace.warehouse.write_text("something else entirely")
    ended = workspace.run()

    assert ended.code == 2
    assert "is not a DuckDB file" in one_line(ended)


def test_a_staging_folder_that_cannot_be_written(workspace: Workspace) -> None:
    (workspace.folder / "file").touch()
    ended = workspace.run("sample://100", "--staging", workspace.folder / "file" / "folder")

    assert_failed(workspace, ended, 2, "--staging", "file/folder cannot be written", "check the path and the rights")


def test_a_query_that_cannot_be_run(workspace: Workspace) -> None:
    workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    ended = workspace.call("tables", "query", "--warehouse", workspace.warehouse, "SELECT * FROM nothing")

    assert ended.code == 2
    assert "the query cannot be run: " in one_line(ended)


def test_query_creates_no_warehouse(workspace: Workspace) -> None:
    ended = workspace.call("tables", "query", "--warehouse", workspace.warehouse, "SELECT 1")

    assert ended.code == 2
    assert "is not there" in one_line(ended)
    assert not workspace.warehouse.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--partition", "2026-13-01"], "not a date"),
        (["--max_drop_rate", "2"], "--max_drop_rate"),
        (["--model_version", "v1", "--force_latest"], "exclude each other"),
        (["--sorce", "x"], "did you mean --source?"),
        (["--runner", "FnApiRunner", "--nonsense"], "unknown argument --nonsense"),
        (["--batch_rows", "many"], "--batch_rows"),
        (["--source", "bq://p.d.t"], "bq://"),
        (["--source", "sample://x"], "sample://ROWS"),
        (["--warehouse", "folder/"], ".duckdb"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(workspace: Workspace, flags: list[str], words: str) -> None:
    try:
        ended = workspace.run("sample://10", *flags)
    except SystemExit as stopped:  # argparse's own way out
        ended = Ended(int(stopped.code or 0), "", workspace.capture.readouterr().err)

    assert ended.code == 2
    assert words in one_line(ended)


def test_traceback_is_printed_only_with_debug(workspace: Workspace) -> None:
    process = workspace.spawn("run", "--partition", DAY, *workspace.flags("missing.parquet"), "--debug")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "Traceback" in err


def test_second_process_waits_for_the_lock(workspace: Workspace) -> None:
    workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    with duckdb.connect(str(workspace.warehouse)):
        process = workspace.spawn("run", "--partition", DAY, *workspace.flags())
        with pytest.raises(TimeoutExpired):
            process.communicate(timeout=8)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "published" in out


def test_lock_held_beyond_timeout_is_a_failure(workspace: Workspace) -> None:
    workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    with duckdb.connect(str(workspace.warehouse)):
        process = workspace.spawn("run", "--partition", DAY, *workspace.flags(), "--lock_timeout", 0.5)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "held by another process" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_stopped_run_leaves_failed_row_only(workspace: Workspace, number: signal.Signals) -> None:
    process = workspace.spawn("run", "--partition", DAY, *workspace.flags("sample://400000"))
    wait_for_staged_rows(workspace)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.strip().splitlines()[-1] == f"beam-pcc: stopped by {number.name}"
    assert [row["status"] for row in workspace.monitoring()] == ["failed"]
    assert workspace.published() == []
    assert not list(workspace.folder.glob("*.staging/*"))


def test_repeated_ctrl_c_leaves_failed_row(workspace: Workspace) -> None:
    """The row waits here, for somebody who holds the file: all that time a second Ctrl-C must not end it."""
    workspace.call("tables", "create", "--warehouse", workspace.warehouse)
    process = workspace.spawn("run", "--partition", DAY, *workspace.flags("sample://400000"))
    wait_for_staged_rows(workspace)
    with duckdb.connect(str(workspace.warehouse)):
        for _ in range(10):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.strip().splitlines()[-1] == "beam-pcc: stopped by SIGINT"
    assert [row["status"] for row in workspace.monitoring()] == ["failed"]


def wait_for_staged_rows(workspace: Workspace) -> None:
    deadline = time.monotonic() + 60
    while not list(workspace.folder.glob("*.staging/*/predictions-*")) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "--help"])

    assert stopped.value.code == 0
    assert "exit codes" in capsys.readouterr().out
