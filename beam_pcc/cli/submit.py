"""`beam-pcc submit` and `backfill --on-kubernetes`: run partitions as FlinkDeployments on Kubernetes."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from beam_pcc import progress
from beam_pcc.cli import interruption
from beam_pcc.cli.parser import Commands, called_as, command
from beam_pcc.cli.results import Reporter, RunResult, add_output_argument, add_summary_argument
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import add_partition_argument, chosen_partition, launcher_job, taken_from_file
from beam_pcc.errors import EXIT_FAILED, EXIT_LOST, EXIT_PUBLISHED, ConfigurationError, LostSightError, PccError
from beam_pcc.terminal import logger, say, show

if TYPE_CHECKING:
    from beam_pcc.kubernetes.cluster_api import Cluster
    from beam_pcc.kubernetes.deployment import Resource
    from beam_pcc.publishing.publish import Outcome

_log = logger(__name__)
_RUN_FLAGS = "Flags of beam-pcc run, such as --model_version, win over those of the ConfigMap pcc-config."


def add(commands: Commands) -> None:
    """Declare the command."""
    submit = command(
        commands,
        "submit",
        "score and publish one partition on Kubernetes, as a FlinkDeployment",
        _submit,
        example="--partition yesterday --wait",
        beam=True,
    )
    submit.set_defaults(passes_on_run_flags=True)
    submit.description = f"{submit.description} {_RUN_FLAGS}"
    add_partition_argument(submit)
    add_output_argument(submit)
    submit.add_argument("--wait", action="store_true", help="follow the run to its end, and exit as beam-pcc run does")
    submit.add_argument(
        "--render",
        action="store_true",
        help="print the FlinkDeployment, create nothing; with --manifests no cluster is asked, so the model is not "
        "fixed",
    )
    submit.add_argument(
        "--replace", action="store_true", help="where the day's FlinkDeployment is there and finished, remove it first"
    )
    submit.add_argument(
        "--attach",
        action="store_true",
        help="where the day's run is under way, follow that one; where it has ended, tell its outcome",
    )
    add_cluster_arguments(submit)
    submit.add_argument(
        "--manifests",
        metavar="FILE",
        help="take the ConfigMaps from what kubectl kustomize printed, not from the cluster",
    )
    submit.add_argument(
        "--metrics_port", type=int, metavar="PORT", help="with --wait, serve figures of the run for Prometheus here"
    )
    submit.add_argument(
        "--metrics_linger",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="go on serving them after the end (default: %(default)s)",
    )


def add_backfill_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `backfill` for Kubernetes."""
    parser.add_argument(
        "--on-kubernetes",
        action="store_true",
        help="run each day as a FlinkDeployment, with what the ConfigMap pcc-config says and these flags do not",
    )
    add_output_argument(parser)
    add_summary_argument(parser)
    parser.add_argument(
        "--parallel", type=int, default=1, metavar="N", help="days at a time on Kubernetes (default: %(default)s)"
    )
    add_cluster_arguments(parser)


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that choose the cluster, and how many finished runs it keeps."""
    add_context_arguments(parser).add_argument(
        "--keep", type=int, metavar="N", help="finished FlinkDeployments that stay (default: what pcc-config says)"
    )


def add_context_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Declare the flags that choose the cluster."""
    cluster = parser.add_argument_group("Kubernetes")
    cluster.add_argument("--namespace", help="default: the pod's own, or pcc-system")
    cluster.add_argument("--context", help="of the kubeconfig (default: its current one)")
    return cluster


def _submit(flags: argparse.Namespace) -> int:
    reporter = Reporter(flags)
    with reporter.reporting_errors(lambda error: RunResult.of_error(error)):
        return _submit_one(flags, reporter)


def _submit_one(flags: argparse.Namespace, reporter: Reporter) -> int:
    if flags.manifests and not flags.render and "--dry_run" in flags.beam_arguments:
        raise ConfigurationError(
            "--dry_run scores without publishing, which needs the cluster: to print the FlinkDeployment, use --render"
        )
    partition = parse_partition(chosen_partition(flags.partition, file=taken_from_file(flags.beam_arguments)[0]))
    from beam_pcc.kubernetes import launcher, plan

    cluster = None if flags.render and flags.manifests else cluster_of(flags)
    manifests = (
        plan.Manifests.of_file(flags.manifests)
        if flags.manifests or cluster is None
        else plan.Manifests.of_cluster(cluster)
    )
    planned = plan.plan(manifests, flags.beam_arguments, partition, keep=flags.keep, job=launcher_job())
    if flags.render or cluster is None:
        planned = planned if flags.manifests else planned.with_model()
        show(_manifest(planned.resource, as_json=reporter.json))
        return EXIT_PUBLISHED
    if planned.settings.publish.dry_run:
        _log.warning("this run publishes nothing (--dry_run); --render prints the FlinkDeployment and creates nothing")
    follow = f"submit --partition {partition:%Y%m%d} --wait --attach"
    if not flags.wait:
        started = launcher.start(cluster, planned, replace=flags.replace, attach=flags.attach)
        done = "submitted" if started.resource == "created" else "there already"
        status = "submitted" if started.resource == "created" else "existing"
        submission = started.submission
        reporter.report(
            RunResult(
                f"{partition:%Y%m%d}",
                status,
                EXIT_PUBLISHED,
                planned.settings.publish.dry_run,
                submission.run_id,
                planned.settings.publish.warehouse,
                submission.name,
            )
        )
        if reporter.json:
            return EXIT_PUBLISHED
        say(f"{started.submission.name}: {done}, run {started.submission.run_id}")
        say(f"  follow      {called_as()} {follow}")
        return EXIT_PUBLISHED
    from beam_pcc.kubernetes.metrics import serving
    from beam_pcc.reporting.summary import summary

    interruption.expect(EXIT_LOST, interruption.stopped_following(follow))
    with serving(flags.metrics_port, flags.metrics_linger, partition, interruption.expect) as figures:
        try:
            submission, outcome = launcher.run(cluster, planned, replace=flags.replace, attach=flags.attach)
        except KeyboardInterrupt:
            raise LostSightError(interruption.stopped_following(follow)) from None
        warehouse = planned.settings.publish.warehouse
        reporter.report(RunResult.of_outcome(outcome, warehouse, submission.name))
        if not reporter.json:
            say(*summary(outcome, warehouse, called_as()).splitlines(), flush=True)
        figures.ended(outcome)
    return outcome.exit_code


def _manifest(resource: Resource, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(resource, indent=2)
    import yaml

    return str(yaml.safe_dump(resource, sort_keys=False, width=160))


def backfill(
    flags: argparse.Namespace, dates: list[dt.date], report: Callable[[dt.date, Outcome | PccError], None]
) -> int:
    """Run each day on Kubernetes in order, `--parallel` at a time, and report each result.

    Returns:
        The exit code: 0 if all were published or empty, 4 if the launcher lost sight of one, else 1.
    """
    from beam_pcc.kubernetes import launcher, plan

    if flags.parallel < 1:
        raise ConfigurationError("--parallel must be at least 1")
    cluster = cluster_of(flags)
    manifests = plan.Manifests.of_cluster(cluster)
    arguments, job = run_arguments_of(flags.arguments), launcher_job()
    interruption.expect(EXIT_LOST, interruption.stopped_following("submit --partition YYYYMMDD --wait --attach"))
    for day in dates[:1]:
        plan.plan(manifests, arguments, day).with_model()  # report an error that all days share once
    report_lock = threading.Lock()
    step = progress.task("backfill", total=len(dates), unit="days")

    def run(day: dt.date) -> int:
        try:
            planned = plan.plan(manifests, arguments, day, keep=flags.keep, job=job)
            _, outcome = launcher.run(cluster_of(flags), planned, replace=True)
            result: Outcome | PccError = outcome
        except PccError as error:
            result = error
        with report_lock:
            report(day, result)
            done.advance()
        return result.exit_code

    with step as done, ThreadPoolExecutor(flags.parallel) as executor:
        codes = set(executor.map(run, dates))
    if codes <= {EXIT_PUBLISHED}:
        return EXIT_PUBLISHED
    return EXIT_LOST if EXIT_LOST in codes else EXIT_FAILED


def run_arguments_of(arguments: Sequence[str]) -> list[str]:
    """The arguments of `backfill --on-kubernetes` that belong to the runs, unchanged and in their order."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--from")
    own.add_argument("--to")
    add_backfill_arguments(own)
    _, rest = own.parse_known_args(list(arguments))
    return rest


def cluster_of(flags: argparse.Namespace) -> Cluster:
    """The cluster that the flags name. Raises ConfigurationError."""
    from beam_pcc.kubernetes.cluster_api import Cluster

    return Cluster(flags.namespace, flags.context)
