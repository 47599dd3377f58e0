"""The one retry policy, on a clock of its own: which calls are made again, when, and when it ends."""

from collections.abc import Iterator

import pytest

from beam_pcc.errors import RunError, retrying
from beam_pcc.errors.retrying import Pauses, retry


class Clock:
    """Sleeping takes no time, but is counted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(retrying.time, "sleep", clock.sleep)
    return clock


class Call:
    """Fails as often as it is told to, and then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


def test_transient_error_is_retried_until_an_answer(clock: Clock) -> None:
    call = Call(ConnectionResetError(), 3)

    assert retry(call, lambda: 60 - clock.now) == "answer"
    assert call.calls == 4


def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    retry(Call(TimeoutError(), 8), lambda: 600 - clock.now)

    for pause, longest in zip(clock.pauses, [0.5, 1, 2, 4, 8, 10, 10, 10], strict=True):
        assert longest / 2 <= pause <= longest


def test_permanent_error_is_raised_at_once(clock: Clock) -> None:
    call = Call(RunError("refused"), 9)
    with pytest.raises(RunError, match="refused"):
        retry(call, lambda: 60 - clock.now)

    assert (call.calls, clock.pauses) == (1, [])


def test_last_call_is_made_at_the_deadline(clock: Clock) -> None:
    with pytest.raises(ConnectionResetError):
        retry(Call(ConnectionResetError(), 10**6), lambda: 60 - clock.now)

    assert clock.now == pytest.approx(60)


def test_call_without_time_is_made_once(clock: Clock) -> None:
    call = Call(TimeoutError(), 9)
    with pytest.raises(TimeoutError):
        retry(call, lambda: 0.0)

    assert call.calls == 1


def test_asked_pause_is_kept(clock: Clock) -> None:
    retry(Call(TimeoutError(), 1), lambda: 60 - clock.now, asked_pause=lambda _: 30.0)
    assert clock.pauses == [30.0]


def test_asked_pause_beyond_the_time_left_is_not_begun(clock: Clock) -> None:
    with pytest.raises(TimeoutError):
        retry(Call(TimeoutError(), 1), lambda: 60 - clock.now, asked_pause=lambda _: 61.0)
    assert clock.pauses == []


def test_google_gets_the_same_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_pcc.gcp import client

    monkeypatch.setattr(retrying, "PAUSES", Pauses(0.25, 3.0, 1.5))
    for policy in (client.retry(7.0), client.stream_retry(7.0)):
        pauses = (policy._initial, policy._maximum, policy._multiplier, policy._timeout)
        assert pauses == (0.25, 3.0, 1.5, 7.0)
