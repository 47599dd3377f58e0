"""The one retry policy: the pauses before a call over a network is repeated.

`foreign` says which exceptions are transient; the caller limits the time. `beam_pcc.gcp.client` gives the retries of
Google's clients the same pauses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from beam_pcc.errors.foreign import is_transient

T = TypeVar("T")


class Pauses(NamedTuple):
    """The first and the longest pause in seconds. Each is drawn at random from the upper half of its length."""

    first: float = 0.5
    longest: float = 10.0
    factor: float = 2.0

    def __call__(self) -> Iterator[float]:
        """Endless pauses, in seconds."""
        pause = self.first
        while True:
            yield pause * random.uniform(0.5, 1.0)  # noqa: S311  # nosec B311 - jitter, not a secret
            pause = min(pause * self.factor, self.longest)


PAUSES = Pauses()


def _asks_for_no_pause(_: BaseException) -> float:
    return 0.0


def retry(
    call: Callable[[], T],
    seconds_left: Callable[[], float],
    *,
    may_retry: Callable[[BaseException], bool] = is_transient,
    asked_pause: Callable[[BaseException], float] = _asks_for_no_pause,
) -> T:
    """The result of `call`, which is repeated after each transient error while there is time.

    Args:
        call: The call.
        seconds_left: The seconds that remain; called after each failure. The last call is made when none remain.
        may_retry: Whether an exception is transient.
        asked_pause: The shortest pause in seconds that the server asked for in this exception.

    Raises:
        Exception: The exception of the last call.
    """
    pauses = PAUSES()
    while True:
        try:
            return call()
        except Exception as error:
            left, asked = seconds_left(), asked_pause(error)
            if left <= 0 or asked > left or not may_retry(error):
                raise
        time.sleep(max(asked, min(next(pauses), left)))
