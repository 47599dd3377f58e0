"""Which version of a model a run uses, and what its folder holds. The version is fixed once, at launch.

A registry is a folder on disk or in a bucket: `<models>/vYYYYMMDD_HHMMSS/{model.joblib | model.skops, metadata.json}`
and, if somebody promoted one, `<models>/current.json` with {"version": "v..."}.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from beam_pcc.cases import schemas
from beam_pcc.config.settings import Signer
from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import (
    artifact,
    checking,
    documents,
    history,
    scoring,
    signing,
)
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.signing import Snapshot
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Content, Store
from beam_pcc.terminal import logger

_log = logger(__name__)
_VERSION = re.compile(r"v(\d{8})_?(\d{6})", re.ASCII)
ALIAS = "current.json"
METADATA = "metadata.json"
MODEL_FILES = ("model.joblib", "model.skops")
FileFormat = Literal["joblib", "skops"]


Files: TypeAlias = Store | Snapshot


class _Pointer(NamedTuple):
    """What current.json says; of a file that is not there, nothing."""

    version: str | None = None
    shadow: str | None = None
    change: history.Entry | None = None
    generation: int = 0


@dataclass(frozen=True)
class ModelFile:
    """Where a version's model file is, and the digest that its bytes must have.

    Small and picklable: it is what a worker gets, who then reads and checks the same bytes as the launcher did.
    """

    path: str
    file_format: FileFormat
    sha256: str

    def load(self) -> Any:
        """Read the bytes once, check the digest, load those bytes through the allow-list. Raises ModelError."""
        folder, _, name = self.path.rpartition("/")
        data = _content(open_store(folder), name).data
        return artifact.load(data, file_format=self.file_format, where=self.path, pins={"the launcher": self.sha256})


@dataclass(frozen=True)
class ModelVersion:
    """A version that was loaded and checked: its file, its metadata, and its classes in the model's order."""

    file: ModelFile
    metadata: ModelMetadata
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The version, such as v20261120_020000."""
        return self.metadata.version


class Registry:
    """The versions below one folder, a path or gs://BUCKET/FOLDER.

    Raises:
        ConfigurationError: From the constructor: the address is of no known kind.
        ModelError: From any method: the folder, the version or one of its files is missing or wrong.
    """

    def __init__(self, root: str, signer: Signer | None = None) -> None:
        self._store: Store = open_store(root)
        self._signer = signer
        self.root = self._store.address

    def versions(self) -> list[str]:
        """All versions, oldest first. Folders with other names are none; in a bucket, nor are those without a model."""
        found = [name for name in self._store.folders("v", MODEL_FILES) if _VERSION.fullmatch(name)]
        return sorted(found, key=_time)

    def current(self) -> str | None:
        """The version that current.json names, if there is one."""
        return self._pointer().version

    def shadow(self) -> str | None:
        """The version that current.json names as the shadow, if there is one."""
        return self._pointer().shadow

    def history(self) -> list[history.Entry]:
        """Every change of current.json that this package made, oldest first."""
        self._settle(self._pointer())
        return history.read(self._store)

    def _pointer(self) -> _Pointer:
        """What current.json says, and the generation of the file that says so."""
        pointer = self._store.path(ALIAS)
        content = self._store.read(ALIAS, documents.MAX_BYTES)
        if content is None:
            return _Pointer()
        try:
            said = documents.parse(content.data)
            documents.POINTER(said, "")
        except ValueError as error:
            raise ModelError(
                f'{pointer} is not {{"version": "v..."}}: {one_line(error, 120)}; mend or remove it'
            ) from None
        return _Pointer(said["version"], said.get("shadow"), said.get("change"), content.generation)

    def _settle(self, pointer: _Pointer) -> None:
        """Add the pointer's own entry to the log, in case whoever wrote it died before that."""
        if pointer.change is not None and "id" in pointer.change:
            history.append(self._store, pointer.change)

    def promote(
        self, version: str, *, action: str = "promote", checks: Mapping[str, str] | None = None, forced: bool = False
    ) -> str | None:
        """Make current.json name `version`, once that was verified; if it names it already, do nothing.

        Args:
            version: One that exists.
            action: What the log calls it: promote or rollback.
            checks: What was checked besides, and how that ended, for the log.
            forced: Whether a check that failed was overridden, for the log.

        Returns:
            The version that it named before, if any.

        Raises:
            ModelError: Also if somebody else changed current.json since this began.
        """
        pointer = self._pointer()
        before = pointer.version
        version = self.find(version, "beam-pcc models promote")
        if version == before:
            return before
        self.verify(version)
        shadow = None if pointer.shadow == version else pointer.shadow
        self._point(pointer, version, shadow, action, checks=dict(checks or {}) or None, forced=forced or None)
        return before

    def rollback(self) -> tuple[str, str]:
        """Make current.json name the version that was current before, once that was verified.

        Returns:
            The version that is current now, and the one that was.

        Raises:
            ModelError: Also if there is none to go back to.
        """
        before = self.current()
        target = history.previous(self.history(), before) if before else None
        if before is None or target is None:
            raise ModelError(
                f"{self._store.path(history.HISTORY)} names no version to go back to; say which one with "
                "beam-pcc models promote"
            )
        self.promote(target, action="rollback")
        return target, before

    def set_shadow(self, version: str | None) -> str | None:
        """Make current.json name the version that scores in the shadow, or none; return the one before."""
        pointer = self._pointer()
        if pointer.version is None:
            raise ModelError(f"{self._store.path(ALIAS)} is not there: promote a version before another shadows it")
        if version is not None:
            version = self.find(version, "beam-pcc models shadow")
            self.verify(version)
        if version != pointer.shadow:
            self._point(pointer, pointer.version, version, "shadow")
        return pointer.shadow

    def _point(self, pointer: _Pointer, version: str, shadow: str | None, action: str, **more: Any) -> None:
        """Replace current.json as it was read, and add its entry to the log."""
        self._settle(pointer)
        history.require_room(self._store)
        at = dt.datetime.now(dt.timezone.utc).isoformat()
        entry = history.new_entry(action, version, pointer.version, at, shadow=shadow, **more)
        said = {"version": version, "promoted_at": at, **({"shadow": shadow} if shadow else {}), "change": entry}
        if not self._store.replace(ALIAS, (json.dumps(said) + "\n").encode(), pointer.generation):
            now = self.current() or "removed"
            raise ModelError(
                f"{self._store.path(ALIAS)} was changed by somebody else meanwhile (now {now}): look, and promote again"
            )
        history.append(self._store, entry)

    def resolve(self, version: str | None = None, *, force_latest: bool = False, today: dt.date | None = None) -> str:
        """The version to use: the given one, else current.json's, else the first of today (UTC), else the latest."""
        versions = self.versions()
        if not versions:
            raise ModelError(
                f"--models {self.root} holds no version; train one with beam-pcc train --models {self.root}"
            )
        wanted = version or (None if force_latest else self.current())
        if wanted is not None:
            return self._find(wanted, versions, "--model_version" if version else self._store.path(ALIAS))
        day = f"{today or dt.datetime.now(dt.timezone.utc).date():%Y%m%d}"
        of_today = [v for v in versions if _time(v).startswith(day)]
        return of_today[0] if of_today and not force_latest else versions[-1]

    def find(self, version: str, source: str) -> str:
        """The version as its folder is called; `version` may be in the other spelling. `source` is who names it."""
        return self._find(version, self.versions(), source)

    def _find(self, version: str, versions: list[str], source: str) -> str:
        if version in versions:
            return version
        if _VERSION.fullmatch(version):
            for found in versions:
                if _time(found) == _time(version):
                    return found
        raise ModelError(
            f"{source} names {one_line(version, 60)}, which is not in {self.root} "
            f"(newest: {', '.join(versions[-3:]) or 'none'}); see beam-pcc models list"
        )

    def metadata(self, version: str) -> ModelMetadata:
        """metadata.json of a version; the defaults, with a warning, where it has none."""
        return self._metadata(self._store, version)

    def _metadata(self, files: Files, version: str) -> ModelMetadata:
        path = files.path(f"{version}/{METADATA}")
        content = files.read(f"{version}/{METADATA}", documents.MAX_BYTES)
        if content is None:
            _log.warning("%s is missing: going on with the defaults (threshold 0.5, no drift baseline)", path)
            return ModelMetadata(version)
        return ModelMetadata.from_json(content.data, version=version, where=path)

    def check(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Load and check a version before a run starts, in a process of its own (see `checking`).

        Args:
            version: A version that exists.
            sha256: The digest that the caller insists on, besides the one in metadata.json.

        Returns:
            The checked version, for workers: they load no other bytes than those.
        """
        return self._check(version, sha256)[0]

    def load(self, version: str, *, sha256: str | None = None) -> tuple[ModelVersion, Any]:
        """Check a version, and then load the same bytes into this process as well."""
        version_checked, _, data = self._check(version, sha256)
        file = version_checked.file
        return version_checked, artifact.load(
            data, file_format=file.file_format, where=file.path, pins={"the check": file.sha256}
        )

    def _check(
        self, version: str, sha256: str | None, files: Files | None = None
    ) -> tuple[ModelVersion, scoring.Floats | None, bytes]:
        """The checked version, how it scores its golden rows, and the bytes of its file."""
        if files is None:
            files = signing.verified(self._store, version, self._signer) if self._signer else self._store
        metadata = self._metadata(files, version)
        name, file_format = self._model_file(files, version)
        path, data = files.path(name), _content(files, name).data
        digest = artifact.require_digest(data, {"--model_sha256": sha256, METADATA: metadata.sha256}, where=path)
        if metadata.feature_count != schemas.VECTOR_DIM:
            raise ModelError(
                f"{path} expects {metadata.feature_count} features as {METADATA} says, but a case has "
                f"{schemas.VECTOR_DIM}; use another version"
            )
        golden = metadata.golden
        checked = checking.check(
            data,
            file_format=file_format,
            where=path,
            sha256=digest,
            classes=metadata.classes,
            vectors=golden.vectors if golden else None,
        )
        return (
            ModelVersion(ModelFile(path, file_format, digest), metadata, checked.classes),
            checked.probabilities,
            data,
        )

    def verify(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Check a version, and that it scores its golden rows as when it was trained, if it has some."""
        return self._verify(version, sha256)

    def _verify(self, version: str, sha256: str | None, files: Files | None = None) -> ModelVersion:
        checked, probabilities, _ = self._check(version, sha256, files)
        golden = checked.metadata.golden
        if golden is not None:
            off = 1.0 if probabilities is None else scoring.difference(probabilities, golden.probabilities)
            if off > scoring.GOLDEN_TOLERANCE:
                raise ModelError(
                    f"{checked.file.path} scores its golden rows otherwise than when it was trained "
                    f"(largest difference {off:.3g}); do not use it, train again"
                )
        return checked

    def sign(self, version: str, private_key: str, certificate: str | None = None, chain: Sequence[str] = ()) -> str:
        """Sign a version once it was verified, the very bytes that were; return where the signature is."""
        version = self.find(version, "beam-pcc models sign")
        snapshot = Snapshot(self._store, version)
        self._verify(version, None, snapshot)
        return signing.sign(self._store, version, snapshot, private_key, certificate, chain)

    def _model_file(self, files: Files, version: str) -> tuple[str, FileFormat]:
        found = files.files(version)
        present = [name for name in MODEL_FILES if name in found]
        if len(present) != 1:
            state = "both model.joblib and model.skops" if present else "neither model.joblib nor model.skops"
            raise ModelError(f"{self._store.path(version)} holds {state}; a version has exactly one of them")
        return f"{version}/{present[0]}", cast(FileFormat, present[0].partition(".")[2])


def new_version(now: dt.datetime) -> str:
    """The name of a version made at `now` (UTC)."""
    return f"v{now:%Y%m%d_%H%M%S}"


def _time(version: str) -> str:
    """YYYYMMDDHHMMSS of a version in either spelling."""
    return _VERSION.sub(r"\1\2", version)


def _content(store: Files, name: str) -> Content:
    content = store.read(name, artifact.MAX_MODEL_BYTES)
    if content is None:
        raise ModelError(f"{store.path(name)} cannot be read: it is not there; check the path and the rights")
    return content
