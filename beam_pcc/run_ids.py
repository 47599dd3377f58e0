"""Ids of runs: PARTITION-TIME-RANDOM, such as 20261120-20261121T020001Z-0a1b2c3d, which sort by day and time."""

from __future__ import annotations

import datetime as dt
import re
import secrets

_RUN_ID = re.compile(r"(\d{8})-(\d{8}T\d{6})Z-[0-9a-f]{8}", re.ASCII)


def new_run_id(partition: dt.date, now: dt.datetime) -> str:
    """A new id of a run of `partition` that starts at `now` (UTC)."""
    return f"{partition:%Y%m%d}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def is_run_id(text: str, partition: dt.date) -> bool:
    """Whether `text` is an id of a run of `partition`."""
    return text.startswith(f"{partition:%Y%m%d}-") and started_at(text) is not None


def started_at(text: str) -> dt.datetime | None:
    """When the run of that id started (UTC); None if it is no run's id."""
    match = _RUN_ID.fullmatch(text)
    try:
        return match and dt.datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None
