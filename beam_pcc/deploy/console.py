"""Commands of other programs, run one by one: each is shown as it can be copied, or run, never through a shell."""

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
class Answer:
    """What a program answered.

    Attributes:
        code: Its exit code.
        output: Its standard output, without the last line end.
        error: The last line of its standard error.
    """

    code: int
    output: str = ""
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0


@dataclass(frozen=True)
class Console:
    """Runs the programs; with `dry_run` shows every command and runs none.

    Attributes:
        show: Prints a line on standard output.
        say: Prints a line of progress on standard error; not with `dry_run`.
        dry_run: Whether commands are only shown.
    """

    show: Callable[[str], None]
    say: Callable[[str], None]
    dry_run: bool = False
    environment: Mapping[str, str] = field(default_factory=settings.of_programs, repr=False)

    def change(self, *words: str, to_stderr: bool = False) -> None:
        """Run a command whose output a person sees. Raises RunError if it fails."""
        if self.dry_run:
            self.show(command_line(words))
            return
        code = self.watch(*words, to_stderr=to_stderr)
        if code:
            raise RunError(f"{_what(words)} ended with exit code {code}; its own lines above say why")

    def watch(self, *words: str, to_stderr: bool = False) -> int:
        """Run a command whose output a person sees; return its exit code (with `dry_run` 0)."""
        if self.dry_run:
            self.show(command_line(words))
            return 0
        sys.stdout.flush()
        output = sys.stderr if to_stderr else None
        with _program(words):
            return subprocess.run(  # noqa: S603 - words, and no shell
                _resolved(words), stdin=subprocess.DEVNULL, stdout=output, env=self.environment, umask=_umask()
            ).returncode

    def ask(self, *words: str, instead: str = "", given: str | None = None) -> Answer:
        """Run a command for its answer; with `dry_run` the answer is `instead`. `given` is its standard input."""
        if self.dry_run:
            self.show(command_line(words))
            return Answer(0, instead)
        with _program(words):
            done = subprocess.run(  # noqa: S603 - as above
                _resolved(words),
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self.environment,
                umask=_umask(),
            )
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return Answer(done.returncode, done.stdout.rstrip("\n"), _end(lines[-1]) if lines else "")

    def succeeds(self, *words: str) -> bool:
        """Whether a command succeeds; with `dry_run` no, so that what would follow is shown."""
        if self.dry_run:
            self.show(command_line(words))
            return False
        return self.ask(*words).succeeded

    def pipe(self, first: Words, second: Words) -> None:
        """Give the output of one program to another, seen by nobody. Raises RunError if one of them fails."""
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
                taken = subprocess.run(  # noqa: S603 - as above
                    _resolved(second), stdin=source.stdout, stdout=sys.stderr, env=self.environment
                ).returncode
            if source.stdout is not None:
                source.stdout.close()
            gave = source.wait()
        for words, code in ((first, gave), (second, taken)):
            if code:
                raise RunError(f"{_what(words)} ended with exit code {code}; its own lines above say why")

    def note(self, text: str) -> None:
        """With `dry_run`, say what is done between two commands."""
        if self.dry_run:
            self.show(f"# {text}")


def _end(text: str) -> str:
    """A line without control characters; of a long one its end, where the cause stands."""
    folded = one_line(text, 100_000)
    return folded if len(folded) <= _LONGEST_ERROR else "…" + folded[-_LONGEST_ERROR:]


def is_installed(program: str) -> bool:
    """Whether a program is on the PATH."""
    return shutil.which(program) is not None


def command_line(words: Words, *, powershell: bool = os.name == "nt") -> str:
    """A command as the user's shell takes it: in PowerShell's quotes on Windows, else in a POSIX shell's."""
    if powershell:
        return " ".join(word if _is_plain(word) else "'" + word.replace("'", "''") + "'" for word in words)
    return shlex.join(words)


def _is_plain(word: str) -> bool:
    return bool(word) and word[0] not in "@%" and all(c.isascii() and (c.isalnum() or c in "_./:=@%+-\\") for c in word)


def _what(words: Words) -> str:
    """The program and its first word that is no option: aws eks, kubectl apply."""
    rest = iter(words[1:])
    for word in rest:
        if word in ("--kubeconfig", "--namespace"):
            next(rest, None)
        elif not word.startswith("-"):
            return f"{words[0]} {word}"
    return words[0]


def _resolved(words: Words) -> list[str]:
    """With the program's whole path: on Windows some are .cmd files, which are not found by their name alone."""
    return [shutil.which(words[0]) or words[0], *words[1:]]


def _umask() -> int:
    """New files of the programs, such as the kubeconfig, are for this user only."""
    return 0o077 if os.name == "posix" else -1


@contextlib.contextmanager
def _program(words: Words) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(f"{words[0]} is not found; install it") from None
    except PermissionError:
        raise ConfigurationError(f"{words[0]} cannot be run; check its rights") from None
