"""Fixtures of the tests of sources."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(500):
            if condition():
                return
            threading.Event().wait(0.02)
        raise AssertionError("still not so after 10 seconds")

    return wait
