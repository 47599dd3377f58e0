"""Stores of models and encoders: a folder on disk, or a folder in a Cloud Storage bucket.

Both guarantee that adding a folder is atomic, and that of two processes that replace the same generation of a file,
exactly one succeeds.
"""

from __future__ import annotations

from beam_pcc.addresses import absolute
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.gcp.names import gcp_extra
from beam_pcc.storage.base import Store
from beam_pcc.storage.folder import LocalStore


def open_store(root: str, flag: str = "--models") -> Store:
    """The store at `root`, a path or gs://BUCKET/FOLDER. Raises ConfigurationError for any other address."""
    root = absolute(root)
    if root.startswith("gs://"):
        with gcp_extra(flag):
            from beam_pcc.storage.bucket import CloudStore
        return CloudStore(root)
    if "://" in root:
        raise ConfigurationError(f"{flag} {one_line(root, 120)}: write a folder, or gs://BUCKET/FOLDER")
    return LocalStore(root)
