"""An encoder's folder: `model.onnx`, `tokenizer.json`, `metadata.json`. Its name and its digest follow from the two.

Trusted is a digest that the caller has from elsewhere: a model version's metadata.json names that of the encoder it was
trained with. Files are read once, compared with it, and those bytes are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pcc import addresses
from beam_pcc.errors import ModelError, one_line
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store

MODEL, TOKENIZER, METADATA = "model.onnx", "tokenizer.json", "metadata.json"
FOLDER = "encoders"  # of a model registry
MAX_BYTES = 1024 * 2**20  # of one file
_NAMED = 16  # digits of the digest that name the folder


@dataclass(frozen=True)
class EncoderRef:
    """Where an encoder is, and the digest that its files must have. Small and picklable: what a worker gets."""

    address: str
    sha256: str

    def read(self) -> EncoderFiles:
        """The files, checked. Raises ModelError."""
        files = read(self.address)
        if files.sha256 != self.sha256:
            raise ModelError(
                f"{self.address} holds the encoder {files.sha256[:12]}…, not {self.sha256[:12]}… that the model was "
                "trained with; name that one with --encoder, or train anew"
            )
        return files


@dataclass(frozen=True)
class EncoderFiles:
    """The bytes of an encoder."""

    model: bytes
    tokenizer: bytes

    @property
    def sha256(self) -> str:
        """One digest of both files."""
        both = "".join(hashlib.sha256(data).hexdigest() for data in (self.model, self.tokenizer))
        return hashlib.sha256(both.encode()).hexdigest()


def absolute(address: str) -> str:
    """The same address, in a form that holds on every worker of this machine."""
    return addresses.absolute(address).rstrip("/") or "/"


def read(address: str) -> EncoderFiles:
    """The encoder in the folder at `address`, a path or gs://. Raises ModelError if there is none."""
    root, _, name = absolute(address).rpartition("/")
    store = open_store(root or "/", flag="--encoder")
    found = [store.read(f"{name}/{file}", MAX_BYTES) for file in (MODEL, TOKENIZER)]
    if found[0] is None or found[1] is None:
        raise ModelError(f"--encoder {address} holds no {MODEL} and {TOKENIZER}; make one with beam-pcc encoder export")
    return EncoderFiles(found[0].data, found[1].data)


def add(root: str, files: EncoderFiles, described: Mapping[str, Any]) -> tuple[str, bool]:
    """Add an encoder to a folder of encoders, under the start of its digest.

    Returns:
        Its address, and whether it is new (the same files have the same name: they are not written again).
    """
    store = open_store(root, flag="--to")
    store.prepare()
    name = files.sha256[:_NAMED]
    metadata = {"format": 1, "sha256": files.sha256, **described}
    text = json.dumps(metadata, indent=2) + "\n"
    made = store.add_folder(name, {METADATA: text.encode(), TOKENIZER: files.tokenizer, MODEL: files.model})
    return store.path(name), made


def address_of(models: str, sha256: str) -> str:
    """Where a registry keeps the encoder of this digest."""
    return f"{models.rstrip('/')}/{FOLDER}/{sha256[:_NAMED]}"


def only_one(models: str) -> str:
    """The address of the encoder that a registry holds. Raises ModelError if it holds none, or several."""
    root = f"{models.rstrip('/')}/{FOLDER}"
    names = _names(open_store(root, flag="--encoder"))
    if len(names) != 1:
        holds = f"several encoders ({one_line(', '.join(names), 80)})" if names else "no encoder"
        raise ModelError(
            f"{root} holds {holds}; name one with --encoder, or make one with beam-pcc encoder export --to {root}"
        )
    return f"{root}/{names[0]}"


def _names(store: Store) -> list[str]:
    try:
        return sorted(name for name in store.folders("", (MODEL,)) if not name.startswith("."))
    except ModelError:  # the folder is not there
        return []
