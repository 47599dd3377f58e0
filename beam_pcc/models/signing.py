"""Signs and verifies version folders with sigstore's model-signing, before any file of them is used.

Only the public key or the certificates that the caller names are trusted. The files are read and verified once, and the
same bytes are loaded. The signature covers the version's name: a copy of an old version under a newer name is refused.
Needs the signing extra.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from beam_pcc.config.extras import extra
from beam_pcc.config.settings import Signer
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.models import documents
from beam_pcc.storage.base import Content, Store

SIGNATURE = "model.sig"
_OLD_NAME = "version"  # the signed name of every version, before signatures covered the name
_BUNDLE_KEYS = {"mediaType", "verificationMaterial", "dsseEnvelope"}
_ENVELOPE_KEYS = {"payload", "payloadType", "signatures"}
_MAX_BYTES = 300 * 2**20  # of all files: a model of 256 MiB, and the other files
_MAX_FILES = 100


class Snapshot:
    """A read-only copy in memory of a version's files, with the reading methods of a store."""

    def __init__(self, store: Store, version: str) -> None:
        self._store, self._version = store, version
        self.contents: dict[str, Content] = {}
        names = sorted(name for name in store.files(version) if not name.startswith("."))  # without a lock file
        remaining = _MAX_BYTES
        if len(names) > _MAX_FILES:
            raise ModelError(f"{store.path(version)} holds {len(names):,} files; a version has a few")
        for name in names:
            content = store.read(f"{version}/{name}", remaining)
            if content is not None:
                self.contents[name] = content
                remaining -= len(content.data)

    def path(self, name: str) -> str:
        """See `Store`."""
        return self._store.path(name)

    def files(self, folder: str) -> set[str]:
        """See `Store`."""
        return set(self.contents) if folder == self._version else set()

    def read(self, name: str, limit: int) -> Content | None:  # noqa: ARG002 - the file is in memory
        """See `Store`."""
        folder, _, file = name.partition("/")
        return self.contents.get(file) if folder == self._version else None

    def write_to(self, folder: Path) -> Path:
        """Write the files into a subfolder, which is returned, and the signature beside it."""
        signed = folder / self._version  # model-signing signs this name, too
        signed.mkdir()
        for name, content in self.contents.items():
            (signed / name if name != SIGNATURE else folder / name).write_bytes(content.data)
        return signed


def sign(
    store: Store,
    version: str,
    snapshot: Snapshot,
    private_key: str,
    certificate: str | None = None,
    chain: Collection[str] = (),
) -> str:
    """Sign the files of a version, and write the signature to its folder.

    Args:
        store: The registry's store.
        version: An existing version.
        snapshot: Its checked files.
        private_key: A PEM file of an elliptic curve key.
        certificate: The certificate of that key, to sign in certificate mode.
        chain: The certificates from there to a root.

    Returns:
        The path of the signature.

    Raises:
        ConfigurationError: The key cannot be used, or the signing extra is missing.
        ModelError: The version is signed already, or cannot be written to.
    """
    with extra("signing", "models sign"):
        from model_signing import signing
    if SIGNATURE in snapshot.contents:
        raise ModelError(f"{store.path(f'{version}/{SIGNATURE}')} is there already; remove it to sign anew")
    config: Any = signing.Config()
    with tempfile.TemporaryDirectory() as folder:
        signature = Path(folder) / SIGNATURE
        signed = snapshot.write_to(Path(folder))
        try:
            if certificate is None:
                config.use_elliptic_key_signer(private_key=Path(private_key))
            else:
                config.use_certificate_signer(
                    private_key=Path(private_key),
                    signing_certificate=Path(certificate),
                    certificate_chain=[Path(one) for one in chain],
                )
            config.sign(signed, signature)
        except Exception as error:  # of the library and its dependencies
            raise ConfigurationError(
                f"--private_key {private_key} cannot sign: {one_line(error, 160)}; it must be a PEM file of "
                "an elliptic curve key, and fit its certificate"
            ) from None
        if not store.replace(f"{version}/{SIGNATURE}", signature.read_bytes(), 0):
            raise ModelError(f"{store.path(f'{version}/{SIGNATURE}')} was made by somebody else meanwhile; look at it")
    return store.path(f"{version}/{SIGNATURE}")


def verified(store: Store, version: str, signer: Signer) -> Snapshot:
    """The files of a version, after verifying their signature.

    Raises:
        ModelError: There is no signature, or it is not one of that signer for exactly these files.
        ConfigurationError: The signing extra is missing.
    """
    with extra("signing", "checking a model's signature"):
        from model_signing import verifying
    snapshot = Snapshot(store, version)
    where = store.path(version)
    if SIGNATURE not in snapshot.contents:
        raise ModelError(f"{where} is not signed, and a signature is asked for; sign it with beam-pcc models sign")
    config: Any = verifying.Config()
    with tempfile.TemporaryDirectory() as folder:
        signed = snapshot.write_to(Path(folder))
        try:
            if signer.public_key is not None:
                config.use_elliptic_key_verifier(public_key=Path(signer.public_key))
            else:
                config.use_certificate_verifier(certificate_chain=[Path(one) for one in signer.certificates])
            config.verify(signed, Path(folder) / SIGNATURE)
        except Exception as error:  # of the library and its dependencies
            raise ModelError(
                f"{where} has no good signature of that key or certificate ({one_line(error, 160)}); do not use "
                "it, find out who changed it"
            ) from None
        name = _signed_name(snapshot.contents[SIGNATURE].data)
    if name != version:
        signed_for = f"of {one_line(name, 60)}" if name and name != _OLD_NAME else "that does not say of which version"
        raise ModelError(
            f"{where} has a signature {signed_for}: it may be an older version under a new name; if it is not, remove "
            f"{SIGNATURE} and sign it again with beam-pcc models sign"
        )
    return snapshot


def _signed_name(signature: bytes) -> str | None:
    """The signed name of the folder, from a verified signature; None if it has none.

    Requires exact keys: a library that accepts other spellings could have verified another payload than this one.
    """
    try:
        bundle = documents.parse(signature)
        if bundle.keys() != _BUNDLE_KEYS or bundle["dsseEnvelope"].keys() != _ENVELOPE_KEYS:
            return None
        statement = documents.parse(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        (subject,) = statement["subject"]
        name = subject["name"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return name if isinstance(name, str) else None
