"""Beam's options for a job on Flink: what a person need not know is filled in, whatever was given stays."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pcc.errors import ConfigurationError

# Only the Java side of the runner knows these (FlinkPipelineOptions); Beam's Python would call them unknown.
_OF_THE_JAVA_SIDE = {
    "execution_mode_for_batch": "PIPELINED or BATCH_FORCED: whether a step waits for the whole of the one before",
    "object_reuse": "true: hand objects from step to step without copies",
    "operator_chaining": "false: show each operator by itself in Flink's UI",
    "disable_metrics": "true: no Beam metrics in Flink's UI",
    "re_iterable_group_by_key_result": "true: groups may be read more than once",
    "faster_copy": "true: skip needless copies between operators",
}
# What is filled in where it is not given; docs/flink.md says why each.
_FILLED_IN = {
    "environment_type": "EXTERNAL",
    "environment_config": "localhost:50000",
    "environment_cache_millis": "60000",
    "sdk_worker_parallelism": "0",
    "execution_mode_for_batch": "BATCH_FORCED",
}
_EXPERIMENTS = ("disable_logging_submission_environment", "pre_optimize=all")


class FlinkJobOptions(PipelineOptions):
    """Declares the options of the runner's Java side, as text that is handed on."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name, text in _OF_THE_JAVA_SIDE.items():
            parser.add_argument(f"--{name}", help=text)


def fill_in(arguments: Sequence[str]) -> list[str]:
    """The arguments and, behind them, what a job on Flink needs and they do not say."""
    given = {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
    experiments = _given_experiments(arguments)
    more = [f"--{name}={value}" for name, value in _FILLED_IN.items() if f"--{name}" not in given]
    for experiment in _EXPERIMENTS:
        name = experiment.partition("=")[0]
        if not any(said.partition("=")[0] == name for said in experiments):
            more.append(f"--experiments={experiment}")
    return [*arguments, *more]


def _given_experiments(arguments: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--experiments", "--experiment", action="append", default=[])
    known, _ = parser.parse_known_args(list(arguments))
    return [name for value in known.experiments for name in value.split(",")]


def check_master(master: str) -> str:
    """The address of a cluster's REST API as http://HOST:PORT. Raises ConfigurationError if none is named."""
    if not master or master in ("[auto]", "[local]"):
        raise ConfigurationError(
            "--runner FlinkRunner needs --flink_master HOST:PORT; flink/cluster.sh up starts a cluster here"
        )
    return (master if "://" in master else f"http://{master}").rstrip("/")
