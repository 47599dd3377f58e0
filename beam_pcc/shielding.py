"""Removes the content of rows from the errors of pipeline steps.

Runners log the message of an exception, and Flink stores it, so each step converts foreign exceptions to ours itself.
`shielded` decorates a DoFn class or a mapped function; a test asserts that each of our steps has it.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from beam_pcc.errors import PccError, RunError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.errors.messages import safe_description

_METHODS = ("setup", "start_bundle", "process", "finish_bundle", "teardown")
T = TypeVar("T", bound=Callable[..., Any])


def shielded(step: T) -> T:
    """Convert exceptions of a DoFn or a mapped function to a PccError without the messages of parsers and libraries."""
    if not isinstance(step, type):
        return _wrapped(step, step.__name__)  # type: ignore[return-value]
    for name in _METHODS:
        if name in vars(step):
            setattr(step, name, _wrapped(vars(step)[name], step.__name__))
    step.is_shielded = True  # type: ignore[attr-defined]
    return step


def _wrapped(function: Callable[..., Any], step: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with _without_content(step):
            result = function(*arguments, **named)
        return _each(result, step) if isinstance(result, types.GeneratorType) else result

    call.is_shielded = True  # type: ignore[attr-defined]
    return call


def _each(results: Iterator[Any], step: str) -> Iterator[Any]:
    with _without_content(step):
        yield from results


@contextlib.contextmanager
def _without_content(step: str) -> Iterator[None]:
    try:
        yield
    except PccError:
        raise
    except Exception as error:
        raise explain_machine(error, f"the step {step}") or RunError(
            f"the step {step} failed ({safe_description(error)}); run again, and if it fails again, report it"
        ) from None
