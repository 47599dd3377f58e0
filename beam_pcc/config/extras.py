"""What is installed only where it is asked for (the extras of pyproject.toml): a missing one is one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from beam_pcc.errors import missing_extra


@contextlib.contextmanager
def extra(name: str, who: str) -> Iterator[None]:
    """Around an import: say which extra is missing, for what. Raises ConfigurationError."""
    try:
        yield
    except ImportError as error:
        raise missing_extra(name, who, error) from None
