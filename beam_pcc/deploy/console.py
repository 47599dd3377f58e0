"""Runs commands of other programs without a shell, or prints them as lines to copy."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from beam_pcc.deploy import settings
from beam_pcc.errors import ConfigurationError, RunError, one_line

Words = Sequence[str]
_LONGEST_ERROR = 400  # characters


@dataclass(frozen=True)
class Result:
    """The result of a command.

    Attributes:
        code: Its exit code.
        output: Its standard output, without the final newline.
        error: The last line of its standard error.
    """

    code: int
    output: str = ""
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0


@dataclass(frozen=True)
class Console:
    """Runs commands; with `dry_run` only prints them.

    Attributes:
        show: Prints a line on standard output.
        say: Prints a line of progress on standard error; nothing with `dry_run`.
        dry_run: Whether commands are only printed.
    """

    show: Callable[[str], None]
    say: Callable[[str], None]
    dry_run: bool = False
    environment: Mapping[str, str] = field(default_factory=settings.program_environment, repr=False)

    def change(self, *words: str, to_stderr: bool = False) -> None:
        """Run a command and pass on its output. Raises RunError if it fails."""
        if self.dry_run:
            self.show(command_line(words))
            return
        code = self.watch(*words, to_stderr=to_stderr)
        if code:
            raise RunError(f"{_what(words)} ended with exit code {code}; its own lines above say why")

    def watch(self, *words: str, to_stderr: bool = False) -> int:
        """Run a command and pass on its output; returns its exit code (with `dry_run` 0)."""
        if self.dry_run:
            self.show(command_line(words))
            return 0
        sys.stdout.flush()
        output = sys.stderr if to_stderr else None
        with _program(words):
            return subprocess.run(  # noqa: S603 - words, and no shell
                _resolved(words), stdin=subprocess.DEVNULL, stdout=output, env=self.environment, umask=_umask()
            ).returncode

    def ask(self, *words: str, instead: str = "", stdin: str | None = None) -> Result:
        """Run a command and return its output; with `dry_run` the output is `instead`."""
        if self.dry_run:
            self.show(command_line(words))
            return Result(0, instead)
        with _program(words):
            done = subprocess.run(  # noqa: S603 - as above
                _resolved(words),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self.environment,
                umask=_umask(),
            )
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return Result(done.returncode, done.stdout.rstrip("\n"), _last_part(lines[-1]) if lines else "")

    def succeeds(self, *words: str) -> bool:
        """Whether a command succeeds; False with `dry_run`, which prints the commands for a missing resource."""
        if self.dry_run:
            self.show(command_line(words))
            return False
        return self.ask(*words).succeeded

    def pipe(self, first: Words, second: Words) -> None:
        """Pipe the output of one program into another, without printing it. Raises RunError if one of them fails."""
        if self.dry_run:
            self.show(f"{command_line(first)} | {command_line(second)}")
            return
        sys.stdout.flush()
        with (
            _program(first),
            subprocess.Popen(  # noqa: S603 - as above
                _resolved(first), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.environment
            ) as source,
        ):
            with _program(second):
                second_code = subprocess.run(  # noqa: S603 - as above
                    _resolved(second), stdin=source.stdout, stdout=sys.stderr, env=self.environment
                ).returncode
            if source.stdout is not None:
                source.stdout.close()
            first_code = source.wait()
        for words, code in ((first, first_code), (second, second_code)):
            if code:
                raise RunError(f"{_what(words)} ended with exit code {code}; its own lines above say why")

    def note(self, text: str) -> None:
        """With `dry_run`, print a comment between two commands."""
        if self.dry_run:
            self.show(f"# {text}")


def _last_part(text: str) -> str:
    """A line without control characters, cut at its beginning: the cause is at the end."""
    folded = one_line(text, 100_000)
    return folded if len(folded) <= _LONGEST_ERROR else "…" + folded[-_LONGEST_ERROR:]


def is_installed(program: str) -> bool:
    """Whether a program is on the PATH."""
    return shutil.which(program) is not None


def command_line(words: Words, *, powershell: bool = os.name == "nt") -> str:
    """A command quoted for the user's shell: PowerShell on Windows, else a POSIX shell."""
    if powershell:
        return " ".join(word if _is_plain(word) else "'" + word.replace("'", "''") + "'" for word in words)
    return shlex.join(words)


def _is_plain(word: str) -> bool:
    return bool(word) and word[0] not in "@%" and all(c.isascii() and (c.isalnum() or c in "_./:=@%+-\\") for c in word)


def _what(words: Words) -> str:
    """The program and its first argument that is no option: aws eks, kubectl apply."""
    rest = iter(words[1:])
    for word in rest:
        if word in ("--kubeconfig", "--namespace"):
            next(rest, None)
        elif not word.startswith("-"):
            return f"{words[0]} {word}"
    return words[0]


def _resolved(words: Words) -> list[str]:
    """The command with the program's full path, which Windows needs for .cmd files."""
    return [shutil.which(words[0]) or words[0], *words[1:]]


def _umask() -> int:
    """The umask that makes new files, such as the kubeconfig, readable by this user only."""
    return 0o077 if os.name == "posix" else -1


@contextlib.contextmanager
def _program(words: Words) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(f"{words[0]} is not found; install it") from None
    except PermissionError:
        raise ConfigurationError(f"{words[0]} cannot be run; check its rights") from None
