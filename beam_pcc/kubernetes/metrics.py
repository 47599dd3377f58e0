"""Figures of the run that a launcher follows, for Prometheus: its client's server, as long as the launcher lives.

The published figures come from the monitoring row, so they are those of the tables; Flink's own metrics are attempted
values.
"""

from __future__ import annotations

import calendar
import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIServer

from beam_pcc.config.extras import extra
from beam_pcc.errors import EXIT_FAILED, ConfigurationError, LostSightError, PccError
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.volume import is_of_volume
from beam_pcc.terminal import logger

with extra("kubernetes", "submit --wait"):
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector

_log = logger(__name__)
_HELP = {
    "pcc_run_active": "1 while the run goes on, as far as the launcher knows.",
    "pcc_run_started_timestamp_seconds": "When the launcher began, in seconds since 1970.",
    "pcc_run_exit_code": "0 published or empty, 1 failed, 2 configuration, 3 refused by the audits; absent before, and "
    "for a launcher that lost sight of the run.",
    "pcc_run_duration_seconds": "Of the whole run, from the monitoring row.",
    "pcc_run_cases": "Rows read.",
    "pcc_run_positive_cases": "Cases labelled PC.",
    "pcc_run_dropped_cases": "Rejected rows.",
    "pcc_run_drift_psi": "Population stability index against the model's baseline; absent without one.",
    "pcc_run_drift_psi_recent": "The same against the last published weeks; absent without enough of them.",
    "pcc_run_drift_psi_limit": "Limit of the index that was judged; absent if none was.",
    "pcc_run_alerts": "Limits of drift that the run passed.",
    "pcc_run_volume_alerts": "Limits of volume that the run passed: missing rows, or a source that still fills.",
    "pcc_run_source_rows": "Rows that the source had at launch; absent if it did not say.",
    "pcc_run_exact_copies": "Rows dropped as exact copies of another one.",
    "pcc_run_untrained_language_cases": "Messages in a language that the model was not trained on; absent of vectors.",
    "pcc_run_partition_timestamp_seconds": "When the partition's day begins (UTC), in seconds since 1970.",
    "pcc_run_ended_timestamp_seconds": "When the launcher knew the exit code, in seconds since 1970; absent before.",
}
_COLUMNS = {
    "pcc_run_duration_seconds": "processing_duration_seconds",
    "pcc_run_cases": "total_cases",
    "pcc_run_positive_cases": "positive_cases",
    "pcc_run_dropped_cases": "dropped_cases",
    "pcc_run_drift_psi": "drift_psi",
    "pcc_run_drift_psi_recent": "drift_psi_recent",
    "pcc_run_drift_psi_limit": "drift_psi_limit",
    "pcc_run_source_rows": "source_rows",
    "pcc_run_exact_copies": "exact_copies",
    "pcc_run_untrained_language_cases": "untrained_language_cases",
}


class RunFigures(Collector):
    """The figures of one run, updated by the launcher and read by the server.

    A collector of its own and no set of gauges: a scrape sees all figures of one moment, and none before its time.
    """

    def __init__(self, partition: dt.date) -> None:
        self._partition = f"{partition:%Y%m%d}"
        self._values: dict[str, float] = {
            "pcc_run_active": 1,
            "pcc_run_started_timestamp_seconds": round(time.time()),
            "pcc_run_partition_timestamp_seconds": calendar.timegm(partition.timetuple()),
        }

    def ended(self, outcome: Outcome) -> None:
        """Take the figures of the monitoring row."""
        row = outcome.monitoring
        values = {name: getattr(row, column) for name, column in _COLUMNS.items()}
        found = {name: value for name, value in values.items() if value is not None}
        if row.alerts is not None:
            of_volume = sum(map(is_of_volume, row.alerts))
            found |= {"pcc_run_alerts": len(row.alerts) - of_volume, "pcc_run_volume_alerts": of_volume}
        self._values = {**self._values, **found}
        self.failed(outcome.exit_code)

    def failed(self, exit_code: int) -> None:
        """There is no row, or a failed one."""
        ended = {
            "pcc_run_active": 0,
            "pcc_run_exit_code": exit_code,
            "pcc_run_ended_timestamp_seconds": round(time.time()),
        }
        self._values = {**self._values, **ended}

    @property
    def exit_code(self) -> int:
        """Of the run, as far as it is known."""
        return int(self._values.get("pcc_run_exit_code", EXIT_FAILED))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures that are known by now."""
        for name, value in self._values.items():
            gauge = GaugeMetricFamily(name, _HELP[name], labels=["partition"])
            gauge.add_metric([self._partition], value)
            yield gauge

    def registry(self) -> CollectorRegistry:
        """These figures and nothing else: none of Python's own."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def text(self) -> str:
        """In Prometheus' text format."""
        return generate_latest(self.registry()).decode()


@contextlib.contextmanager
def serving(
    port: int | None,
    linger: float,
    partition: dt.date,
    known: Callable[[int, str | None], None] | None = None,
) -> Iterator[RunFigures]:
    """Serve the figures until the context ends, and `linger` seconds more.

    A launcher that lost sight of its run does not linger: the sooner its Job starts another, the better.

    Args:
        port: Where to serve them; None: nowhere; 0: at any free port.
        linger: Seconds.
        partition: Of the run.
        known: Is told exit code and error before the lingering, for who is stopped meanwhile.

    Raises:
        ConfigurationError: The port is taken, or none.
    """
    figures = RunFigures(partition)
    server = _start(port, figures) if port is not None else None
    words: str | None = None
    try:
        yield figures
    except PccError as error:
        if isinstance(error, LostSightError):
            linger = 0.0
        else:
            figures.failed(error.exit_code)
        words = str(error)
        raise
    except BaseException:
        figures.failed(EXIT_FAILED)
        raise
    finally:
        if server is not None:
            if linger:
                if known is not None:
                    known(figures.exit_code, words)
                _log.info("the figures stay at port %d for %g s", server.server_port, linger)
                time.sleep(linger)
            server.shutdown()
            server.server_close()


def _start(port: int, figures: RunFigures) -> WSGIServer:
    try:
        server, _ = start_http_server(port, registry=figures.registry())
    except (OSError, OverflowError) as error:  # OverflowError: a number that is no port
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"--metrics_port {port} cannot be served: {reason}") from None
    return server
