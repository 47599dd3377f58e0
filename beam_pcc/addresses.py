"""Addresses of files and folders, from what a person writes to what holds on every worker."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from beam_pcc.errors import ConfigurationError, one_line

_LOCAL = ("", "localhost")


def absolute(address: str) -> str:
    """The same address without ~, file:// and the working directory, which another process need not share.

    Addresses of other schemes, such as gs://, stay as they are. Raises ConfigurationError.
    """
    if address.lower().startswith("file://"):
        host, slash, path = address[len("file://") :].partition("/")
        if host not in _LOCAL or not slash:
            raise ConfigurationError(
                f"{one_line(address, 120)} names no file of this machine: write file:///FOLDER/FILE, or the path"
            )
        written = slash + path
        address = written if Path(written).exists() else urllib.parse.unquote(written)
    if not address or "://" in address:
        return address
    try:
        return str(Path(address).expanduser().absolute())
    except RuntimeError:  # ~ of somebody who is not there
        raise ConfigurationError(f"{one_line(address, 120)}: no such home folder; write the whole path") from None
