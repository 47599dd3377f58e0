"""A real Flink, and the command line."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.flink.cluster import Cluster, running


@pytest.fixture(scope="session")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster: Cluster) -> Cluster:
    """The cluster, whole again whatever the test before did to it."""
    one_cluster.up()
    return one_cluster
