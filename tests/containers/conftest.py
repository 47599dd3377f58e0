"""The project's image, a private network with emulators of Google in it, and a day of cases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from google.cloud import bigquery, storage

from beam_pcc.kubernetes.plan import DeploymentPlan, Manifests, plan
from tests.containers import engine
from tests.containers.network import Network
from tests.containers.operator import Deployment, deployed
from tests.containers.pods import Surroundings
from tests.emulators import environment
from tests.emulators.running import BUCKET, PROJECT, Emulators, running
from tests.end_to_end.bigquery.conftest import Cloud, sample
from tests.manifests import rendered

ROWS = 2_000
HOOKS = engine.ROOT / "tests/emulators/hooks"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Google's clients leave their sockets to the garbage collector."""
    for item in items:
        if item.nodeid.startswith("tests/containers/"):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def image() -> str:
    engine.require_tools()
    return engine.image()


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    engine.require_tools()
    network = Network()
    yield network
    network.close()


@pytest.fixture(scope="session")
def emulators(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """BigQuery and Cloud Storage, in the network only."""
    with network.inside():
        context = running(environment.python(), tmp_path_factory.mktemp("emulators"), host=network.address)
        started = context.__enter__()
    yield started
    context.__exit__(None, None, None)


@dataclass
class Day:
    """One test's day: its source table and datasets at the emulators, and the run that scores it on the cluster."""

    network: Network
    emulators: Emulators
    image: str
    folder: Path
    cloud: Cloud
    models: str
    date: dt.date
    mounts: dict[Path, str] = field(default_factory=lambda: {HOOKS: "/emulators/hooks"})

    @contextmanager
    def google(self) -> Iterator[None]:
        """Google's clients of this test reach the emulators."""
        with self.network.inside(), self.emulators.here():
            yield

    @property
    def around(self) -> Surroundings:
        environment = {
            n: v
            for n, v in self.emulators.environment.items()
            if n not in ("PYTHONPATH", "GOOGLE_APPLICATION_CREDENTIALS")
        }
        return Surroundings(
            images={"beam-pcc": self.image, self.image: self.image},
            files={"pcc-google": {"credentials.json": self.emulators.credentials.read_text()}},
            environment={**environment, "PYTHONPATH": "/emulators/hooks"},
            mounts=self.mounts,
        )

    def config(self, overlay: str) -> dict[str, str]:
        """The ConfigMap pcc-config of an overlay, with this day's addresses."""
        held: dict[str, str] = rendered.one(overlay, "ConfigMap", "pcc-config")["data"]
        return held | {
            "image": self.image,
            "run.source": self.cloud.sharded,
            "run.warehouse": f"bq://{self.cloud.output}",
            "run.temp_dataset": "",
            "run.models": self.models,
            "run.staging": self.cloud.staging,
        }

    def plan(self, overlay: str = "prod") -> DeploymentPlan:
        """The run as the launcher plans it, of what an overlay renders to."""
        template = rendered.one(overlay, "ConfigMap", "pcc-template")["data"]["flinkdeployment.yaml"]
        with self.google():
            return plan(Manifests(self.config(overlay), yaml.safe_load(template)), [], self.date)

    @contextmanager
    def deployed(self, resource: dict[str, Any], around: Surroundings | None = None) -> Iterator[Deployment]:
        """The pods of a FlinkDeployment of this day."""
        with deployed(resource, self.network, self.folder / uuid4().hex[:8], around or self.around) as deployment:
            yield deployment

    def published(self) -> list[tuple[Any, ...]]:
        with self.google():
            return self.cloud.published()

    def monitoring(self) -> list[dict[str, Any]]:
        with self.google():
            return self.cloud.monitoring()


@pytest.fixture
def day(
    network: Network,
    emulators: Emulators,
    image: str,
    registry: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Day:
    """2,000 cases, some of them broken on purpose, and a model in a bucket."""
    with network.inside(), emulators.here():
        cloud = Cloud(bigquery.Client(project=PROJECT), registry, capsys)
        cloud.seed(sample(ROWS))
        bucket = storage.Client(project=PROJECT).bucket(BUCKET)
        for file in registry.rglob("*"):
            if file.is_file():
                bucket.blob(f"{cloud.name}/models/{file.relative_to(registry)}").upload_from_filename(str(file))
    return Day(network, emulators, image, tmp_path, cloud, f"gs://{BUCKET}/{cloud.name}/models", rendered.DAY)
