"""Ctrl-C and SIGTERM while partitions run: they are kept first, and raised where a run can be left.

An exception alone would not do. Libraries replace it by one of their own (DuckDB: "RuntimeError: Query interrupted"),
and then a backfill would go on with the next day.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from beam_pcc.errors import RunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Leaves a run from wherever it is, so that its failed row is still written. Never leaves `stop_signals`."""


class StoppedError(RunError):
    """A signal stopped the run."""


class StopSignals:
    """The first signal that asked to stop; more of them change nothing.

    Attributes:
        received: That signal; None while nobody asked.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._raises = False

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Raise `Stopped` on a signal that comes now, or that came before. Elsewhere it is only kept."""
        self._raises = True
        try:
            self._raise_if_received()
            yield
        finally:
            self._raises = False

    def install(self) -> None:
        """Catch both signals, in the main thread. Doing it again takes them back from a library that took them."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._keep)

    def failure(self) -> StoppedError:
        """What to say of a run that the signal ended."""
        return StoppedError(f"stopped by {self.received.name if self.received else 'nobody'}")

    def _keep(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            if self._raises:
                self._raise_if_received()

    def _raise_if_received(self) -> None:
        if self.received is not None:
            raise Stopped(self.received.name)


_current: StopSignals | None = None


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catch the signals until the end; within another one of these, the same. Catches none outside the main thread.

    Raises:
        RunError: For whatever was raised within once a signal had come.
    """
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield StopSignals()
        return
    outer, signals = _current, _current or StopSignals()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    _current = signals
    try:
        if outer is None:
            signals.install()
        yield signals
    except BaseException as error:
        if signals.received is None or isinstance(error, StoppedError):
            raise
        raise signals.failure() from error
    finally:
        _current = outer
        if outer is None:
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
