"""Beam's own options of a run: what is left of the command line when ours are taken.

Ours are in `beam_pcc.config`, which knows nothing of Beam; so `--help` is quick and a worker needs none of them.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import io
from collections.abc import Sequence
from contextlib import redirect_stderr

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from beam_pcc.config.settings import add_partition_argument, add_run_arguments
from beam_pcc.config.threads import cores
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.flink.options import with_defaults  # its import declares the options of the Java runner

# Beam's DirectRunner first tries a Go binary that it downloads; FnApiRunner is the in-process runner behind it.
IN_PROCESS = "FnApiRunner"
_FLINK = "beam_pcc.flink.runner.SessionRunner"
_JOB_JAR = "beam_pcc.flink.runner.JobJarRunner"
# A worker scores and labels in one thread, and the threads that read ahead keep the other cores busy. Workers are
# threads of one process, which take turns in Python code: measured on two cores, a second costs more than it brings.
_CORES_OF_A_WORKER = 4
_ALIASES = {None: IN_PROCESS, "DirectRunner": IN_PROCESS, "direct": IN_PROCESS, "FlinkRunner": _FLINK, "flink": _FLINK}


def job_jar_options(arguments: Sequence[str], output: str) -> PipelineOptions:
    """As `beam_options`, for a run that only writes its Flink job to `output`."""
    return beam_options([*arguments, f"--runner={_JOB_JAR}", f"--output_executable_path={output}"])


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Parse Beam's flags, and fill in what the runner needs.

    Beam ignores a flag that it does not know; here it is a ConfigurationError, as is a value of the wrong type.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, conflict_handler="resolve")
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            known, unknown = parser.parse_known_args(list(arguments))
    except SystemExit:
        words = complaint.getvalue().strip().rpartition("error: ")[2]
        raise ConfigurationError(f"{one_line(words)}; see beam-pcc run --help") from None
    if unknown:
        raise ConfigurationError(_unknown(unknown[0].split("=")[0], parser))
    runner = _ALIASES.get(known.runner, known.runner)
    if runner in (_FLINK, _JOB_JAR):
        arguments = with_defaults(arguments)
    options = PipelineOptions(list(arguments), runner=runner)
    given = {argument.split("=")[0] for argument in arguments}
    if options.get_all_options()["runner"] == IN_PROCESS and not given & {
        "--direct_num_workers",
        "--direct_running_mode",
    }:
        direct = options.view_as(DirectOptions)
        direct.direct_num_workers = max(1, cores() // _CORES_OF_A_WORKER)
        direct.direct_running_mode = "multi_threading" if direct.direct_num_workers > 1 else "in_memory"
    return options


@functools.cache
def beam_flags() -> frozenset[str]:
    """Every flag that Beam knows."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    return frozenset(parser._option_string_actions)


def _unknown(flag: str, beam: argparse.ArgumentParser) -> str:
    ours = argparse.ArgumentParser(add_help=False)
    add_partition_argument(ours)
    add_run_arguments(ours)
    flags = [name for parser in (ours, beam) for action in parser._actions for name in action.option_strings]
    near = difflib.get_close_matches(flag, flags, n=1)
    return f"unknown argument {one_line(flag, 80)}: " + (
        f"did you mean {near[0]}?" if near else "see beam-pcc run --help"
    )
