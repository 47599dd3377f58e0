"""A fake API server with the ConfigMaps of the base, a DuckDB warehouse, and a command line that uses both."""

import dataclasses
import datetime as dt
import functools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beam_pcc.cases.monitoring_row import Alert
from beam_pcc.cli import main as cli
from beam_pcc.config import run_ids
from beam_pcc.kubernetes import follow, plan
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFigures
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from tests.launcher.fake_api import Kubernetes, running

ROOT = Path(__file__).parent.parent.parent
DAY = dt.date(2026, 11, 20)
NAME = "pcc-20261120"
TEMPLATE = ROOT / "k8s/flink-operator/base/template/flinkdeployment.yaml"


def config(folder: Path) -> dict[str, str]:
    """The ConfigMap of the base, with a local warehouse."""
    lines = (ROOT / "k8s/flink-operator/base/config.env").read_text().splitlines()
    base = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    ours = {
        "run.source": "sample://100",
        "run.warehouse": str(folder / "pcc.duckdb"),
        "run.models": str(folder / "models"),
        "run.staging": "",
        "run.temp_dataset": "",
        "run.read_method": "direct",
        "image": "registry.example/beam-pcc@sha256:" + "a" * 64,
    }
    return base | ours


def add_version(models: Path, name: str = "v20261119_020000", sha256: str = "a" * 64) -> None:
    """A version as the launcher sees it: it only reads metadata.json."""
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "model.joblib").write_bytes(b"loaded by the run, not by the launcher")
    (folder / "metadata.json").write_text(json.dumps({"sha256": sha256}))


@dataclass
class Launcher:
    """Calls the command line against the fake API server; `stdout` and `errors` are of the last call."""

    kubernetes: Kubernetes
    warehouse: DuckDBWarehouse
    capture: pytest.CaptureFixture[str]
    log: pytest.LogCaptureFixture
    stdout: str = ""
    errors: str = ""
    kubeconfig: Path = Path()

    def submit(self, *more: str, day: str = "20261120") -> int:
        return self.call("submit", "--partition", day, *more)

    def call(self, *arguments: str) -> int:
        self.capture.readouterr()
        code = cli.main(list(arguments))
        captured = self.capture.readouterr()
        self.stdout, self.errors = captured.out, captured.err + self.log.text
        return code

    def run_id(self, name: str = NAME) -> str:
        run_id: str = self.kubernetes.deployments[name]["metadata"]["annotations"]["beam-pcc/run-id"]
        return run_id

    def started(self, run_id: str) -> dt.datetime:
        started_at = run_ids.started_at(run_id)
        assert started_at
        return started_at

    def publish(self, name: str = NAME, *violations: str) -> None:
        """Write the monitoring row, as the job does; with `violations` that of a refused run."""
        day = dt.datetime.strptime(name, "pcc-%Y%m%d").date()
        run = Run(self.run_id(name), day, dt.datetime.now(dt.timezone.utc), "v20261119_020000", "minilm", "f" * 64)
        figures = StagedFigures(predictions=98, distinct_case_ids=98, positive=12)
        row = audited_row(run, figures, RunStats(98), None, violations)
        self.warehouse.record(dataclasses.replace(row, drift_psi=0.31, alerts=(Alert("x", 0.31, 0.25, "alert"),)))

    def succeed(self, name: str) -> None:
        """Go through the states of a successful run."""
        self.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING", lifecycleState="UPGRADING")
        self.kubernetes.job(name, "RUNNING")
        time.sleep(1.0)  # the launcher sees RUNNING even on a busy machine
        self.publish(name)
        self.kubernetes.job(name, "FINISHED")


@pytest.fixture
def launcher(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Launcher]:
    kubernetes = Kubernetes(
        {"pcc-config": config(tmp_path), "pcc-template": {"flinkdeployment.yaml": TEMPLATE.read_text()}}
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(plan, "Timeouts", functools.partial(follow.Timeouts, poll=0.2))
    add_version(tmp_path / "models")
    caplog.set_level("INFO", logger="beam_pcc")
    with running(kubernetes, tmp_path / "kubeconfig"):
        launcher = Launcher(kubernetes, DuckDBWarehouse(str(tmp_path / "pcc.duckdb"), lock_timeout=30), capsys, caplog)
        launcher.kubeconfig = tmp_path / "kubeconfig"
        kubernetes.on_create = launcher.succeed
        yield launcher
