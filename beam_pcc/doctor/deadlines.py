"""Runs checks beside each other, each with the same deadline: one that hangs is a failure and stops no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from beam_pcc import progress
from beam_pcc.errors import PccError
from beam_pcc.errors.messages import unexpected

Status = Literal["ok", "failed", "skipped"]


class NotNeededError(Exception):
    """The settings do not use what a check is about; the message says so."""


class Finding(NamedTuple):
    """The result of a check: what was seen, or what is wrong and how to correct it."""

    name: str
    status: Status
    message: str


def run_checks(checks: Mapping[str, Callable[[], str]], timeout: float) -> list[Finding]:
    """Run each check in a thread, and wait for at most `timeout` seconds for all of them.

    Args:
        checks: By name. A check returns its message, or raises NotNeededError, or an error, which is a failure.
        timeout: Seconds. The thread of a check that takes longer is left behind; it must not be waited for.

    Returns:
        The findings, in the order of the checks.
    """
    findings: dict[str, Finding] = {}
    with progress.task("checking", total=len(checks), unit="checks") as step:
        _run_each(checks, timeout, findings, step)
    late = f"no answer within {timeout:g} s; look at the network and the address, or wait longer with --timeout"
    finished = dict(findings)
    return [finished.get(name, Finding(name, "failed", late)) for name in checks]


def _run_each(
    checks: Mapping[str, Callable[[], str]], timeout: float, findings: dict[str, Finding], step: progress.Task
) -> None:
    def run(name: str, check: Callable[[], str]) -> None:
        findings[name] = _finding(name, check)
        step.advance()

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in checks.items()]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", check())
    except NotNeededError as reason:
        return Finding(name, "skipped", str(reason))
    except PccError as error:
        return Finding(name, "failed", str(error))
    except Exception as error:
        return Finding(name, "failed", str(unexpected(error)))
