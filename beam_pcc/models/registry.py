"""The models below one folder: which version a run uses, its checked file, and who may change what is current.

A registry is a folder on disk or in a bucket: `<models>/vYYYYMMDD_HHMMSS/{model.joblib | model.skops, metadata.json}`
and, once a version was promoted, `<models>/current.json` with {"version": "v..."}. Each job has a module of its own:
`versions` (names), `pointer` (current.json), `history` (the log), `loading` (files and checks), `signing`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from beam_pcc.config.settings import Signer
from beam_pcc.errors import ModelError
from beam_pcc.models import history, loading, pointer, signing, versions
from beam_pcc.models.loading import METADATA, CheckedBytes, ModelFile, ModelVersion
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.pointer import ALIAS
from beam_pcc.models.signing import Snapshot
from beam_pcc.models.versions import new_version
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store

__all__ = ["ALIAS", "METADATA", "ModelFile", "ModelVersion", "Registry", "new_version"]


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
        """All versions, oldest first."""
        return versions.list_versions(self._store)

    def find(self, version: str, named_by: str) -> str:
        """The version as its folder is called; `version` may be in the other spelling. `named_by` is for the error."""
        return versions.find_version(version, self.versions(), named_by=named_by, address=self.root)

    def resolve(self, version: str | None = None, *, force_latest: bool = False, today: dt.date | None = None) -> str:
        """The version to use: the given one, else current.json's, else the first of today (UTC), else the latest."""
        existing = self.versions()
        if not existing:
            raise ModelError(
                f"--models {self.root} holds no version; train one with beam-pcc train --models {self.root}"
            )
        wanted = version or (None if force_latest else self.current())
        if wanted is not None:
            named_by = "--model_version" if version else self._store.path(ALIAS)
            return versions.find_version(wanted, existing, named_by=named_by, address=self.root)
        if force_latest:
            return existing[-1]
        return versions.default_version(existing, today or dt.datetime.now(dt.timezone.utc).date())

    def current(self) -> str | None:
        """The version that current.json names, if there is one."""
        return pointer.read(self._store).version

    def shadow(self) -> str | None:
        """The version that current.json names as the shadow, if there is one."""
        return pointer.read(self._store).shadow

    def history(self) -> list[history.Entry]:
        """Every change of current.json that this package made, oldest first."""
        pointer.complete_log(self._store, pointer.read(self._store))
        return history.read(self._store)

    def promote(
        self, version: str, *, action: str = "promote", checks: Mapping[str, str] | None = None, forced: bool = False
    ) -> str | None:
        """Verify `version` and make it current; if it is already, do nothing.

        Args:
            version: One that exists.
            action: What the log calls it: promote or rollback.
            checks: What was checked besides, and how that ended, for the log.
            forced: Whether a check that failed was overridden, for the log.

        Returns:
            The version that was current before, if any.

        Raises:
            ModelError: Also if somebody else changed current.json since this began.
        """
        before = pointer.read(self._store)
        version = self.find(version, "beam-pcc models promote")
        if version == before.version:
            return before.version
        self.verify(version)
        shadow = None if before.shadow == version else before.shadow
        details = {"checks": dict(checks or {}) or None, "forced": forced or None}
        pointer.replace(self._store, before, version, shadow, action, **details)
        return before.version

    def rollback(self) -> tuple[str, str]:
        """Make the version current that was before, once that was verified.

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
        before = pointer.read(self._store)
        if before.version is None:
            raise ModelError(f"{self._store.path(ALIAS)} is not there: promote a version before another shadows it")
        if version is not None:
            version = self.find(version, "beam-pcc models shadow")
            self.verify(version)
        if version != before.shadow:
            pointer.replace(self._store, before, before.version, version, "shadow")
        return before.shadow

    def metadata(self, version: str) -> ModelMetadata:
        """metadata.json of a version; the defaults, with a warning, where it has none."""
        return loading.read_metadata(self._store, version)

    def check(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Load and check a version before a run starts, in a process of its own.

        Args:
            version: A version that exists.
            sha256: The digest that the caller insists on, besides the one in metadata.json.

        Returns:
            The checked version, for workers: they load no other bytes than those.
        """
        return self._check(version, sha256).version

    def load(self, version: str, *, sha256: str | None = None) -> tuple[ModelVersion, Any]:
        """Check a version, and then load the same bytes into this process as well."""
        checked = self._check(version, sha256)
        return checked.version, checked.load()

    def verify(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Check a version, and that it scores its golden rows as when it was trained, if it has some."""
        return loading.verify(self._trusted_files(version), version, sha256)

    def sign(self, version: str, private_key: str, certificate: str | None = None, chain: Sequence[str] = ()) -> str:
        """Verify a version and sign the very bytes that were verified; return where the signature is."""
        version = self.find(version, "beam-pcc models sign")
        snapshot = Snapshot(self._store, version)
        loading.verify(snapshot, version)
        return signing.sign(self._store, version, snapshot, private_key, certificate, chain)

    def _check(self, version: str, sha256: str | None) -> CheckedBytes:
        return loading.check(self._trusted_files(version), version, sha256)

    def _trusted_files(self, version: str) -> loading.Files:
        """The registry's files; where a signature is required, a snapshot that it covers."""
        return signing.verified(self._store, version, self._signer) if self._signer else self._store
