"""Reads the file of `--config`: TOML with `name = value` lines, whose names are those of the flags."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_pcc.config.options import Group, options_of, unknown
from beam_pcc.errors import ConfigurationError, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_file(path: str, groups: Sequence[type[Group]]) -> dict[str, Any]:
    """The settings in a file, with their types. Raises ConfigurationError that names file and setting."""
    where = f"--config {one_line(path, 120)}"
    try:
        content = tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{where} cannot be read: {error.strerror}; check the path and the rights") from None
    except ValueError as error:  # UnicodeDecodeError, or TOMLDecodeError, which names the line
        raise ConfigurationError(f"{where} is not TOML: {one_line(error, 120)}") from None
    known = {one.flag: one for group in groups for one in options_of(group)}
    settings: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            raise ConfigurationError(f"{where}: [{one_line(name, 60)}]: write name = value for each setting, no tables")
        if name == "partition":
            settings[name] = f"{value:%Y%m%d}" if isinstance(value, dt.date) else str(value)
        elif name in known:
            settings[name] = known[name].from_file(value, where)
        else:
            raise ConfigurationError(f"{where}: {unknown(name, [*known, 'partition'])}; see beam-pcc run --help")
    return settings
