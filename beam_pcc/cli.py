"""The command line: subcommands and exit codes, no logic. Heavy imports happen where they are used."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from beam_pcc import __version__, settings
from beam_pcc.errors import EXIT_FAILED, EXIT_USAGE, ConfigurationError, PccError, one_line

_REGISTRY = "the registry: a folder, or gs://BUCKET/FOLDER"
_EXIT_CODES = """exit codes:
  0  published, or the partition is empty
  1  the run failed
  2  wrong usage or configuration, found before any work started
  3  the audits refused to publish; what was published before stays"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. An error is one line on stderr, a traceback only with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    _log_to_stderr(debug)
    try:
        flags, rest = _parser().parse_known_args(given)
        if rest and not flags.takes_beam_options:
            raise ConfigurationError(f"unknown argument {one_line(rest[0], 80)}: see beam-pcc {flags.command} --help")
        flags.beam_arguments = rest
        code: int = flags.action(flags)
    except PccError as error:
        if debug:
            logging.exception("")
        print(f"beam-pcc: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    except KeyboardInterrupt:
        print("beam-pcc: stopped", file=sys.stderr)
        code = EXIT_FAILED
    except Exception as error:
        if debug:
            raise
        print(
            f"beam-pcc: unexpected {type(error).__name__}: {one_line(error)}; see the trace with --debug",
            file=sys.stderr,
        )
        code = EXIT_FAILED
    return code


def entry() -> None:
    """The console script. Ends the process at once: a stopped run's worker threads must not go on and publish."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    logging.shutdown()
    os._exit(code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, exit code 2."""
        self.exit(EXIT_USAGE, f"beam-pcc: {message}; see {self.prog} --help\n")


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="beam-pcc",
        description="Privacy Case Classifier: score a day's support cases as PC or NOT_PC and publish the result.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"beam-pcc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(commands, "run", "score and publish one partition", _run, beam=True)
    settings.add_partition_argument(run)
    settings.add_run_arguments(run)

    backfill = _command(commands, "backfill", "run each day of a range, in order", _backfill, beam=True)
    backfill.add_argument("--from", dest="first", required=True, metavar="YYYYMMDD", help="the first day")
    backfill.add_argument("--to", dest="last", required=True, metavar="YYYYMMDD", help="the last day, included")
    settings.add_run_arguments(backfill)

    train = _command(commands, "train", "train a model and add it to a registry", _train)
    train.add_argument("--data", required=True, help="labelled Parquet: embedding_vector, case_id and intent")
    train.add_argument("--models", required=True, help="the registry: a folder, made if missing, or gs://BUCKET/FOLDER")
    train.add_argument("--seed", type=int, default=0, help="same data and seed, same model (default: %(default)s)")
    train.add_argument(
        "--threshold", type=float, default=0.5, help="of P(PC) at which a case is PC (default: %(default)s)"
    )

    sample = _command(commands, "sample", "write synthetic cases as Parquet", _sample)
    sample.add_argument("--rows", type=int, default=2_000, help="how many (default: %(default)s)")
    sample.add_argument("--output", required=True, help="the .parquet file to write")
    sample.add_argument("--labelled", action="store_true", help="a training set: with intent, and no broken rows")
    sample.add_argument("--partition", default="yesterday", help="the day of the cases (default: %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="same seed, same cases (default: %(default)s)")

    models = _group(commands, "models", "the model registry")
    listed = _command(models, "list", "the versions, and which one a run would use", _models_list)
    listed.add_argument("--models", required=True, help=_REGISTRY)
    verify = _command(
        models, "verify", "load a version as a run would, check it, score its golden rows", _models_verify
    )
    verify.add_argument("--models", required=True, help=_REGISTRY)
    verify.add_argument("--model_version", help="default: the one that a run would use")
    verify.add_argument("--model_sha256", help="refuse any model file but the one with this digest")
    promote = _command(
        models, "promote", "verify a version, and make it the one that runs use (current.json)", _models_promote
    )
    promote.add_argument("version", metavar="VERSION", help="such as v20261120_020000")
    promote.add_argument("--models", required=True, help=_REGISTRY)

    tables = _group(commands, "tables", "the tables of a warehouse")
    create = _command(tables, "create", "make the tables that are missing", _tables_create)
    create.add_argument("--warehouse", required=True, help="PATH.duckdb | bq://PROJECT.DATASET")
    create.add_argument("--dry_run", action="store_true", help="say what would be made, and make nothing")
    create.add_argument("--add_columns", action="store_true", help="add columns that an existing table lacks")
    query = _command(tables, "query", "run one query and print the result", _tables_query)
    query.add_argument("--warehouse", required=True, help="PATH.duckdb | bq://PROJECT.DATASET")
    query.add_argument("sql", metavar="SQL", help="for example: FROM pcc_monitoring_logs")
    return parser


def _group(commands: _Commands, name: str, text: str) -> _Commands:
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")


def _command(
    commands: _Commands, name: str, text: str, action: Callable[[argparse.Namespace], int], *, beam: bool = False
) -> argparse.ArgumentParser:
    """A subcommand; with `beam`, flags that it does not know go on to Beam."""
    notes = f"Beam's own options, such as --runner, are taken too.\n\n{_EXIT_CODES}" if beam else None
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=notes,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="log more, and show the traceback of an error")
    parser.set_defaults(action=action, takes_beam_options=beam)
    return parser


def _log_to_stderr(debug: bool) -> None:
    """Our own progress and warnings; Beam's words, and its tracebacks of what we report in one line, with --debug."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.ERROR,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("beam_pcc").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.INFO if debug else logging.CRITICAL)


def _run(flags: argparse.Namespace) -> int:
    given = settings.RunSettings.from_flags(flags)
    from beam_pcc.options import beam_options
    from beam_pcc.run import run
    from beam_pcc.summary import summary

    outcome = run(given, beam_options(flags.beam_arguments))
    print(summary(outcome, given.warehouse, _called_as()))
    return outcome.exit_code


def _called_as() -> str:
    """How this program was called, so that a line to copy works: a path if it is not on PATH."""
    called = sys.argv[0]
    return called if Path(called).name == "beam-pcc" and shutil.which("beam-pcc") != called else "beam-pcc"


def _backfill(flags: argparse.Namespace) -> int:
    first, last = settings.parse_partition(flags.first), settings.parse_partition(flags.last)
    from beam_pcc.options import beam_options
    from beam_pcc.run import backfill, days
    from beam_pcc.summary import day_line

    dates = days(first, last)
    given = [settings.RunSettings.from_flags(flags, partition=day) for day in dates]
    source = given[0].source
    if len(dates) > 1 and "{partition}" not in source and not source.startswith("sample://"):
        raise ConfigurationError(
            f"--source {source} would be read anew for each day: put {{partition}} where the day stands"
        )
    beam_options(flags.beam_arguments)
    good = backfill(
        given, lambda: beam_options(flags.beam_arguments), lambda *ended: print(day_line(*ended), flush=True)
    )
    return 0 if good else EXIT_FAILED


def _train(flags: argparse.Namespace) -> int:
    if not 0 < flags.threshold < 1:
        raise ConfigurationError("--threshold must be between 0 and 1")
    from beam_pcc.training import metrics_line, train

    made = train(flags.data, flags.models, seed=flags.seed, threshold=flags.threshold)
    print(f"{made.version}: trained on {made.trained_on['rows']:,} rows, classes {', '.join(made.classes or ())}")
    if made.trained_on["dropped"]:
        print(f"  left out {made.trained_on['dropped']:,} rows without a valid vector or time")
    print(f"  hold-out of {made.trained_on['holdout']:,}: {metrics_line(made)}")
    print(f"  {flags.models.rstrip('/')}/{made.version}  (sha256 {str(made.sha256)[:12]})")
    return 0


def _sample(flags: argparse.Namespace) -> int:
    day = settings.parse_partition(flags.partition)
    if flags.rows < 1:
        raise ConfigurationError("--rows must be at least 1")
    from beam_pcc import synthetic

    synthetic.write(Path(flags.output), flags.rows, day, seed=flags.seed, with_intent=flags.labelled)
    print(f"{flags.output}: {flags.rows:,} {'labelled ' if flags.labelled else ''}cases")
    return 0


def _models_list(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import Registry
    from beam_pcc.training import metrics_line

    registry = Registry(flags.models)
    chosen, current = registry.resolve(), registry.current()
    for version in reversed(registry.versions()):
        about = registry.metadata(version)
        marks = [
            mark for mark, yes in (("current", version == current), ("used by a run now", version == chosen)) if yes
        ]
        print(
            f"{version}  {about.trained_on.get('rows', '?')} rows  {metrics_line(about) or 'no metrics'}  "
            f"{(about.sha256 or 'no digest')[:12]}  {', '.join(marks)}".rstrip()
        )
    return 0


def _models_verify(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import Registry

    registry = Registry(flags.models)
    started = time.monotonic()
    checked = registry.verify(registry.resolve(flags.model_version), sha256=flags.model_sha256)
    golden = checked.metadata.golden
    print(f"{checked.name}: sound ({time.monotonic() - started:.1f} s)")
    print(f"  file        {checked.file.path}")
    print(f"  sha256      {checked.file.sha256}")
    print(f"  classes     {', '.join(checked.classes)}")
    rescored = "none stored, not checked" if golden is None else f"{len(golden.vectors)} give their scores again"
    print(f"  golden rows {rescored}")
    return 0


def _models_promote(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import ALIAS, Registry

    registry = Registry(flags.models)
    before = registry.promote(flags.version)
    if before == flags.version:
        print(f"current: {flags.version} (already; nothing was changed)")
        return 0
    print(f"current: {flags.version} (was {before or 'none'})")
    again = f"{_called_as()} models promote {before} --models {shlex.quote(flags.models)}"
    print(f"  to go back: {again if before else f'remove {registry.root}/{ALIAS}'}")
    return 0


def _tables_create(flags: argparse.Namespace) -> int:
    from beam_pcc.warehouse import open_warehouse
    from beam_pcc.warehouse.base import prepare_tables

    warehouse = open_warehouse(flags.warehouse)
    warehouse.check()
    plan = prepare_tables(warehouse, dry_run=flags.dry_run, add_columns=flags.add_columns)
    columns = [f"{table}.{column}" for table, added in plan.add.items() for column in added]
    made, added = ("would make", "would add") if flags.dry_run else ("made", "added")
    changes = [f"{verb} {', '.join(names)}" for verb, names in ((made, plan.create), (added, columns)) if names]
    print(f"{flags.warehouse}: {'; '.join(changes) or 'all tables are there'}")
    return 0


def _tables_query(flags: argparse.Namespace) -> int:
    from beam_pcc.warehouse import open_warehouse

    warehouse = open_warehouse(flags.warehouse)
    warehouse.check()
    print(warehouse.query(flags.sql))
    return 0
