"""`beam-pcc submit`: one partition as a FlinkDeployment on Kubernetes; and what `backfill --on-kubernetes` does."""

from __future__ import annotations

import argparse
import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from beam_pcc import settings
from beam_pcc.commands import Commands, called_as, command
from beam_pcc.errors import EXIT_PUBLISHED, ConfigurationError, PccError, RunError
from beam_pcc.flags import add_partition_argument, add_run_arguments

if TYPE_CHECKING:
    from beam_pcc.flink.cluster_api import Cluster
    from beam_pcc.publish import Outcome

_RUN_FLAGS = "Flags of beam-pcc run, such as --model_version, win over those of the ConfigMap pcc-config."


def add(commands: Commands) -> None:
    """Declare it."""
    submit = command(
        commands, "submit", "score and publish one partition on Kubernetes, as a FlinkDeployment", _submit, beam=True
    )
    submit.description = f"{submit.description} {_RUN_FLAGS}"
    add_partition_argument(submit)
    submit.add_argument("--wait", action="store_true", help="follow the run to its end, and exit as beam-pcc run does")
    submit.add_argument("--dry_run", action="store_true", help="print the FlinkDeployment, create nothing")
    submit.add_argument(
        "--replace", action="store_true", help="where the day's FlinkDeployment is there and finished, remove it first"
    )
    submit.add_argument("--attach", action="store_true", help="where the day's run is under way, follow that one")
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
    """Declare what `backfill` has for Kubernetes."""
    parser.add_argument(
        "--on-kubernetes",
        action="store_true",
        help="run each day as a FlinkDeployment, with what the ConfigMap pcc-config says and these flags do not",
    )
    parser.add_argument(
        "--parallel", type=int, default=1, metavar="N", help="days at a time on Kubernetes (default: %(default)s)"
    )
    add_cluster_arguments(parser)


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which cluster, and what stays in it."""
    cluster = parser.add_argument_group("Kubernetes")
    cluster.add_argument("--namespace", help="default: the pod's own, or pcc-system")
    cluster.add_argument("--context", help="of the kubeconfig (default: its current one)")
    cluster.add_argument(
        "--keep", type=int, metavar="N", help="finished FlinkDeployments that stay (default: what pcc-config says)"
    )


def _submit(flags: argparse.Namespace) -> int:
    said = flags.partition or settings.default_partition()
    if not said:
        raise ConfigurationError("--partition is missing: say YYYYMMDD, today or yesterday")
    partition = settings.parse_partition(said)
    from beam_pcc.flink import launcher, plan

    cluster = None if flags.dry_run and flags.manifests else _cluster(flags)
    manifests = (
        plan.Manifests.of_file(flags.manifests)
        if flags.manifests or cluster is None
        else plan.Manifests.of_cluster(cluster)
    )
    planned = plan.plan(manifests, flags.beam_arguments, partition, keep=flags.keep)
    if flags.dry_run or cluster is None:
        import yaml

        print(yaml.safe_dump(planned.resource, sort_keys=False, width=160), end="")
        return EXIT_PUBLISHED
    if not flags.wait:
        submission = launcher.create(cluster, planned, replace=flags.replace, attach=flags.attach)
        print(f"{submission.name}: submitted, run {submission.run_id}")
        print(f"  follow      {called_as()} submit --partition {partition:%Y%m%d} --wait --attach")
        return EXIT_PUBLISHED
    from beam_pcc.flink.metrics import serving
    from beam_pcc.summary import summary

    with serving(flags.metrics_port, flags.metrics_linger, partition) as figures:
        try:
            _, outcome = launcher.run(cluster, planned, replace=flags.replace, attach=flags.attach)
        except KeyboardInterrupt:
            follow = f"{called_as()} submit --partition {partition:%Y%m%d} --wait --attach"
            raise RunError(f"stopped following; if the run was created it goes on: {follow}") from None
        figures.ended(outcome)
        print(summary(outcome, planned.settings.warehouse, called_as()), flush=True)
    return outcome.exit_code


def backfill(
    flags: argparse.Namespace, dates: list[dt.date], tell: Callable[[dt.date, Outcome | PccError], None]
) -> bool:
    """Run each day on Kubernetes, `--parallel` of them at a time, in order; True if all were published or empty."""
    from beam_pcc.flink import launcher, plan

    if flags.parallel < 1:
        raise ConfigurationError("--parallel must be at least 1")
    cluster = _cluster(flags)
    manifests = plan.Manifests.of_cluster(cluster)
    given = [*_said(flags), *flags.beam_arguments]
    for day in dates[:1]:
        plan.plan(manifests, given, day)  # what is wrong for one day is wrong for all: say it once
    one_at_a_time = threading.Lock()

    def run(day: dt.date) -> bool:
        try:
            _, outcome = launcher.run(_cluster(flags), plan.plan(manifests, given, day, keep=flags.keep), replace=True)
            ended: Outcome | PccError = outcome
        except PccError as error:
            ended = error
        with one_at_a_time:
            tell(day, ended)
        return ended.exit_code == EXIT_PUBLISHED

    with ThreadPoolExecutor(flags.parallel) as several:
        return all(list(several.map(run, dates)))


def _said(flags: argparse.Namespace) -> list[str]:
    """The flags of the run that were said, as arguments again."""
    parser = argparse.ArgumentParser(add_help=False)
    add_run_arguments(parser)
    said = {
        name: getattr(flags, name)
        for name, usual in vars(parser.parse_args([])).items()
        if getattr(flags, name) != usual
    }
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in said.items()]


def _cluster(flags: argparse.Namespace) -> Cluster:
    from beam_pcc.flink.cluster_api import Cluster

    return Cluster(flags.namespace, flags.context)
