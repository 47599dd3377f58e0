"""Where a run leaves its files between the steps: `<staging>/<run_id>/`, on any Beam filesystem."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
from dataclasses import dataclass

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pcc.config.run_ids import started_at
from beam_pcc.errors import ConfigurationError, RunError, one_line
from beam_pcc.errors.foreign import explained
from beam_pcc.errors.machine import explain_machine
from beam_pcc.errors.messages import logged
from beam_pcc.terminal import logger

_log = logger(__name__)
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
            of_machine = explain_machine(error, f"--staging {self.root} cannot be written", ConfigurationError)
            if of_machine is not None:
                raise of_machine from None
            status = getattr(getattr(error, "response", None), "status_code", 0)
            kind = RunError if status == 429 or status >= 500 else ConfigurationError
            reason = f"HTTP {status}" if status else one_line(error, 160)
            raise kind(
                f"--staging {self.root} cannot be written ({reason}); check the path and the rights, or run again later"
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
        with (
            explained(path, RunError),
            FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file,
        ):
            file.write(outcome)

    def remove(self) -> None:
        """Remove the run's folder; it may be gone already."""
        with logged(_log.warning, "staged files of %s stay behind until the next run", self.run_id):
            _remove_folder(str(FileSystems.join(self.root, self.run_id)))


def staged_runs(root: str) -> set[str]:
    """The ids of the runs that have files below `root`."""
    return _folders(root)


def remove_dead_runs(root: str, now: dt.datetime) -> list[str]:
    """Remove what runs that died more than a day ago left below `root`; return their run ids."""
    old = []
    for run_id in sorted(staged_runs(root)):
        started = started_at(run_id)
        if started and now - started > KEEP:
            StagingArea(root, run_id).remove()
            old.append(run_id)
    return old


# Beam's match and delete take every name for a pattern, and a name may have `[`, `*` or `?` in it. So what is ours is
# listed by its folder: on a disk by the operating system, elsewhere by the prefix that ends in a slash.


def _folders(root: str) -> set[str]:
    """The names of the folders in `root`; none if it is not there."""
    if "://" not in root:
        with contextlib.suppress(OSError):
            return {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
        return set()
    prefix = root.rstrip("/") + "/"
    try:
        files = [file.path for file in FileSystems.get_filesystem(prefix)._list(prefix)]
    except BeamIOError:  # no such bucket, or none to be seen
        return set()
    return {name for file in files if "/" in (rest := file.removeprefix(prefix)) and (name := rest.partition("/")[0])}


def _remove_folder(folder: str) -> None:
    if "://" not in folder:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    else:
        prefix = folder.rstrip("/") + "/"
        FileSystems.delete([prefix])  # with the slash, Google's names are a prefix and no pattern
        left = sum(1 for _ in FileSystems.get_filesystem(prefix)._list(prefix))  # it does not say what it could not
        if left:
            raise OSError(f"{left} of them cannot be deleted")
