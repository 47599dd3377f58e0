"""Waiting for a source, on a clock that the test moves."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from beam_pcc.errors import ConfigurationError, MissingSourceError, SourceError
from beam_pcc.sources.volume import SourceState, SourceVolume
from beam_pcc.sources.waiting import wait_for_source

START = dt.datetime(2026, 11, 21, 2, tzinfo=dt.timezone.utc)
HOUR = 3_600.0


@dataclass
class Clock:
    seconds: float = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds

    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.seconds)


@dataclass
class FakeSource:
    """A source whose state and volume depend on the time."""

    clock: Clock
    state_at: Callable[[float], SourceState]
    readable_at: float = 0.0

    @property
    def volume(self) -> SourceVolume:
        if self.clock.seconds < self.readable_at:
            raise SourceError("a.parquet cannot be read as Parquet; it may be cut off: write it again")
        return SourceVolume()

    def state(self) -> SourceState:
        return self.state_at(self.clock.seconds)


@dataclass
class World:
    """A source that is there from `there_at` on."""

    state_at: Callable[[float], SourceState]
    there_at: float = 0.0
    readable_at: float = 0.0
    clock: Clock = field(default_factory=Clock)

    def find(self) -> FakeSource:
        if self.clock.seconds < self.there_at:
            raise MissingSourceError("--source day.parquet matches no file; check the path and the partition")
        return FakeSource(self.clock, self.state_at, self.readable_at)

    def wait(self, timeout: float = HOUR) -> float:
        """The time at which the wait ended."""
        wait_for_source(
            self.find, timeout, clock=lambda: self.clock.seconds, sleep=self.clock.sleep, now=self.clock.now
        )
        return self.clock.seconds


def settled(seconds: float) -> SourceState:
    return SourceState("same")


def of_yesterday(seconds: float) -> SourceState:
    return SourceState("same", START - dt.timedelta(hours=3))


def test_source_of_hours_ago_is_not_waited_for() -> None:
    assert World(of_yesterday).wait() == 0


def test_source_without_a_time_is_looked_at_twice() -> None:
    assert World(settled).wait() == 60


def test_missing_source_is_waited_for() -> None:
    assert World(of_yesterday, there_at=1_000).wait() == pytest.approx(1_000, abs=30)


def test_growing_source_is_waited_for() -> None:
    def growing(seconds: float) -> SourceState:
        last = min(seconds, 600)
        return SourceState(last, START + dt.timedelta(seconds=last))

    assert World(growing).wait() == pytest.approx(660, abs=30)


def test_source_moved_here_with_an_old_time_and_a_new_file() -> None:
    """The newest file may be older than the day; a change is a change."""

    def one_more(seconds: float) -> SourceState:
        return SourceState("two files" if seconds > 20 else "one file", START + dt.timedelta(days=1))

    assert World(one_more).wait() == pytest.approx(90, abs=30)


def test_filling_buffer_is_waited_for() -> None:
    def filling(seconds: float) -> SourceState:
        return SourceState("same", START - dt.timedelta(hours=3), filling=seconds < 900)

    assert World(filling).wait() == pytest.approx(900, abs=30)


def test_file_without_its_end_is_waited_for() -> None:
    assert World(of_yesterday, readable_at=500).wait() == pytest.approx(500, abs=30)


def test_source_that_never_comes_ends_the_wait() -> None:
    with pytest.raises(ConfigurationError) as error:
        World(settled, there_at=2 * HOUR).wait()
    assert str(error.value) == (
        "waited 1h for the source in vain (--wait_for_source): --source day.parquet matches no file; check the path "
        "and the partition"
    )


def test_source_that_never_rests_ends_the_wait() -> None:
    world = World(lambda seconds: SourceState(seconds))
    with pytest.raises(ConfigurationError, match=r"waited 1h .* in vain .*: it changed within the last 1m"):
        world.wait()
    assert world.clock.seconds == HOUR


def test_empty_source_is_an_empty_day_at_the_end() -> None:
    assert World(lambda _: SourceState("none", empty=True)).wait() == HOUR


def test_other_errors_end_the_wait_at_once() -> None:
    world = World(settled)

    def find() -> FakeSource:
        raise SourceError("BigQuery cannot be reached")

    with pytest.raises(SourceError, match="cannot be reached"):
        wait_for_source(find, HOUR, clock=lambda: world.clock.seconds, sleep=world.clock.sleep)
    assert world.clock.seconds == 0


def test_a_short_wait_has_a_short_quiet_time() -> None:
    assert World(settled).wait(20) == 2


def test_progress_lines_say_what_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "beam_pcc"):
        World(of_yesterday, there_at=1_000).wait()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert lines[0] == (
        "waiting for the source, at most 1h more: --source day.parquet matches no file; check the path and the "
        "partition"
    )
