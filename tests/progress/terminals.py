"""A command before a real terminal: a pseudo-terminal whose other end the test reads and types at."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 60.0  # seconds without a word after which it hangs
ESCAPE = "\x1b"
_PROGRAM = """
import sys
from beam_pcc.progress import views
views._DELAY, views._REDRAW, views.BarView.interval = 0.0, 0.01, 0.01
{setup}
from beam_pcc.cli import main
main.entry()
"""


@dataclass(frozen=True)
class Ended:
    """How it ended, and what the terminal got of it."""

    code: int
    output: str

    @property
    def bars(self) -> list[str]:
        """Every status line that was drawn."""
        return re.findall(r"\r\x1b\[K([^\r\n\x1b]+)(?=\r\x1b\[K)", self.output)

    @property
    def screen(self) -> list[str]:
        """The lines that a person sees at the end."""
        lines, line = [], ""
        for part in re.split(r"(\r\n|\r\x1b\[K)", self.output):
            if part == "\r\n":
                lines.append(line)
                line = ""
            elif part == "\r\x1b[K":
                line = ""
            else:
                line += part
        return [*lines, line]


def at_a_terminal(
    words: list[str],
    folder: Path,
    *,
    setup: str = "",
    press_ctrl_c_after: str | None = None,
    stdout: Path | None = None,
    columns: int = 100,
    environment: dict[str, str] | None = None,
) -> Ended:
    """Run a command at a terminal; `setup` is Python that runs before it, without the two seconds of quiet.

    Args:
        words: Of the command, without beam-pcc.
        folder: Where it runs.
        setup: Such as a replacement of the command's action.
        press_ctrl_c_after: Press Ctrl-C when the terminal has got this text.
        stdout: A file that gets the standard output instead of the terminal.
        columns: Of the terminal.
        environment: More of it.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        if stdout is not None:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT), 1)
        program = [sys.executable, "-c", _PROGRAM.format(setup=setup), *words]
        inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
        os.execve(sys.executable, program, {**inherited, "TERM": "xterm", **(environment or {})})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    output = b""
    while True:
        if not select.select([terminal], [], [], _TIMEOUT)[0]:
            os.kill(child, signal.SIGKILL)
        try:
            received = os.read(terminal, 65_536)
        except OSError:  # Linux, when nobody has the other end open any more
            break
        if not received:
            break
        output += received
        if press_ctrl_c_after is not None and press_ctrl_c_after.encode() in output:
            os.write(terminal, b"\x03")
            press_ctrl_c_after = None
    os.close(terminal)
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.decode())
