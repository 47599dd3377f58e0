"""What ends a process at once when it is asked to stop: SIGTERM always, and Ctrl-C where it only follows a run.

As PID 1 of a container a process that installs no handler never gets SIGTERM. The handler raises nothing: an exception
could be swallowed on its way, and threads would keep the process alive. It says its line, and the process is over.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType

from beam_pcc.cli.parser import called_as
from beam_pcc.errors import EXIT_FAILED, EXIT_LOST

_exit_code = EXIT_FAILED
_words: str | None = "stopped by {signal}"


def prepare(arguments: Sequence[str]) -> None:
    """Do what the command line asks for. To be called first of all: imports take their time."""
    given = [a for a in arguments if a != "--debug"]
    follows = given[:1] == ["submit"] or (given[:1] == ["backfill"] and "--on-kubernetes" in given)
    if follows:
        expect(EXIT_LOST, stopped_following("submit --wait --attach"))
    install(ctrl_c=follows)


def stopped_following(command: str) -> str:
    """The line of who follows a run and is stopped; `command` follows it again."""
    return f"stopped following; if the run was created it goes on: {called_as()} {command}"


def install(*, ctrl_c: bool) -> None:
    """End this process at SIGTERM, with `ctrl_c` at SIGINT too. What a parent lets it ignore stays ignored."""
    for number in (signal.SIGTERM, signal.SIGINT) if ctrl_c else (signal.SIGTERM,):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def expect(exit_code: int, words: str | None) -> None:
    """From now on end with this exit code and line (`{signal}` in it is the signal's name; None: no line)."""
    global _exit_code, _words
    _exit_code, _words = exit_code, words


def _end(number: int, _: FrameType | None) -> None:
    if _words is not None:
        words = _words.replace("{signal}", signal.Signals(number).name)
        os.write(2, f"beam-pcc: {words}\n".encode())  # sys.stderr may be in use by what was interrupted
    os._exit(_exit_code)
