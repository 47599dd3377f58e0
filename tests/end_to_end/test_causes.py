"""Runs that fail by the machine or the model: the line names the cause, and the published day stands."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from beam_pcc.errors import WarehouseError
from beam_pcc.errors.bisecting import FAILURES
from beam_pcc.models.loading import ModelFile
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from tests.end_to_end.conftest import DAY, Workspace
from tests.end_to_end.test_failures import assert_failed
from tests.machines import small_disk

pytestmark = pytest.mark.end_to_end


def fail_in_workers(monkeypatch: pytest.MonkeyPatch, fail: Callable[[], object]) -> list[int]:
    """Let the model fail in the workers; a process of its own checked it at launch. Returns the rows of each call."""
    sizes: list[int] = []
    load = ModelFile.load

    def load_broken(file: ModelFile) -> Any:
        def predict_proba(vectors: np.ndarray) -> object:
            sizes.append(len(vectors))
            return fail()

        model = load(file)
        model.predict_proba = predict_proba
        return model

    monkeypatch.setattr(ModelFile, "load", load_broken)
    return sizes


def test_model_that_fails_on_every_row_is_the_cause(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.run()
    before = workspace.published()
    sizes = fail_in_workers(monkeypatch, lambda: int("a secret"))
    ended = workspace.run("sample://20000")

    (version,) = (path.name for path in workspace.models.iterdir())
    assert_failed(workspace, ended, 1, f"the model {version} fails on every row (ValueError)")
    assert "secret" not in ended.err
    assert workspace.published() == before
    assert len(sizes) < 10 * FAILURES  # of the few batches that were on their way


def test_shadow_that_fails_on_every_row_stops_no_day(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from beam_pcc.pipeline.shadow import CompareShadow

    setup = CompareShadow.setup

    def setup_broken(step: CompareShadow) -> None:
        setup(step)
        step._model.predict_proba = lambda vectors: int("a secret")

    monkeypatch.setattr(CompareShadow, "setup", setup_broken)
    (version,) = (path.name for path in workspace.models.iterdir())
    models, shadow = workspace.folder / "models", "v20991231_000000"
    for name in (version, shadow):
        shutil.copytree(workspace.models / version, models / name)
    ended = workspace.run("sample://500", "--models", models, "--model_version", version, "--shadow_version", shadow)

    assert ended.code == 0
    assert f"the shadow {shadow} fails on every row (ValueError); it is compared on none" in caplog.text


def test_memory_of_the_machine_is_the_cause(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = fail_in_workers(monkeypatch, lambda: np.ones(2**45))
    ended = workspace.run("sample://2000")

    assert_failed(workspace, ended, 1, "out of memory (Unable to allocate 256. TiB", "lower --batch_rows")
    assert len(sizes) < FAILURES


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4_096) as folder:
        yield folder


def test_full_disk_of_the_staging_folder_is_named(workspace: Workspace, disk: Path) -> None:
    workspace.run()
    before = workspace.published()
    ended = workspace.run("sample://150000", "--staging", disk / "staged")

    assert_failed(workspace, ended, 1, f"{disk / 'staged'}/", "the disk is full (No space left on device)")
    assert workspace.published() == before


def test_full_disk_of_the_warehouse_is_named(workspace: Workspace, disk: Path) -> None:
    """The failed row cannot be written there either; the earlier partition stands."""
    name = disk / "pcc.duckdb"
    flags = ["--staging", workspace.folder / "staged", "--warehouse", name]
    (disk / "ballast").write_bytes(bytes(128 * 1024))
    assert workspace.run("sample://50", *flags).code == 0
    with duckdb.connect(str(name), read_only=True) as connection:
        before = connection.execute("SELECT * FROM pcc_inference_output ORDER BY ALL").fetchall()

    ended = workspace.run("sample://150000", *flags)
    (disk / "ballast").unlink()

    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"beam-pcc: {name} cannot be written: the disk is full; make room for a second copy")
    with duckdb.connect(str(name), read_only=True) as connection:
        assert connection.execute("SELECT * FROM pcc_inference_output ORDER BY ALL").fetchall() == before


def test_full_disk_of_temporary_tables_is_not_memory(disk: Path) -> None:
    warehouse = DuckDBWarehouse(str(disk / "pcc.duckdb"))
    rows = "SELECT repeat('x', 300) || range AS text FROM range(1000000)"
    with pytest.raises(WarehouseError) as raised, warehouse._file.session() as connection:
        connection.execute(f"CREATE TEMP TABLE large AS {rows}")

    assert str(raised.value).startswith(f"{disk / 'pcc.duckdb'}: the disk is full (failed to offload data block")


def test_limit_of_file_size_is_named(workspace: Workspace) -> None:
    """Also where no file system can be mounted."""
    command = [sys.executable, "-m", "beam_pcc", "run", "--partition", DAY, *workspace.flags("sample://20000")]
    ended = subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"beam-pcc: {workspace.folder}/pcc.duckdb")
    assert "a file has reached the largest size that is allowed (File too large); raise the limit" in line


def test_output_that_cannot_be_written_is_named(workspace: Workspace) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "beam_pcc", "models", "list", "--models", str(workspace.models)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert ended.returncode == 1
    assert "the disk is full (No space left on device: standard output)" in ended.stderr
