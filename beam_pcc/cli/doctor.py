"""`beam-pcc doctor`: checks each part that a run with these settings needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from beam_pcc.cli.parser import Commands, command
from beam_pcc.cli.results import CheckResult, DoctorResult, Reporter, add_output_argument
from beam_pcc.cli.submit import add_context_arguments
from beam_pcc.config.extras import extra
from beam_pcc.config.files import read_file
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import GROUPS, RunConfig, add_partition_argument, add_run_arguments, chosen_partition
from beam_pcc.doctor.deadlines import Finding, NotNeededError, run_checks
from beam_pcc.errors import EXIT_PUBLISHED, EXIT_USAGE, ConfigurationError
from beam_pcc.terminal import say

if TYPE_CHECKING:
    from beam_pcc.doctor.cluster import Namespace

_NOTES = """exit codes:
  0  nothing failed
  2  something failed; its line says what to do"""


def add(commands: Commands) -> None:
    """Declare the command."""
    doctor = command(
        commands,
        "doctor",
        "check all that a run with these flags needs; changes nothing",
        _doctor,
        example="--config run.toml",
        beam=True,
        notes=_NOTES,
    )
    doctor.description = f"{doctor.description} Takes the flags, the file and the environment of beam-pcc run."
    add_partition_argument(doctor)
    add_run_arguments(doctor)
    _add_own_arguments(doctor)


def _add_own_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="that the checks may take (default: %(default)s)"
    )
    parser.add_argument(
        "--on-kubernetes",
        action="store_true",
        help="check the namespace too, and with its ConfigMap what submit would run",
    )
    add_context_arguments(parser)


def _doctor(flags: argparse.Namespace) -> int:
    if not 0 < flags.timeout <= 3_600:
        raise ConfigurationError("--timeout must be above 0 and at most 3600")
    findings = _findings(flags)
    code = EXIT_USAGE if any(finding.status == "failed" for finding in findings) else EXIT_PUBLISHED
    reporter = Reporter(flags)
    reporter.report(DoctorResult(code, tuple(CheckResult(*finding) for finding in findings)))
    if not reporter.json:
        say(*(f"{finding.status:<8} {finding.name:<12} {finding.message}" for finding in findings))
    return code


def _findings(flags: argparse.Namespace) -> list[Finding]:
    from beam_pcc.doctor.checks import checks_of
    from beam_pcc.pipeline import launch  # noqa: F401 - slow imports do not count as part of a check

    resolving = _Resolving(flags)
    cluster = run_checks({"kubernetes": resolving.check_namespace}, flags.timeout)
    settings = run_checks({"settings": resolving.check_settings}, flags.timeout)
    if resolving.config is None:
        return [*settings, *cluster]
    beam_arguments = [] if flags.on_kubernetes else flags.beam_arguments
    checks = checks_of(resolving.config, beam_arguments, on_kubernetes=flags.on_kubernetes, timeout=flags.timeout)
    return [*settings, *run_checks(checks, flags.timeout), *cluster]


class _Resolving:
    """Resolves the settings of the run: those of the flags, or of these and the ConfigMap.

    Attributes:
        config: The settings, once `check_settings` has succeeded.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._namespace: Namespace | None = None
        self.config: RunConfig | None = None

    def check_namespace(self) -> str:
        """Read the namespace."""
        if not self._flags.on_kubernetes:
            raise NotNeededError("not asked for: --on-kubernetes checks the namespace that runs are submitted to")
        with extra("kubernetes", "--on-kubernetes"):
            from beam_pcc.doctor.cluster import Namespace

        self._namespace = Namespace.read(self._flags.namespace, self._flags.context)
        return self._namespace.message

    def check_settings(self) -> str:
        """Resolve the settings, of yesterday if no partition is named. Raises ConfigurationError."""
        flags = self._flags
        file = read_file(flags.config, GROUPS) if flags.config else {}
        partition = parse_partition(chosen_partition(flags.partition, file={"partition": "yesterday", **file}))
        if not flags.on_kubernetes:
            self.config = RunConfig.from_flags(flags, partition=partition)
        elif self._namespace is None:
            raise NotNeededError("they are in the ConfigMap pcc-config, which could not be read")
        else:
            self.config = self._namespace.settings(_run_arguments(flags.arguments), partition)
        return f"of a run of partition {partition:%Y%m%d}"


def _run_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments that belong to the run."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--partition")
    _add_own_arguments(own)
    return own.parse_known_args(list(arguments))[1]
