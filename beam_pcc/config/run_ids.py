"""Ids of runs: PARTITION-TIME-RANDOM, such as 20261120-20261121T020001Z-0a1b2c3d, which sort by day and time."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets

_RUN_ID = re.compile(r"(\d{8})-(\d{8}T\d{6})Z-[0-9a-f]{8}", re.ASCII)


def new_run_id(partition: dt.date, now: dt.datetime, job: str | None = None) -> str:
    """A new id of a run of `partition` that starts at `now` (UTC).

    With `job`, the uid of the Kubernetes Job that starts it, the last part is not random but identifies the Job.
    """
    last = secrets.token_hex(4) if job is None else _job_digits(partition, job)
    return f"{partition:%Y%m%d}-{now:%Y%m%dT%H%M%SZ}-{last}"


def is_of_job(run_id: str, partition: dt.date, job: str) -> bool:
    """Whether this Job started that run of `partition`."""
    return is_run_id(run_id, partition) and run_id.endswith(f"-{_job_digits(partition, job)}")


def _job_digits(partition: dt.date, job: str) -> str:
    return hashlib.sha256(f"{job} {partition:%Y%m%d}".encode()).hexdigest()[:8]


def is_run_id(text: str, partition: dt.date) -> bool:
    """Whether `text` is an id of a run of `partition`."""
    return text.startswith(f"{partition:%Y%m%d}-") and started_at(text) is not None


def started_at(text: str) -> dt.datetime | None:
    """The start time in a run id (UTC); None if the text is no run id."""
    match = _RUN_ID.fullmatch(text)
    try:
        return match and dt.datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None
