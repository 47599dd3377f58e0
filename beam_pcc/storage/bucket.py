"""The registry's files in a Cloud Storage bucket. Needs the gcp extra."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed, RetryError
from google.cloud import storage  # type: ignore[attr-defined] # it brings no types
from google.cloud.storage.retry import DEFAULT_RETRY

from beam_pcc import progress
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.errors.messages import logged
from beam_pcc.gcp.client import RETRY_TIMEOUT, explained, paced
from beam_pcc.storage.base import Content, require_size
from beam_pcc.terminal import logger

_log = logger(__name__)
_ADDRESS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*?))?/*")
_READS = 3  # attempts to read a file that is replaced meanwhile
_WRITER = "pcc-writer"
_DEAD_AFTER = dt.timedelta(days=1)  # longer than any folder is being written


class _Counted(io.BytesIO):
    """Bytes in memory; writing them is progress."""

    def __init__(self, step: progress.Task) -> None:
        super().__init__()
        self._step = step

    def write(self, data: Any) -> int:
        written = super().write(data)
        self._step.update(self.tell())  # a download that begins again goes back
        return written


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
                return Content(self._download(pinned, name, blob.size), int(blob.generation))
        raise ModelError(f"{self.path(name)} was replaced each time that it was read; run again")

    def _download(self, blob: Any, name: str, size: int) -> bytes:
        with progress.task(f"downloading {name}", total=size, unit="bytes") as step:
            data = _Counted(step)
            blob.download_to_file(data, raw_download=True, retry=self._retry)
            return data.getvalue()

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """See `Store`. Cloud Storage compares the generation and writes in one step."""
        blob = self._bucket.blob(self._prefix + name)
        writer = secrets.token_hex(8)
        blob.metadata = {_WRITER: writer}
        with _explained(self.path(name)), progress.task(f"uploading {name}", total=len(data), unit="bytes") as step:
            try:
                blob.upload_from_string(
                    data, "application/octet-stream", if_generation_match=generation, retry=self._retry
                )
            except PreconditionFailed:
                # An earlier attempt of ours may have succeeded although its response was lost.
                current = self._bucket.get_blob(self._prefix + name, retry=self._retry)
                return current is not None and (current.metadata or {}).get(_WRITER) == writer
            step.advance(len(data))
        return True

    def prepare(self) -> None:
        """See `Store`."""
        with _explained(self.address):
            list(self._bucket.list_blobs(prefix=self._prefix, max_results=1, fields="items(name)", retry=self._retry))

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """See `Store`. A bucket cannot rename folders: the last file completes the folder (see `folders`)."""
        created = False
        for name, data in files.items():
            created = self.replace(f"{folder}/{name}", data, 0)
            if not created and not self._holds(f"{folder}/{name}", data):
                return False
        return created

    def _holds(self, name: str, data: bytes) -> bool:
        with _explained(self.path(name)):
            blob = self._bucket.get_blob(self._prefix + name, retry=self._retry)
        if blob is None or blob.size != len(data):
            return False
        content = self.read(name, len(data))
        return content is not None and content.data == data

    def remove_incomplete(self, start: str, names: re.Pattern[str], last: Collection[str]) -> list[str]:
        """See `Store`. Whoever writes need not have the right to delete: then they stay."""
        removed = []
        with logged(_log.info, "%s: incomplete folders stay", self.address), _explained(self.address):
            for folder, blobs in self._blobs_by_folder(start).items():
                is_complete = any(blob.name.rpartition("/")[2] in last for blob in blobs)
                newest = max(blob.time_created for blob in blobs)
                if names.fullmatch(folder) and not is_complete and _now() - newest > _DEAD_AFTER:
                    for blob in blobs:
                        with contextlib.suppress(NotFound, PreconditionFailed):  # somebody completes it after all
                            blob.delete(if_generation_match=blob.generation, retry=self._retry)
                    removed.append(folder)
        return removed

    def _blobs_by_folder(self, start: str) -> dict[str, list[Any]]:
        folders: dict[str, list[Any]] = {}
        for blob in self._bucket.list_blobs(prefix=self._prefix + start, retry=self._retry):
            folder, slash, _ = blob.name.removeprefix(self._prefix).partition("/")
            if slash:
                folders.setdefault(folder, []).append(blob)
        return folders


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


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
