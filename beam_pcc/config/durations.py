"""Parses lengths of time as a person writes them: 90s, 30m, 2h, 1h30m, or a number of seconds."""

from __future__ import annotations

import re

_UNITS = {"h": 3_600, "m": 60, "s": 1}


def parse_duration(text: str) -> float | None:
    """The seconds; None if the text is no length of time."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    match = re.fullmatch(r"(?=\d)(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text, re.ASCII)
    if match is None:
        return None
    return float(
        sum(int(number) * size for number, size in zip(match.groups(default="0"), _UNITS.values(), strict=True))
    )


def in_words(seconds: float) -> str:
    """A length of time as `parse_duration` reads it, in whole seconds."""
    left = round(seconds)
    parts = []
    for unit, size in _UNITS.items():
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
