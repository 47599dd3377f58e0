"""A workspace with a trained model, and the command line on real files and a real DuckDB."""

import datetime as dt
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from beam_pcc.cases import faults
from beam_pcc.cli import main as cli
from beam_pcc.sources import synthetic
from beam_pcc.training.train import train
from tests.encoders import environment

# Of the 2,000 rows of the synthetic sample.
BROKEN = {
    faults.MISSING_CASE_ID.code: 8,
    faults.DUPLICATE_CASE_ID.code: 8,
    faults.MISSING_VECTOR.code: 8,
    faults.WRONG_DIMENSION.code: 8,
    faults.NON_FINITE.code: 8,
    faults.BAD_TIMESTAMP.code: 8,
    faults.MODEL_ERROR.code: 1,
}
DAY = "20261120"
DATE = dt.date(2026, 11, 20)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version, trained as ./run_local.sh trains it."""
    folder = tmp_path_factory.mktemp("registry")
    synthetic.write(folder / "labelled.parquet", 3_000, DATE, with_intent=True)
    train(str(folder / "labelled.parquet"), str(folder / "models"))
    return folder / "models"


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Workspace:
    """A folder with a warehouse, and the commands that work on it."""

    folder: Path
    models: Path
    capture: pytest.CaptureFixture[str]

    @property
    def warehouse(self) -> Path:
        return self.folder / "pcc.duckdb"

    def flags(self, source: object = "sample://500", *more: object) -> list[str]:
        flags = ["--source", source, "--warehouse", self.warehouse, "--models", self.models, *more]
        return [str(flag) for flag in flags]

    def call(self, *arguments: object) -> Ended:
        """Run a command in this process."""
        self.capture.readouterr()
        code = cli.main([str(a) for a in arguments])
        captured = self.capture.readouterr()
        return Ended(code, captured.out, captured.err)

    def run(self, source: object = "sample://500", *more: object, day: str = DAY) -> Ended:
        return self.call("run", "--partition", day, *self.flags(source, *more))

    def spawn(self, *arguments: object) -> "subprocess.Popen[str]":
        """Run a command in a process of its own."""
        command = [sys.executable, "-m", "beam_pcc", *(str(a) for a in arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse)) as connection:
            return connection.execute(sql, list(values)).fetchall()

    def published(self) -> list[tuple[Any, ...]]:
        """What a reader sees, but for the times and the run."""
        return self.query(
            "SELECT case_id, predicted_label, subtype_label, confidence, model_version, partition_date "
            "FROM pcc_inference_output ORDER BY ALL"
        )

    def monitoring(self) -> list[dict[str, Any]]:
        """All monitoring rows, oldest first."""
        with duckdb.connect(str(self.warehouse)) as connection:
            result = connection.execute("SELECT * FROM pcc_monitoring_logs ORDER BY ingestion_time")
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.fixture
def workspace(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> Workspace:
    return Workspace(tmp_path, models, capsys)


@pytest.fixture
def text(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace whose registry holds the real encoder, and no version yet."""
    environment.require()
    models = tmp_path / "models"
    models.mkdir()
    (models / "encoders").symlink_to(environment.encoders(), target_is_directory=True)
    workspace.models = models
    return workspace
