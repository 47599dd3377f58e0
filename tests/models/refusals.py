"""Checks of the error message of a refused model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beam_pcc.errors import ModelError


def refusal(start: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The one line that the call is refused with, which begins like that."""
    with pytest.raises(ModelError) as refused:
        call(*arguments, **options)
    error = str(refused.value)
    assert error.startswith(start)
    assert error.isprintable()
    assert len(error) < 400
    return error
