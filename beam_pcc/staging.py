"""Where a run leaves its files between the steps: `<staging>/<run_id>/`, on any Beam filesystem."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pcc.errors import ConfigurationError, RunError, one_line
from beam_pcc.run_ids import started_at

_log = logging.getLogger(__name__)
_BEGUN = "begun"
_OUTCOME = "outcome.json"
KEEP = dt.timedelta(days=1)  # how long a dead run's files are kept: longer than any run lasts


@dataclass(frozen=True)
class StagingArea:
    """The staging folder of one run."""

    root: str
    run_id: str

    def join(self, name: str) -> str:
        """The path of one of the run's files."""
        return str(FileSystems.join(self.root, self.run_id, name))

    def begin(self) -> None:
        """Make the run's folder, with a file in it: who cannot stage rows is told so before any are read.

        Raises:
            ConfigurationError: Nothing can be written there.
            RunError: Not now.
        """
        try:
            with FileSystems.create(self.join(_BEGUN), compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(b"")
        except Exception as error:  # each filesystem has its own errors
            status = getattr(getattr(error, "response", None), "status_code", 0)
            kind = RunError if status == 429 or status >= 500 else ConfigurationError
            said = f"HTTP {status}" if status else one_line(error, 160)
            raise kind(
                f"--staging {self.root} cannot be written ({said}); check the path and the rights, or run again later"
            ) from None

    def outcome(self) -> bytes | None:
        """What `finish` left, if the run came that far."""
        path = self.join(_OUTCOME)
        if not FileSystems.exists(path):
            return None
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            content: bytes = file.read()
            return content

    def finish(self, outcome: bytes) -> None:
        """Leave the outcome for whoever waits for it."""
        path = self.join(_OUTCOME)
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(outcome)

    def remove(self) -> None:
        """Remove the run's folder; it may be gone already."""
        folder = FileSystems.join(self.root, self.run_id)
        try:
            found = FileSystems.match([FileSystems.join(folder, "**")])[0].metadata_list
        except BeamIOError:  # no such bucket, or none to be seen; what there is goes with a later run
            return
        try:
            files = [file.path for file in found]
            if files:
                FileSystems.delete(files)
            if FileSystems.exists(folder):  # a folder of its own is there on disks, not in buckets
                FileSystems.delete([folder])
        except Exception as error:  # each filesystem has its own errors; the next run tries again
            _log.warning("staged files of %s stay behind: %s", self.run_id, error)


def staged_runs(root: str) -> set[str]:
    """The ids of the runs that have files below `root`."""
    try:
        found = FileSystems.match([FileSystems.join(root, "*", "*")])[0].metadata_list
    except BeamIOError:
        return set()
    return {FileSystems.split(FileSystems.split(file.path)[0])[1] for file in found}


def heal(root: str, now: dt.datetime) -> list[str]:
    """Remove what runs that died more than a day ago left below `root`; return their run ids."""
    old = []
    for run_id in sorted(staged_runs(root)):
        started = started_at(run_id)
        if started and now - started > KEEP:
            StagingArea(root, run_id).remove()
            old.append(run_id)
    return old
