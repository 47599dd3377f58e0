"""Parses partitions, which are UTC days. Imports little, so that every command can use it."""

from __future__ import annotations

import datetime as dt
import re

from beam_pcc.errors import ConfigurationError, one_line


def parse_partition(text: str, today: dt.date | None = None) -> dt.date:
    """Read YYYYMMDD (or YYYY-MM-DD), `today` or `yesterday` (UTC). Raises ConfigurationError."""
    today = today or dt.datetime.now(dt.timezone.utc).date()
    if text in ("today", "yesterday"):
        return today if text == "today" else today - dt.timedelta(days=1)
    match = re.fullmatch(r"(\d{4})(-?)(\d{2})\2(\d{2})", text, re.ASCII)
    try:
        if match:
            return dt.date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        pass
    raise ConfigurationError(f"partition {one_line(repr(text), 40)} is not a date: use YYYYMMDD, today or yesterday")
