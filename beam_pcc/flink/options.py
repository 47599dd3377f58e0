"""Beam's options for a job on Flink, with our defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pcc.errors import ConfigurationError

# Only the Java runner declares these (FlinkPipelineOptions); Beam's Python SDK would reject them as unknown.
_JAVA_OPTIONS = {
    "execution_mode_for_batch": "PIPELINED or BATCH_FORCED: whether a step waits for the whole of the one before",
    "object_reuse": "true: hand objects from step to step without copies",
    "operator_chaining": "false: show each operator by itself in Flink's UI",
    "disable_metrics": "true: no Beam metrics in Flink's UI",
    "re_iterable_group_by_key_result": "true: groups may be read more than once",
    "faster_copy": "true: skip needless copies between operators",
}
# docs/flink.md gives the reason for each.
_DEFAULTS = {
    "environment_type": "EXTERNAL",
    "environment_config": "localhost:50000",
    "environment_cache_millis": "60000",
    "sdk_worker_parallelism": "0",
    "execution_mode_for_batch": "BATCH_FORCED",
}
_EXPERIMENTS = ("disable_logging_submission_environment", "pre_optimize=all")


class FlinkJobOptions(PipelineOptions):
    """Declares the options of the Java runner, which are passed on as text."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name, help_text in _JAVA_OPTIONS.items():
            parser.add_argument(f"--{name}", help=help_text)


def with_defaults(arguments: Sequence[str]) -> list[str]:
    """The arguments, followed by the defaults of those that are missing."""
    flags = {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
    experiments = {experiment.partition("=")[0] for experiment in _experiments(arguments)}
    defaults = [f"--{name}={value}" for name, value in _DEFAULTS.items() if f"--{name}" not in flags]
    for experiment in _EXPERIMENTS:
        if experiment.partition("=")[0] not in experiments:
            defaults.append(f"--experiments={experiment}")
    return [*arguments, *defaults]


def _experiments(arguments: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--experiments", "--experiment", action="append", default=[])
    known, _ = parser.parse_known_args(list(arguments))
    return [name for value in known.experiments for name in value.split(",")]


def check_master(master: str) -> str:
    """The address of a cluster's REST API as http://HOST:PORT. Raises ConfigurationError if there is none."""
    if not master or master in ("[auto]", "[local]"):
        raise ConfigurationError(
            "--runner FlinkRunner needs --flink_master HOST:PORT; flink/cluster.sh up starts a cluster here"
        )
    return (master if "://" in master else f"http://{master}").rstrip("/")
