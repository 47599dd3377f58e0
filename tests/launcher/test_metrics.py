"""The figures that a launcher serves for Prometheus."""

import dataclasses
import datetime as dt
import importlib
import re
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from beam_pcc.cases.monitoring_row import Alert
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.kubernetes.metrics import _HELP, serving
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.volume import Volume
from beam_pcc.publishing.warehouse.base import Run, StagedFigures
from beam_pcc.sources.volume import SourceVolume

DAY = dt.date(2026, 11, 20)
AT_START = {"pcc_run_active", "pcc_run_started_timestamp_seconds", "pcc_run_partition_timestamp_seconds"}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def scraped(port: int) -> dict[str, tuple[dict[str, str], float]]:
    """Name to labels and value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert all((family.type, len(family.samples)) == ("gauge", 1) for family in families)
    return {one.name: (one.labels, one.value) for family in families for one in family.samples}


def test_a_running_launcher_serves_what_it_knows(port: int) -> None:
    with serving(port, 0.0, DAY):
        values = scraped(port)

    assert set(values) == AT_START
    assert values["pcc_run_active"] == ({"partition": "20261120"}, 1)


def test_a_failed_run_is_told_while_it_lingers(port: int) -> None:
    values: dict[str, tuple[dict[str, str], float]] = {}

    def known(exit_code: int, _: str | None) -> None:
        values.update(scraped(port))

    with pytest.raises(RunError), serving(port, 0.01, DAY, known):
        raise RunError("a disk is full")

    assert set(values) == {*AT_START, "pcc_run_exit_code", "pcc_run_ended_timestamp_seconds"}
    assert set(values) <= set(_HELP)
    assert (values["pcc_run_exit_code"][1], values["pcc_run_active"][1]) == (1, 0)


def test_alerts_of_volume_are_apart_from_those_of_drift(port: int) -> None:
    alerts = (
        Alert("share of the usual rows", 0.2, 0.5, "accepted"),
        Alert("rows added while the source was read", 3, 0.0, "alert"),
        Alert("embedding norm shift", 0.9, 0.5, "alert"),
    )
    run = Run("the run", DAY, dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc))
    figures = StagedFigures(predictions=90, copies=7)
    volume = Volume(SourceVolume(rows=97))
    row = dataclasses.replace(audited_row(run, figures, RunStats(97), None, (), volume=volume), alerts=alerts)
    with serving(port, 0.0, DAY) as served:
        served.ended(Outcome(row))
        values = {name: value for name, (_, value) in scraped(port).items()}

    assert (values["pcc_run_alerts"], values["pcc_run_volume_alerts"]) == (1, 2)
    assert (values["pcc_run_source_rows"], values["pcc_run_exact_copies"]) == (97, 7)


def test_the_server_ends_with_the_launcher(port: int) -> None:
    with serving(port, 0.0, DAY):
        pass
    with pytest.raises(urllib.error.URLError):
        scraped(port)


@pytest.mark.parametrize("chosen", [lambda taken: taken, lambda _: 99_999, lambda _: -1], ids=["taken", "large", "-1"])
def test_a_port_that_cannot_be_served_is_one_line(chosen: Callable[[int], int]) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = chosen(taken.getsockname()[1])
        with (
            pytest.raises(ConfigurationError, match=f"--metrics_port {port} cannot be served"),
            serving(port, 0.0, DAY),
        ):
            pytest.fail("served")


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "beam_pcc.kubernetes.metrics")
    with pytest.raises(ConfigurationError, match=re.escape(".[kubernetes]")):
        importlib.import_module("beam_pcc.kubernetes.metrics")
