"""Ends the process at once on SIGTERM, and on Ctrl-C if the command leaves nothing to tidy up.

While a partition runs, `beam_pcc.pipeline.signals` catches both signals instead.

PID 1 of a container ignores SIGTERM without a handler. The handler prints one line and exits. It raises no exception,
which could be swallowed, and does not wait for threads.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from types import FrameType

from beam_pcc import terminal
from beam_pcc.cli.logging_flags import take
from beam_pcc.cli.parser import called_as
from beam_pcc.errors import EXIT_FAILED, EXIT_LOST, ConfigurationError

_exit_code = EXIT_FAILED
_message: str | None = "stopped by {signal}"


def prepare(arguments: Sequence[str]) -> None:
    """Install the handlers for a command line. Call this before the slow imports."""
    words = list(arguments)
    with contextlib.suppress(ConfigurationError):  # main reports it
        words = take(words)[1]
    on_kubernetes = {"--on-kubernetes", "--on_kubernetes"} & set(words)
    follows = words[:1] == ["submit"] or (words[:1] == ["backfill"] and bool(on_kubernetes))
    if follows:
        expect(EXIT_LOST, stopped_following("submit --wait --attach"))
    install(ctrl_c=follows or words[:1] in (["run"], ["backfill"]))


def stopped_following(command: str) -> str:
    """The message when a process that follows a run is stopped; `command` follows the run again."""
    return f"stopped following; if the run was created it goes on: {called_as()} {command}"


def install(*, ctrl_c: bool) -> None:
    """End this process on SIGTERM, with `ctrl_c` also on SIGINT. Signals that the parent ignores remain ignored."""
    for number in (signal.SIGTERM, signal.SIGINT) if ctrl_c else (signal.SIGTERM,):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def expect(exit_code: int, message: str | None) -> None:
    """Set the exit code and message of a stopped process (`{signal}` becomes the signal's name; None: no message)."""
    global _exit_code, _message
    _exit_code, _message = exit_code, message


def _end(number: int, _: FrameType | None) -> None:
    last_words = terminal.end_status()
    if _message is not None:
        message = _message.replace("{signal}", signal.Signals(number).name)
        last_words += f"beam-pcc: {message}\n".encode()
    os.write(2, last_words)  # the interrupted code may hold the lock of sys.stderr
    os._exit(_exit_code)
