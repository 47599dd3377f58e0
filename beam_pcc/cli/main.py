"""The command line: from arguments to an exit code. The subcommands are in `beam_pcc.cli`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence

from beam_pcc import __version__, progress, terminal
from beam_pcc.cli import deploy, interruption
from beam_pcc.cli.logging_flags import Logging, add_logging_arguments, take
from beam_pcc.cli.parser import EXIT_CODES, Parser, epilog
from beam_pcc.cli.words import checked
from beam_pcc.errors import EXIT_FAILED, ConfigurationError, PccError, one_line
from beam_pcc.errors.messages import unexpected
from beam_pcc.storage.temporary_folders import scratch

_EXAMPLE = "run --partition yesterday --source sample://100 --warehouse pcc.duckdb --models models"


@terminal.guarded()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. An error is one line on stderr, a traceback only with --debug."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        log, words = take(words)
        _log_to_stderr(log)
        parser = _parser(words)
        words = checked(parser, words)
        flags, rest = parser.parse_known_args(words)
        if rest and not flags.takes_beam_options:
            raise ConfigurationError(f"unknown argument {one_line(rest[0], 80)}: see beam-pcc {flags.command} --help")
        flags.beam_arguments, flags.arguments = rest, words[1:]
        mode = progress.chosen_mode(
            quiet=log.level > logging.INFO, json_lines=log.json, can_redraw=terminal.can_redraw(sys.stderr)
        )
        with progress.shown(mode):
            code: int = flags.action(flags)
    except PccError as error:
        if debug:
            logging.exception("")
        terminal.complain(f"beam-pcc: {error}")
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    except KeyboardInterrupt:
        terminal.complain("beam-pcc: stopped")
        code = EXIT_FAILED
    except Exception as error:
        if debug:
            logging.exception("")
        ours = unexpected(error)
        terminal.complain(f"beam-pcc: {ours}")
        code = ours.exit_code
    return code


def entry() -> None:
    """The console script. Exits without waiting for threads: those of a stopped run must not publish."""
    interruption.prepare(sys.argv[1:])
    threading.excepthook = _log_thread_exception
    with scratch():
        code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    logging.shutdown()
    os._exit(code)


def _log_thread_exception(raised: threading.ExceptHookArgs) -> None:
    """Log with --debug only: Beam's threads outlive a failed run and raise when its servers are gone."""
    if raised.exc_value is not None:
        logging.getLogger("apache_beam").info("in a thread:", exc_info=raised.exc_value)


def _parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    parser = Parser(
        prog="beam-pcc",
        description="Privacy Case Classifier: score a day's support cases as PC or NOT_PC and publish the result.",
        epilog=epilog(_EXAMPLE, EXIT_CODES),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_logging_arguments(parser)
    parser.add_argument("--version", action="version", version=f"beam-pcc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if list(arguments[:1]) == ["deploy"]:  # its environment lacks the packages of the other commands
        deploy.add(commands)
        return parser
    try:
        from beam_pcc.cli import (
            completion,
            doctor,
            encoder,
            explain,
            feedback,
            models,
            report,
            run,
            runs,
            tables,
            train,
        )
        from beam_pcc.cli import jobjar as flink
        from beam_pcc.cli import submit as kubernetes
    except ImportError as error:
        raise ConfigurationError(
            f"this environment was made for deploy and lacks {error.name}: run requirements/venv.sh run"
        ) from None
    first = (run, flink, kubernetes, runs, doctor, deploy)  # in the order of the help
    for group in (*first, report, feedback, explain, train, encoder, models, tables):
        group.add(commands)
    completion.add(commands, _parser)
    return parser


def _log_to_stderr(log: Logging) -> None:
    """Log our progress and warnings; with --debug also Beam's log and the tracebacks of our one-line errors."""
    terminal.log_to_stderr(json_lines=log.json, traces=log.debug, level=logging.DEBUG if log.debug else logging.ERROR)
    logging.getLogger("beam_pcc").setLevel(log.level)
    logging.getLogger("apache_beam").setLevel(logging.INFO if log.debug else logging.CRITICAL)
