"""The model registry: lists, checks and promotes versions.

A registry is a folder on disk or in a bucket: `<models>/vYYYYMMDD_HHMMSS/` with metadata.json and one of model.joblib,
model.skops and model.onnx, and, after a promotion, `<models>/current.json` with {"version": "v..."}. It uses the
modules `versions` (names), `pointer` (current.json), `history` (the log), `loading` (files and checks) and `signing`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from beam_pcc.config.settings import Signer
from beam_pcc.errors import ModelError
from beam_pcc.models import history, loading, pointer, signing, training_rows, versions
from beam_pcc.models.history import Chain
from beam_pcc.models.loading import METADATA, CheckedBytes, ModelFile, ModelVersion
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.pointer import ALIAS
from beam_pcc.models.signing import Snapshot
from beam_pcc.models.versions import new_version
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store

ANY = "any"

__all__ = ["ALIAS", "METADATA", "ModelFile", "ModelVersion", "Registry", "new_version"]


class Registry:
    """The versions below one folder, a path or gs://BUCKET/FOLDER.

    Raises:
        ConfigurationError: From the constructor: the address is invalid.
        ModelError: From any method: the folder, the version or one of its files is missing or invalid.
    """

    def __init__(self, root: str, signer: Signer | None = None) -> None:
        self._store: Store = open_store(root)
        self._signer = signer
        self.root = self._store.address

    def versions(self) -> list[str]:
        """All versions, oldest first."""
        return versions.list_versions(self._store)

    def find(self, version: str, named_by: str) -> str:
        """The name of the version's folder; `version` may have the other spelling. Errors contain `named_by`."""
        return versions.find_version(version, self.versions(), named_by=named_by, address=self.root)

    def resolve(self, version: str | None = None, *, force_latest: bool = False, today: dt.date | None = None) -> str:
        """The version to use: `version`, else that of current.json, else the first of today (UTC), else the latest."""
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
        """The current version in current.json, or None."""
        return pointer.read(self._store).version

    def shadow(self) -> str | None:
        """The shadow version in current.json, or None."""
        return pointer.read(self._store).shadow

    def history(self, *, complete: bool = True) -> list[history.Entry]:
        """Every logged change of current.json, oldest first; `complete` adds one whose writer died before the log."""
        if complete:
            pointer.complete_log(self._store, pointer.read(self._store))
        return history.read(self._store)

    def verify_history(self, earlier: bytes = b"") -> Chain:
        """Check the chain of the log; writes nothing.

        Args:
            earlier: The lines of a log that was moved away, which this one continues.

        Raises:
            ModelError: A line was changed, added or removed. Names the first such line.
        """
        return pointer.verify_log(self._store, earlier)

    def promote(
        self,
        version: str,
        *,
        action: str = "promote",
        checks: Mapping[str, str] | None = None,
        overridden: Mapping[str, str] | None = None,
        replaces: str | None = ANY,
    ) -> str | None:
        """Verify `version` and make it current; does nothing if it is current.

        Args:
            version: An existing version.
            action: The action in the log: promote or rollback.
            checks: Results of other checks by name, for the log.
            overridden: Those of them that failed and were overridden, for the log.
            replaces: The version that must be current, None for none; by default any.

        Returns:
            The previous current version, or None.

        Raises:
            ModelError: Also if somebody else changed current.json meanwhile.
        """
        before = pointer.read(self._store)
        version = self.find(version, "beam-pcc models promote")
        if version == before.version:
            return before.version
        if replaces not in (ANY, before.version):
            raise pointer.changed(self._store, before)
        self.verify(version)
        shadow = None if before.shadow == version else before.shadow
        forced = dict(overridden or {}) or None
        details = {"checks": dict(checks or {}) or None, "forced": forced and True, "overridden": forced}
        pointer.replace(self._store, before, version, shadow, action, **details)
        return before.version

    def rollback(self) -> tuple[str, str]:
        """Verify the previous version and make it current again.

        Returns:
            The version that is current now, and the one before.

        Raises:
            ModelError: Also if there is no previous version.
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
        """Set the shadow version in current.json, or remove it; returns the previous one."""
        before = pointer.read(self._store)
        if before.version is None:
            raise ModelError(f"{self._store.path(ALIAS)} is not there: promote a version before another shadows it")
        if version is not None:
            version = self.find(version, "beam-pcc models shadow")
            if version == self.find(before.version, self._store.path(ALIAS)):
                raise ModelError(f"{version} is the current version, which cannot shadow itself; name another, or none")
            self.verify(version)
        if version != before.shadow:
            pointer.replace(self._store, before, before.version, version, "shadow")
        return before.shadow

    def metadata(self, version: str) -> ModelMetadata:
        """Read metadata.json of a version; if it is missing, warn and use the defaults."""
        return loading.read_metadata(self._store, version)

    def training_rows(self, version: str) -> training_rows.TrainingRows | None:
        """The digests of the rows that a version was trained on; None if it has none."""
        return training_rows.read(self._trusted_files(version), version)

    def check(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Load and check a version in a separate process, before a run starts.

        Args:
            version: An existing version.
            sha256: A required digest, in addition to the one in metadata.json.

        Returns:
            The checked version. Workers load only bytes with its digest.
        """
        return self._check(version, sha256).version

    def load(self, version: str, *, sha256: str | None = None) -> tuple[ModelVersion, Any]:
        """Check a version, then load the same bytes in this process."""
        checked = self._check(version, sha256)
        return checked.version, checked.load()

    def verify(self, version: str, *, sha256: str | None = None) -> ModelVersion:
        """Check a version, and that it scores its golden rows as when it was trained."""
        return loading.verify(self._trusted_files(version), version, sha256)

    def sign(self, version: str, private_key: str, certificate: str | None = None, chain: Sequence[str] = ()) -> str:
        """Verify a version and sign the verified bytes; returns the path of the signature."""
        version = self.find(version, "beam-pcc models sign")
        snapshot = Snapshot(self._store, version)
        loading.verify(snapshot, version)
        return signing.sign(self._store, version, snapshot, private_key, certificate, chain)

    def _check(self, version: str, sha256: str | None) -> CheckedBytes:
        return loading.check(self._trusted_files(version), version, sha256)

    def _trusted_files(self, version: str) -> loading.Files:
        """The registry's files; if a signature is required, a snapshot with a verified signature."""
        return signing.verified(self._store, version, self._signer) if self._signer else self._store
