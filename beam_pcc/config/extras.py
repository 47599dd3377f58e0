"""Imports of optional packages, the extras of pyproject.toml: a missing one is a one-line error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from beam_pcc.errors import missing_extra


@contextlib.contextmanager
def extra(name: str, who: str) -> Iterator[None]:
    """Wrap an import; raises ConfigurationError that names the missing extra and `who` needs it."""
    try:
        yield
    except ImportError as error:
        raise missing_extra(name, who, error) from None
