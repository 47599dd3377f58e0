"""`beam-pcc jobjar`: writes a run as a job jar for a Flink cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from beam_pcc.cli.parser import Commands, command
from beam_pcc.config.settings import RunConfig, add_partition_argument, add_run_arguments
from beam_pcc.terminal import say


def add(commands: Commands) -> None:
    """Declare the command."""
    jobjar = command(
        commands,
        "jobjar",
        "check a run, and write it as a job jar for Flink",
        _jobjar,
        example="--output job.jar --partition yesterday --source gs://BUCKET/{partition}.parquet "
        "--warehouse bq://PROJECT.DATASET --staging gs://BUCKET/staging --models gs://BUCKET/models",
        beam=True,
    )
    jobjar.add_argument("--output", required=True, metavar="FILE.jar", help="where to write the job")
    add_partition_argument(jobjar)
    add_run_arguments(jobjar)


def _jobjar(flags: argparse.Namespace) -> int:
    config = RunConfig.from_flags(flags)
    from beam_pcc.pipeline.options import job_jar_options
    from beam_pcc.pipeline.run import prepare_job

    run_id = prepare_job(config, job_jar_options(flags.beam_arguments, flags.output))
    say(f"{flags.output}: {Path(flags.output).stat().st_size:,} bytes, run {run_id}")
    return 0
