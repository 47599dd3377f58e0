"""What the tests of several rooms share: a training set, a registry made from it, and a source run for real."""

# What takes long to import is imported where it is used: pytest-xdist's own process, for which the others wait, uses
# none of it.
from __future__ import annotations

import datetime as dt
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import apache_beam as beam
    import pyarrow as pa

# Shared machines stall: how long an example takes says nothing.
settings.register_profile("beam_pcc", deadline=None)
settings.load_profile("beam_pcc")

ReadAll = Callable[["beam.PTransform"], "list[pa.RecordBatch]"]


def pytest_configure(config: pytest.Config) -> None:
    """Import skops, in a process that runs tests: it looks through every module that was imported before it."""
    if config.getoption("dist", "no") == "no":
        import skops.io  # noqa: F401


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Give each test the usual umask: steps of the graph set a private one for the rest of their process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set of four classes."""
    from beam_pcc.sources import synthetic

    path = tmp_path_factory.mktemp("labelled") / "labelled.parquet"
    synthetic.write(path, 500, dt.date(2026, 11, 20), with_intent=True)
    return path


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> Path:
    """A registry with one trained version. Shared: copy it before changing it."""
    from beam_pcc.training.train import train

    folder = tmp_path_factory.mktemp("registry")
    train(str(labelled), str(folder))
    return folder


@pytest.fixture(scope="session")
def text_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a small encoder and one version trained on messages. Shared: copy it before changing it."""
    from beam_pcc.features.encoders.export import export
    from beam_pcc.training.train import train
    from tests.encoders import toy
    from tests.messages import write_labelled

    folder = tmp_path_factory.mktemp("text")
    export(str(toy.publish(folder / "published")), str(folder / "models" / "encoders"))
    train(str(write_labelled(folder / "labelled.jsonl")), str(folder / "models"), text_column="text")
    return folder / "models"


@pytest.fixture
def read_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadAll:
    """Runs a source in Beam's in-process runner; gives its batches, in no order.

    As one stage, in one thread, which takes half the time. The end-to-end tests shuffle, with a thread for each core.
    """
    import apache_beam as beam

    from beam_pcc.errors.messages import from_runner
    from beam_pcc.pipeline import coders
    from beam_pcc.pipeline.options import beam_options

    class Pass(beam.PTransform):
        def expand(self, elements: beam.PCollection) -> beam.PCollection:
            return elements

    def run(source: beam.PTransform) -> list[pa.RecordBatch]:
        coders.register()
        folder = tmp_path / f"read-{uuid4().hex}"
        folder.mkdir()

        def keep(rows: pa.RecordBatch) -> None:
            (folder / uuid4().hex).write_bytes(pickle.dumps(rows))

        pipeline = beam.Pipeline(options=beam_options(["--direct_num_workers=1"]))
        with monkeypatch.context() as patch:
            patch.setattr(beam, "Reshuffle", Pass)
            _ = pipeline | source | beam.Map(keep)
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            raise from_runner(error) from error
        return [pickle.loads(path.read_bytes()) for path in folder.iterdir()]

    return run


@pytest.fixture
def error_of(read_all: ReadAll) -> Callable[[Path], str]:
    """Gives the one line that a person reads of a run that fails on this file."""
    from beam_pcc.errors import SourceError
    from beam_pcc.sources.files import ReadFiles

    def run(path: Path) -> str:
        source = ReadFiles(str(path), 100)
        with pytest.raises(SourceError) as failure:
            read_all(source)
        said = str(failure.value)
        assert str(path) in said
        assert said.isprintable()
        assert "while running" not in said
        return said

    return run


# A server, a browser, a process that is made to fail, the programs that a deployment calls, whole runs.
_PARTS = {"launcher", "browser", "attempt", "deployment", "workspace"}
# One worker of pytest-xdist runs all tests of such a folder: what they need is started once.
_GROUPS = {"tests/end_to_end/bigquery/": "emulators", "tests/end_to_end/flink/": "flink"}


@pytest.hookimpl(tryfirst=True)  # -m and pytest-xdist read the marks in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a part or needs one of a group: `make check` leaves it out."""
    for item in items:
        group = next((name for folder, name in _GROUPS.items() if item.nodeid.startswith(folder)), None)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
        if group or _PARTS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.end_to_end)
        if group == "emulators":  # Google's and Beam's clients leave their sockets to the garbage collector
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on without groups: each worker would start emulators, clusters and containers of its own."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if lost:
            raise pytest.UsageError(
                f"pytest-xdist does not see the group of {lost[0]}; pytest 9.2 does that to its 3.8"
            )
