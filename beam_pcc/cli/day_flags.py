"""Flags that name the days that a command reads."""

from __future__ import annotations

import argparse
import datetime as dt

from beam_pcc.config.partitions import parse_partition
from beam_pcc.errors import ConfigurationError

DAYS = 30
"""Read by default."""


def add_day_arguments(parser: argparse.ArgumentParser, *, latest: str = "the latest with a run") -> None:
    """Declare the flags; `latest` says which day is the last one by default."""
    parser.add_argument("--partition", help="this day only: YYYYMMDD, today or yesterday")
    parser.add_argument("--from", dest="first", metavar="YYYYMMDD", help="the first day")
    parser.add_argument("--to", dest="last", metavar="YYYYMMDD", help=f"the last day (default: {latest})")
    parser.add_argument("--last", dest="days", type=int, metavar="N", help=f"so many days (default: {DAYS})")


def named_days(flags: argparse.Namespace) -> tuple[dt.date | None, dt.date | None]:
    """The first and the last day as the flags name them. Raises ConfigurationError if they contradict each other."""
    from beam_pcc.reporting.days import MAX_DAYS, check_period

    if flags.days is not None and not 1 <= flags.days <= MAX_DAYS:
        raise ConfigurationError(f"--last must be between 1 and {MAX_DAYS} days")
    if flags.days is not None and flags.first:
        raise ConfigurationError("--last and --from exclude each other: give one")
    if flags.partition and (flags.first or flags.last or flags.days is not None):
        raise ConfigurationError("--partition is one day: leave out --from, --to and --last")
    if flags.partition:
        day = parse_partition(flags.partition)
        return day, day
    first, last = (parse_partition(text) if text else None for text in (flags.first, flags.last))
    check_period(first, last)
    return first, last
