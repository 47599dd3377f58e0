"""The defaults of a job on Flink, which the user's arguments override."""

import pytest
from apache_beam.options.pipeline_options import DebugOptions, FlinkRunnerOptions, PortableOptions

from beam_pcc.errors import ConfigurationError
from beam_pcc.flink.options import FlinkJobOptions, check_master
from beam_pcc.pipeline.options import beam_options, job_jar_options

FLINK = ["--runner=FlinkRunner", "--flink_master=localhost:8081"]


def test_defaults_are_added() -> None:
    options = beam_options(FLINK)

    portable = options.view_as(PortableOptions)
    assert (portable.environment_type, portable.environment_config) == ("EXTERNAL", "localhost:50000")
    assert options.view_as(FlinkJobOptions).execution_mode_for_batch == "BATCH_FORCED"
    assert "pre_optimize=all" in options.view_as(DebugOptions).experiments


@pytest.mark.parametrize("form", [["--environment_config=h:1"], ["--environment_config", "h:1"]])
def test_arguments_win_over_defaults(form: list[str]) -> None:
    options = beam_options([*FLINK, *form, "--experiments=pre_optimize=none,other", "--object_reuse=true"])

    assert options.view_as(PortableOptions).environment_config == "h:1"
    assert options.view_as(FlinkJobOptions).object_reuse == "true"
    assert not [e for e in options.view_as(DebugOptions).experiments if e == "pre_optimize=all"]


def test_in_process_run_gets_no_flink_defaults() -> None:
    assert beam_options([]).view_as(PortableOptions).environment_type is None


def test_job_jar_needs_no_cluster() -> None:
    options = job_jar_options(["--parallelism=4"], "job.jar")

    assert options.view_as(PortableOptions).output_executable_path == "job.jar"
    assert options.view_as(FlinkRunnerOptions).parallelism == 4
    assert options.view_as(PortableOptions).environment_type == "EXTERNAL"


@pytest.mark.parametrize(
    ("said", "address"),
    [("localhost:8081", "http://localhost:8081"), ("https://flink.example/", "https://flink.example")],
)
def test_flink_master_becomes_url(said: str, address: str) -> None:
    assert check_master(said) == address


@pytest.mark.parametrize("said", ["", "[auto]", "[local]"])
def test_missing_flink_master_is_an_error(said: str) -> None:
    with pytest.raises(ConfigurationError, match="needs --flink_master HOST:PORT"):
        check_master(said)
