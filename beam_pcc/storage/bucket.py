"""The registry's files in a Cloud Storage bucket. Needs the gcp extra."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed, RetryError
from google.cloud import storage  # type: ignore[attr-defined] # it brings no types
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.gcp.client import RETRY_TIMEOUT, explained, paced
from beam_pcc.storage.base import Content, require_size
from beam_pcc.terminal import logger

_log = logger(__name__)
_ADDRESS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*?))?/*")
_READS = 3  # attempts to read a file that is replaced meanwhile
_WRITER = "pcc-writer"
_KEEP = dt.timedelta(days=1)  # how long an incomplete folder is kept: longer than one is written
_LISTED = "items(name,generation,metadata,updated),nextPageToken"


class CloudStore:
    """A folder in an existing Cloud Storage bucket: gs://BUCKET/FOLDER or gs://BUCKET."""

    def __init__(self, root: str) -> None:
        match = _ADDRESS.fullmatch(root)
        if not match:
            raise ConfigurationError(
                f"--models {one_line(root, 120)} is no folder in a bucket: write gs://BUCKET/FOLDER"
            )
        bucket, folder = match[1], (match[2] or "").strip("/")
        self.address = f"gs://{bucket}/{folder}".rstrip("/")
        self._prefix = f"{folder}/" if folder else ""
        self._retry = paced(DEFAULT_RETRY, RETRY_TIMEOUT)
        with _explained(self.address):
            client = storage.Client(project=None)  # reading and writing files needs no project
        self._bucket: Any = client.bucket(bucket)

    def path(self, name: str) -> str:
        """See `Store`."""
        return f"{self.address}/{name}"

    def folders(self, start: str, last: Collection[str]) -> list[str]:
        """See `Store`. The file `last` shows that a folder is complete."""
        paths = [name.split("/") for name in self._names(start)]
        return sorted({parts[0] for parts in paths if len(parts) == 2 and parts[1] in last})

    def files(self, folder: str) -> set[str]:
        """See `Store`."""
        names = {name.removeprefix(f"{folder}/") for name in self._names(f"{folder}/")}
        return {name for name in names if name and "/" not in name}

    def _names(self, start: str) -> list[str]:
        """The names that begin with `start`, from all pages."""
        with _explained(self.address):
            blobs = self._bucket.list_blobs(
                prefix=self._prefix + start, fields="items(name),nextPageToken", retry=self._retry
            )
            return [blob.name.removeprefix(self._prefix) for blob in blobs]

    def read(self, name: str, limit: int) -> Content | None:
        """See `Store`. Downloads the stored bytes of the generation whose size it has checked."""
        for _ in range(_READS):
            with _explained(self.path(name)), contextlib.suppress(NotFound):
                blob = self._bucket.get_blob(self._prefix + name, retry=self._retry)
                if blob is None:
                    return None
                require_size(self.path(name), blob.size, limit)
                pinned = self._bucket.blob(blob.name, generation=blob.generation)  # NotFound if it was replaced
                return Content(pinned.download_as_bytes(raw_download=True, retry=self._retry), int(blob.generation))
        raise ModelError(f"{self.path(name)} was replaced each time that it was read; run again")

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """See `Store`. Cloud Storage compares the generation and writes in one step."""
        blob = self._bucket.blob(self._prefix + name)
        writer = secrets.token_hex(8)
        blob.metadata = {_WRITER: writer}
        with _explained(self.path(name)):
            try:
                blob.upload_from_string(
                    data, "application/octet-stream", if_generation_match=generation, retry=self._retry
                )
            except PreconditionFailed:
                # An earlier attempt of ours may have succeeded although its response was lost.
                current = self._bucket.get_blob(self._prefix + name, retry=self._retry)
                return current is not None and (current.metadata or {}).get(_WRITER) == writer
        return True

    def prepare(self) -> None:
        """See `Store`."""
        with _explained(self.address):
            list(self._bucket.list_blobs(prefix=self._prefix, max_results=1, fields="items(name)", retry=self._retry))

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """See `Store`. A bucket cannot rename folders: the last file completes the folder (see `folders`)."""
        self._remove_dead(tuple(files))
        return all(self.replace(f"{folder}/{name}", data, 0) for name, data in files.items())

    def _remove_dead(self, names: Sequence[str]) -> None:
        """Remove what killed processes left of folders with these files, in this order: all but the last, for a day.

        Only files that this program wrote. An account that may not delete leaves them.
        """
        folders: dict[str, list[Any]] = defaultdict(list)
        with contextlib.suppress(GoogleAPIError):
            for blob in self._bucket.list_blobs(prefix=self._prefix, fields=_LISTED, retry=self._retry):
                folder, _, _ = blob.name.removeprefix(self._prefix).partition("/")
                folders[folder].append(blob)
            oldest = dt.datetime.now(dt.timezone.utc) - _KEEP
            for folder, blobs in folders.items():
                begun = {f"{self._prefix}{folder}/{name}" for name in names[:-1]}
                is_ours = all(blob.name in begun and _WRITER in (blob.metadata or {}) for blob in blobs)
                if is_ours and all(blob.updated and blob.updated < oldest for blob in blobs):
                    for blob in blobs:
                        with contextlib.suppress(NotFound, PreconditionFailed):
                            blob.delete(if_generation_match=blob.generation, retry=self._retry)
                    _log.info("removed %s, which a killed process left incomplete", self.path(folder))


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Convert exceptions of Google's clients to ModelError."""
    with explained(where, ModelError):
        try:
            yield
        except RetryError as error:  # models have a fixed timeout, unlike the --retry_timeout of a run
            raise ModelError(
                f"{where}: Cloud Storage did not answer well for {RETRY_TIMEOUT:.0f} s "
                f"({one_line(error.cause or error, 120)}); run again later"
            ) from None
