"""Signed versions: sigstore's model-signing over a whole version folder, checked before any of it is used.

What is trusted is the public key, or the certificates, that the caller names. The files are read once, checked, and
those bytes are what is loaded. The version's name is signed too: a version that was copied to a newer name is refused,
so that nobody brings an old model back without the key. Needs the signing extra.
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
_OLD_NAME = "version"  # that every version was signed under, until the name was part of what is signed
_BUNDLE_KEYS = {"mediaType", "verificationMaterial", "dsseEnvelope"}
_ENVELOPE_KEYS = {"payload", "payloadType", "signatures"}
_MAX_BYTES = 300 * 2**20  # of all files: a model of 256 MiB, and what lies beside it
_MAX_FILES = 100


class Snapshot:
    """A version's files as they were read and checked, in the form of a store that can only be read."""

    def __init__(self, store: Store, version: str) -> None:
        self._store, self._version = store, version
        self.contents: dict[str, Content] = {}
        names = sorted(name for name in store.files(version) if not name.startswith("."))  # a lock, at most
        left = _MAX_BYTES
        if len(names) > _MAX_FILES:
            raise ModelError(f"{store.path(version)} holds {len(names):,} files; a version has a few")
        for name in names:
            content = store.read(f"{version}/{name}", left)
            if content is not None:
                self.contents[name] = content
                left -= len(content.data)

    def path(self, name: str) -> str:
        """See `Store`."""
        return self._store.path(name)

    def files(self, folder: str) -> set[str]:
        """See `Store`."""
        return set(self.contents) if folder == self._version else set()

    def read(self, name: str, limit: int) -> Content | None:  # noqa: ARG002 - it is read already
        """See `Store`."""
        folder, _, file = name.partition("/")
        return self.contents.get(file) if folder == self._version else None

    def lay_out(self, folder: Path) -> Path:
        """Write the files, but for the signature, into a folder; return that of the signature beside it."""
        signed = folder / self._version  # model-signing signs this name as well
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
    """Sign the files of a version, and put the signature beside them.

    Args:
        store: The registry's.
        version: One that exists.
        snapshot: Its files, as they were checked.
        private_key: A PEM file of an elliptic curve key.
        certificate: Of that key, to sign in certificate mode.
        chain: Certificates that lead from it to a root.

    Returns:
        Where the signature is.

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
        made = Path(folder) / SIGNATURE
        signed = snapshot.lay_out(Path(folder))
        try:
            if certificate is None:
                config.use_elliptic_key_signer(private_key=Path(private_key))
            else:
                config.use_certificate_signer(
                    private_key=Path(private_key),
                    signing_certificate=Path(certificate),
                    certificate_chain=[Path(one) for one in chain],
                )
            config.sign(signed, made)
        except Exception as error:  # of the library, and of those that it calls
            raise ConfigurationError(
                f"--private_key {private_key} cannot sign: {one_line(error, 160)}; it must be a PEM file of "
                "an elliptic curve key, and fit its certificate"
            ) from None
        if not store.replace(f"{version}/{SIGNATURE}", made.read_bytes(), 0):
            raise ModelError(f"{store.path(f'{version}/{SIGNATURE}')} was made by somebody else meanwhile; look at it")
    return store.path(f"{version}/{SIGNATURE}")


def verified(store: Store, version: str, signer: Signer) -> Snapshot:
    """The files of a version, once their signature was found good.

    Raises:
        ModelError: There is no signature, or none of that signer over exactly these files.
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
        signed = snapshot.lay_out(Path(folder))
        try:
            if signer.public_key is not None:
                config.use_elliptic_key_verifier(public_key=Path(signer.public_key))
            else:
                config.use_certificate_verifier(certificate_chain=[Path(one) for one in signer.certificates])
            config.verify(signed, Path(folder) / SIGNATURE)
        except Exception as error:  # of the library, and of those that it calls
            raise ModelError(
                f"{where} has no good signature of that key or certificate ({one_line(error, 160)}); do not use "
                "it, find out who changed it"
            ) from None
        name = _signed_name(snapshot.contents[SIGNATURE].data)
    if name != version:
        told = f"of {one_line(name, 60)}" if name and name != _OLD_NAME else "that does not say of which version"
        raise ModelError(
            f"{where} has a signature {told}: it may be an older version under a new name; if it is not, remove "
            f"{SIGNATURE} and sign it again with beam-pcc models sign"
        )
    return snapshot


def _signed_name(signature: bytes) -> str | None:
    """The name of the folder that was signed, from a signature that was found good.

    The keys are exact: a library that took another spelling, too, would have checked another payload than this one.
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
