"""Names of model versions, and which of them a run uses. Reads folder names, never a model.

A version is named vYYYYMMDD_HHMMSS; vYYYYMMDDHHMMSS is accepted, too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from beam_pcc.errors import ModelError, one_line
from beam_pcc.storage.base import Store

MODEL_FILES = ("model.joblib", "model.skops", "model.onnx")
_VERSION = re.compile(r"v(\d{8})_?(\d{6})", re.ASCII)


def new_version(now: dt.datetime) -> str:
    """The name of a version that is created at `now` (UTC)."""
    return f"v{now:%Y%m%d_%H%M%S}"


def list_versions(store: Store) -> list[str]:
    """All versions, oldest first. Ignores folders with other names, and in a bucket those without a model."""
    names = [name for name in store.folders("v", MODEL_FILES) if _VERSION.fullmatch(name)]
    return sorted(names, key=_time)


def remove_incomplete(store: Store) -> list[str]:
    """Remove what a killed training left of versions; return their names."""
    return store.remove_incomplete("v", _VERSION, MODEL_FILES)


def find_version(wanted: str, versions: Sequence[str], *, named_by: str, address: str) -> str:
    """The name of the version's folder; `wanted` may have the other spelling.

    Args:
        wanted: The requested version.
        versions: The existing versions, oldest first.
        named_by: The flag, command or file that names it, for the error.
        address: Of the registry, for the error.

    Raises:
        ModelError: There is no such version.
    """
    if wanted in versions:
        return wanted
    if _VERSION.fullmatch(wanted):
        for version in versions:
            if _time(version) == _time(wanted):
                return version
    raise ModelError(
        f"{named_by} names {one_line(wanted, 60)}, which is not in {address} "
        f"(newest: {', '.join(versions[-3:]) or 'none'}); see beam-pcc models list"
    )


def default_version(versions: Sequence[str], today: dt.date) -> str:
    """The first version of `today`, else the latest. `versions` is sorted, oldest first, and not empty."""
    of_today = [version for version in versions if _time(version).startswith(f"{today:%Y%m%d}")]
    return of_today[0] if of_today else versions[-1]


def _time(version: str) -> str:
    """YYYYMMDDHHMMSS of a version in either spelling."""
    return _VERSION.sub(r"\1\2", version)
