"""Waits for a source that is not there yet, or still grows (`--wait_for_source`)."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from beam_pcc import progress
from beam_pcc.config.durations import in_words
from beam_pcc.errors import ConfigurationError, MissingSourceError, SourceError
from beam_pcc.sources.volume import SourceState, SourceVolume
from beam_pcc.terminal import logger

_log = logger(__name__)
_QUIET = 60.0  # seconds without a change after which a source is whole; a tenth of the wait if that is less
_LOG_EVERY = 300.0  # seconds between two progress lines that say the same


class Source(Protocol):
    """A source that was found."""

    @property
    def volume(self) -> SourceVolume:
        """What it holds. Raises SourceError if that cannot be read."""
        ...

    def state(self) -> SourceState:
        """What changes while it grows."""
        ...


S = TypeVar("S", bound=Source)


def wait_for_source(
    find: Callable[[], S],
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
) -> S:
    """The source, as soon as it is there and has not changed for a while.

    An empty source is waited for too; if it stays empty, it is returned.

    Args:
        find: Looks the source up.
        timeout: Seconds to wait at most.
        clock: A clock that only goes forward.
        sleep: Waits.
        now: The time of day, to compare with the source's last change.

    Raises:
        ConfigurationError: It is still not there, or still grows, when the time is over.
        PccError: As `find` raises it for any other reason.
    """
    with progress.task("waiting for the source", is_logged=False) as step:
        return _wait(find, timeout, clock, sleep, now, step)


def _wait(
    find: Callable[[], S],
    timeout: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    now: Callable[[], dt.datetime],
    step: progress.Task,
) -> S:
    deadline, quiet = clock() + timeout, min(_QUIET, timeout / 10)
    seen: object = None
    seen_at = clock()
    logged_reason, logged_at = "", clock()
    while True:
        found: S | None = None
        empty = False
        try:
            found = find()
            state = found.state()
            if state.signature != seen:
                seen, seen_at = state.signature, clock()
            empty = state.empty
            age = (now() - state.modified).total_seconds() if state.modified else 0.0
            if state.empty:
                reason = "it is empty"
            elif state.filling:
                reason = "rows are in its streaming buffer"
            elif max(age, clock() - seen_at) < quiet:
                reason = f"it changed within the last {in_words(quiet)}"
            else:
                _ = found.volume  # a file whose footer is not there yet is still being written
                return found
        except (MissingSourceError, SourceError) as error:
            if isinstance(error, SourceError) and found is None:
                raise
            reason = str(error)
        left = deadline - clock()
        if left <= 0:
            if empty and found is not None:
                return found
            raise ConfigurationError(f"waited {in_words(timeout)} for the source in vain (--wait_for_source): {reason}")
        if reason != logged_reason or clock() - logged_at >= _LOG_EVERY:
            _log.info("waiting for the source, at most %s more: %s", in_words(left), reason)
            logged_reason, logged_at = reason, clock()
            step.note = f"at most {in_words(left)}"
        sleep(min(max(quiet / 2, 0.05), left))
