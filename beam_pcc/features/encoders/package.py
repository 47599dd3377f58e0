"""An encoder's folder: `model.onnx`, `tokenizer.json`, `metadata.json`; all but the last determine its digest and name.

`input.json` is there too, and in the digest, if texts get a prefix or if another number of tokens than 256 counts.

A caller trusts only a digest from another source: the metadata.json of a model version names the digest of its encoder.
The files are read once, and the bytes with that digest are used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pcc import addresses
from beam_pcc.errors import ModelError, one_line
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store

MODEL, TOKENIZER, METADATA, INPUT = "model.onnx", "tokenizer.json", "metadata.json", "input.json"
MODULES = "modules.json"  # of a SentenceTransformer, which is no exported encoder
FOLDER = "encoders"  # of a model registry
MAX_BYTES = 1024 * 2**20  # of one file
_MAX_METADATA_BYTES = 2**20
_NAME_DIGITS = 16  # of the digest, in the folder's name
_FOLDER_NAME = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class EncoderRef:
    """An encoder's address and the required digest of its files. Small and picklable, for workers."""

    address: str
    sha256: str

    def require(self, sha256: str) -> None:
        """Raise ModelError if the files have another digest than the required one."""
        if sha256 != self.sha256:
            raise ModelError(
                f"{self.address} holds the encoder {sha256[:12]}…, not {self.sha256[:12]}… that the model was "
                "trained with; name that one with --encoder, or train anew"
            )

    def read(self) -> EncoderFiles:
        """The files of an exported encoder, with the required digest. Raises ModelError."""
        files = read(self.address)
        self.require(files.sha256)
        return files


@dataclass(frozen=True)
class Input:
    """How an encoder gets a text: what is written before it, and how many tokens count, special ones included."""

    prefix: str = ""
    max_tokens: int = 256

    def to_json(self) -> bytes | None:
        """The bytes of input.json; None for the defaults, which have no file."""
        if self == Input():
            return None
        return (json.dumps({"prefix": self.prefix, "max_tokens": self.max_tokens}, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes | None) -> Input:
        """Inverse of `to_json`. Raises ValueError."""
        if data is None:
            return cls()
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError(f"{INPUT} is not a JSON object")
        prefix, max_tokens = value.get("prefix"), value.get("max_tokens")
        if not isinstance(prefix, str) or type(max_tokens) is not int or max_tokens < 3:
            raise ValueError(f"{INPUT} has no prefix and max_tokens")
        return cls(prefix, max_tokens)


@dataclass(frozen=True)
class EncoderFiles:
    """The bytes of an encoder; `input` is None if it has no input.json."""

    model: bytes
    tokenizer: bytes
    input: bytes | None = None

    @property
    def sha256(self) -> str:
        """One digest of these files."""
        files = [self.model, self.tokenizer, *([] if self.input is None else [self.input])]
        digests = "".join(hashlib.sha256(data).hexdigest() for data in files)
        return hashlib.sha256(digests.encode()).hexdigest()


def absolute(address: str) -> str:
    """The same address, in a form that holds on every worker of this machine."""
    return addresses.absolute(address).rstrip("/") or "/"


def read(address: str) -> EncoderFiles:
    """The encoder in the folder at `address`, a path or gs://. Raises ModelError if there is none."""
    root, _, name = absolute(address).rpartition("/")
    store = open_store(root or "/", flag="--encoder")
    model, tokenizer, inputs = (store.read(f"{name}/{file}", MAX_BYTES) for file in (MODEL, TOKENIZER, INPUT))
    if store.read(f"{name}/{MODULES}", _MAX_METADATA_BYTES) is not None:
        raise ModelError(
            f"--encoder {address} is a SentenceTransformer; compute it with --encoder_backend sentence-transformers, "
            "or make an encoder of it with beam-pcc encoder export"
        )
    if model is None or tokenizer is None:
        raise ModelError(
            f"--encoder {address} holds no {MODEL} and {TOKENIZER}; make one with beam-pcc encoder export, or name the "
            "folder of a SentenceTransformer that the model was trained with, and --encoder_backend "
            "sentence-transformers"
        )
    return EncoderFiles(model.data, tokenizer.data, None if inputs is None else inputs.data)


def name_of(address: str) -> str | None:
    """What the encoder at `address` is called; None if its metadata.json does not say. Raises ModelError."""
    root, _, folder = absolute(address).rpartition("/")
    stored = open_store(root or "/", flag="--encoder").read(f"{folder}/{METADATA}", _MAX_METADATA_BYTES)
    try:
        value = json.loads(stored.data) if stored else None
    except (ValueError, RecursionError):
        return None
    name = value.get("name") if isinstance(value, dict) else None
    return one_line(name, 80) if isinstance(name, str) and name.strip() else None


def add(root: str, files: EncoderFiles, metadata: Mapping[str, Any]) -> tuple[str, bool]:
    """Add an encoder to a folder of encoders; its folder is named by the first digits of its digest.

    Returns:
        Its address, and whether it is new. Existing files are not written again.
    """
    store = open_store(root, flag="--to")
    store.prepare()
    store.remove_incomplete("", _FOLDER_NAME, (MODEL,))
    name = files.sha256[:_NAME_DIGITS]
    text = json.dumps({"format": 1, "sha256": files.sha256, **metadata}, indent=2) + "\n"
    inputs = {} if files.input is None else {INPUT: files.input}
    is_new = store.add_folder(name, {METADATA: text.encode(), **inputs, TOKENIZER: files.tokenizer, MODEL: files.model})
    return store.path(name), is_new


def address_of(models: str, sha256: str) -> str:
    """The address of the encoder with this digest in a registry."""
    return f"{models.rstrip('/')}/{FOLDER}/{sha256[:_NAME_DIGITS]}"


def only_one(models: str) -> str:
    """The address of the only encoder in a registry. Raises ModelError if it has none or several."""
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
    except ModelError:  # the folder does not exist
        return []
