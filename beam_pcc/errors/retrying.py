"""The one retry policy: how long the pauses are before a call over a network is made again.

What is worth trying again is in `foreign`; how long altogether, the caller says. Google's clients have retries of their
own, which `beam_pcc.gcp.client` gives the same pauses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from beam_pcc.errors.foreign import is_transient

T = TypeVar("T")


class Pauses(NamedTuple):
    """Seconds of the first and of the longest pause; each is drawn at random from the upper half of its length."""

    first: float = 0.5
    longest: float = 10.0
    factor: float = 2.0

    def __call__(self) -> Iterator[float]:
        """Pause after pause, without end."""
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
    """The result of `call`, which is made again after each transient error as long as there is time.

    Args:
        call: The call.
        seconds_left: How long may still be waited, asked after each failure; the last call is made when that is over.
        may_retry: Whether an exception is transient.
        asked_pause: The shortest pause, in seconds, that the server asked for in this exception.

    Raises:
        Exception: That of the last call.
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
