"""A call in a process of its own, without starting Python anew."""

import json
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Forked:
    """How the process ended.

    Attributes:
        result: Of the call, through JSON; None if the process ended before it had one.
        status: Its exit code, or the signal that killed it, below 0.
        used: What it used.
    """

    result: Any
    status: int
    used: resource.struct_rusage


def forked(act: Callable[[], Any], of_error: Callable[[BaseException], Any]) -> Forked:
    """Call `act` in a copy of this process; `of_error` makes a result of what it raises."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            result = act()
        except BaseException as error:
            result = of_error(error)
        with os.fdopen(writing, "w") as pipe:
            json.dump(result, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child, 0)
    return Forked(json.loads(text) if text else None, os.waitstatus_to_exitcode(status), used)
