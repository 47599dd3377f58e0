"""`beam-pcc deploy ...`: from an empty EKS cluster to a daily partition. deploy-to-eks.sh and .ps1 call it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from beam_pcc.cli.parser import Commands, command, epilog
from beam_pcc.config.partitions import parse_partition
from beam_pcc.errors import ConfigurationError, one_line

if TYPE_CHECKING:
    from beam_pcc.deploy.console import Console

_GROUP = "deploy"
_OF = ("launcher", "jobmanager", "taskmanager", "workers")
_EXAMPLES = {
    "run": "--partition yesterday",
    "backfill": "--from 20261101 --to 20261107 --parallel 2",
    "logs": "--partition yesterday --of workers",
    "ui": "--partition yesterday",
    "destroy": "--overlay dev --yes",
}
_EXIT_CODES = """exit codes:
  0  done; of run and backfill: published, or the partition is empty
  1  a command or the run failed; of check: something at Google is not as it must be
  2  wrong usage or settings, or the run's configuration is wrong
  3  the audits refused to publish; what was published before stays
  4  the cluster does not answer any longer; the run may go on"""


def add(commands: Commands) -> None:
    """Declare the commands, with the name of the calling script if there is one."""
    from beam_pcc.deploy import settings

    script = settings.called_as()
    variables = "\n".join(f"  {name:22} {meaning}" for name, meaning in settings.VARIABLES.items())
    group = commands.add_parser(
        _GROUP,
        prog=script,
        help="deploy to EKS, and look after what is deployed",
        description="From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there.",
        epilog=epilog("status", f"settings, from the environment:\n{variables}\n\n{_EXIT_CODES}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_dry_run(group)
    subcommands = group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    _add_setup(subcommands, script)
    _add_runs(subcommands)
    _add_views(subcommands)
    _add_undo(subcommands)


def _add_setup(subcommands: Commands, script: str | None) -> None:
    check = _command(
        subcommands, "check", "look at tools, AWS identity, cluster, operators and Google; changes nothing", _check
    )
    _add_overlay(check)
    # The scripts call it `deploy-to-eks.sh deploy`.
    names = ("deploy", "apply") if script else ("apply", "deploy")
    apply = _command(subcommands, names[0], "build, push and deploy; installs what the cluster lacks", _apply, names[1])
    _add_overlay(apply)
    render = _command(subcommands, "render", "print every manifest, for Argo CD or Flux; asks no cluster", _render)
    _add_overlay(render)
    for parser in (apply, render):
        parser.add_argument("--image", metavar="NAME@sha256:DIGEST", help="this image instead of building one")
        parser.add_argument(
            *("--no-alerts", "--no_alerts"),
            dest="alerts",
            action="store_false",
            help="leave out PodMonitor and PrometheusRule, which need the Prometheus operator",
        )
    render.add_argument(
        "--output", default="-", metavar="FOLDER", help="write to this folder; - for standard output (default: -)"
    )


def _add_runs(subcommands: Commands) -> None:
    run = _command(subcommands, "run", "score one day now, and follow it", _run)
    _add_overlay(run)
    _add_partition(run, required=True)
    run.add_argument("--replace", action="store_true", help="where the day's run is there and finished, run it again")
    backfill = _command(subcommands, "backfill", "score each day of a range on the cluster, and follow", _backfill)
    _add_overlay(backfill)
    day = "DAY"
    backfill.add_argument(
        "--from", dest="first", required=True, metavar=day, help="the first day, as --partition of run"
    )
    backfill.add_argument("--to", dest="last", required=True, metavar=day, help="the last day, as --partition of run")
    backfill.add_argument("--parallel", type=int, default=1, metavar="N", help="days at a time, 1 to 99 (default: 1)")


def _add_views(subcommands: Commands) -> None:
    _add_overlay(_command(subcommands, "status", "what is deployed, what runs", _status))
    logs = _command(subcommands, "logs", "the logs of the last launchers, or of a day's run", _logs)
    _add_overlay(logs)
    _add_partition(logs)
    logs.add_argument("--of", choices=_OF, default=_OF[0], help="whose (default: launcher)")
    ui = _command(subcommands, "ui", "Flink's UI on http://localhost:8081", _ui)
    _add_overlay(ui, default=None, text="prod; with --session dev")
    which = ui.add_mutually_exclusive_group(required=True)
    _add_partition(which)
    which.add_argument("--session", action="store_true", help="of the session cluster")


def _add_undo(subcommands: Commands) -> None:
    rollback = _command(
        subcommands, "rollback", "the image that was deployed before, or another model version", _rollback
    )
    _add_overlay(rollback)
    rollback.add_argument("--model", metavar="VERSION", help="pin this version of the model instead; none: no pin")
    destroy = _command(
        subcommands, "destroy", "remove the namespace; not the operator, not the ECR repository", _destroy
    )
    _add_overlay(destroy)
    destroy.add_argument("--yes", action="store_true", help="really")


def _command(
    subcommands: Commands, name: str, text: str, action: Callable[[argparse.Namespace], int], alias: str | None = None
) -> argparse.ArgumentParser:
    parser = command(
        subcommands,
        name,
        text,
        action,
        example=_EXAMPLES.get(name, "--overlay dev"),
        notes=_EXIT_CODES,
        aliases=[alias] if alias else [],
    )
    _add_dry_run(parser)
    return parser


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Declare the flag before and after the subcommand; without a default, which would override the other one."""
    parser.add_argument(
        *("--dry-run", "--dry_run"),
        action="store_true",
        default=argparse.SUPPRESS,
        help="print every command, run none",
    )


def _add_overlay(parser: argparse.ArgumentParser, default: str | None = "prod", text: str = "prod") -> None:
    parser.add_argument("--overlay", default=default, metavar="NAME", help=f"dev or prod (default: {text})")


def _add_partition(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    parser.add_argument("--partition", required=required, metavar="DAY", help="YYYYMMDD, today or yesterday (UTC)")


def _console(flags: argparse.Namespace) -> Console:
    from beam_pcc.deploy.console import Console

    dry_run = getattr(flags, "dry_run", False)

    def show(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def say(line: str) -> None:
        if not dry_run:  # a dry run has no progress
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return Console(show, say, dry_run)


def _check(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy.check import check

    return check(_console(flags), overlay=flags.overlay)


def _apply(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations, settings

    called_as = settings.called_as() or "beam-pcc deploy"
    return operations.apply(_console(flags), called_as, overlay=flags.overlay, image=flags.image, alerts=flags.alerts)


def _render(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    return operations.render(
        _console(flags), overlay=flags.overlay, image=flags.image, alerts=flags.alerts, output=flags.output
    )


def _run(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    partition = parse_partition(flags.partition)
    return operations.run(_console(flags), overlay=flags.overlay, partition=partition, replace=flags.replace)


def _backfill(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    first, last = parse_partition(flags.first), parse_partition(flags.last)
    if not 1 <= flags.parallel <= 99:
        raise ConfigurationError(f"--parallel must be between 1 and 99, not {one_line(flags.parallel, 20)}")
    return operations.backfill(_console(flags), overlay=flags.overlay, first=first, last=last, parallel=flags.parallel)


def _status(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    return operations.status(_console(flags), overlay=flags.overlay)


def _logs(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    partition = None if flags.partition is None else parse_partition(flags.partition)
    return operations.logs(_console(flags), overlay=flags.overlay, partition=partition, of=flags.of)


def _ui(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    partition = None if flags.partition is None else parse_partition(flags.partition)
    return operations.ui(_console(flags), overlay=flags.overlay, partition=partition, session=flags.session)


def _rollback(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    return operations.rollback(_console(flags), overlay=flags.overlay, model=flags.model)


def _destroy(flags: argparse.Namespace) -> int:
    from beam_pcc.deploy import operations

    return operations.destroy(_console(flags), overlay=flags.overlay, confirmed=flags.yes)
