"""The signals that stop a run: kept, raised as one error, and never hidden by another."""

import contextlib
import os
import signal
import threading

import pytest

from beam_pcc.pipeline.signals import Stopped, StoppedError, stop_signals

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def send(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_is_an_error_that_names_it(number: signal.Signals) -> None:
    with pytest.raises(StoppedError, match=f"^stopped by {number.name}$"), stop_signals() as signals, signals.raised():
        send(number)


def test_signal_outside_of_raised_is_raised_at_its_next_begin() -> None:
    with stop_signals() as signals:
        send()
        assert signals.received is signal.SIGINT
        with pytest.raises(Stopped), signals.raised():
            pass


def test_exception_of_a_library_does_not_hide_the_signal() -> None:
    def query() -> None:
        try:
            send(signal.SIGTERM)
        except Stopped:
            raise RuntimeError("Query interrupted") from None

    with pytest.raises(StoppedError, match="SIGTERM"), stop_signals() as signals, signals.raised():
        query()


def test_signal_that_a_library_swallowed_is_still_known() -> None:
    with stop_signals() as signals:
        with signals.raised(), contextlib.suppress(Stopped):
            send()
        assert signals.received is signal.SIGINT


def test_second_signal_changes_nothing() -> None:
    with stop_signals() as signals:
        with pytest.raises(Stopped), signals.raised():
            send(signal.SIGTERM)
        send(signal.SIGINT)
        assert signals.received is signal.SIGTERM


def test_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(KeyError), stop_signals() as signals, signals.raised():
        raise KeyError


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_signals():
        with stop_signals():
            pass
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_inner_signals_are_those_of_the_outer() -> None:
    with stop_signals() as outer, stop_signals() as inner:
        assert inner is outer


def test_other_threads_leave_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with stop_signals() as signals, signals.raised():
            signals.install()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
