"""BigQuery and Cloud Storage from a real Flink: the settings of Google's clients reach the Python workers."""

from collections.abc import Iterator

import pytest

from tests.emulators.running import Emulators
from tests.end_to_end.bigquery.conftest import Cloud, sample
from tests.end_to_end.flink.cluster import Cluster, running


@pytest.fixture(scope="module")
def cluster(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose workers have this process's environment."""
    with running(tmp_path_factory.mktemp("flink")) as started:
        yield started


@pytest.mark.parametrize("method", ["direct", "arrow"])
def test_flink_publishes_same_rows_as_in_process_run(cloud: Cloud, cluster: Cluster, method: str) -> None:
    cloud.seed(sample(3_000))
    in_process = cloud.run("--read_method", "arrow")
    expected = [row[:3] for row in cloud.published()]
    ended = cloud.run("--read_method", method, *cluster.flags)

    assert in_process.code == 0, in_process.err
    assert ended.code == 0, ended.err
    assert "published" in ended.out
    assert [row[:3] for row in cloud.published()] == expected
    assert [row["status"] for row in cloud.monitoring()] == ["success", "success"]
