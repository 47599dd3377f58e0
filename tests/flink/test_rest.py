"""Errors of a missing Flink, in a bounded time. Its responses are tested with a real Flink."""

import time
from pathlib import Path

import pytest

from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.flink.jar import write_job_jar
from beam_pcc.flink.rest import FlinkCluster
from beam_pcc.pipeline.options import job_jar_options

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


def test_missing_cluster_is_wrong_configuration() -> None:
    with pytest.raises(ConfigurationError, match=f"no Flink answers at --flink_master {NOBODY}"):
        FlinkCluster(NOBODY).slots()


def test_unavailable_job_manager_is_retried_until_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(RunError, match=r"does not answer .*; look at its JobManager, and run again"):
        FlinkCluster(NOBODY, retry_timeout=0.5).state("0" * 32)

    assert 0.5 <= time.monotonic() - started < 10


def test_unwritable_jar_is_an_error(tmp_path: Path) -> None:
    import apache_beam as beam

    (tmp_path / "file").write_text("")
    options = job_jar_options([], "unused")
    with pytest.raises(ConfigurationError, match=r"job jar .* cannot be written: .*; check the path and the rights"):
        write_job_jar(beam.Pipeline().to_runner_api(), options, tmp_path / "file" / "job.jar")
