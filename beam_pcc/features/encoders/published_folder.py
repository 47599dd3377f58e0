"""The folder of a SentenceTransformer: which of its files count, their digest, and what is refused.

It is read without torch, and once: the bytes with the right digest are those that are loaded. Only data counts (JSON,
texts, tokenizers, safetensors). Pickled weights and Python files are never read, and a module that is not the library's
own is refused, so that nothing of the folder can run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_pcc.errors import ModelError, one_line
from beam_pcc.features.encoders import package
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store

SUFFIXES = (".json", ".model", ".safetensors", ".txt")
"""Of the files that count: in the folder itself, and in those of its modules."""
_ADAPTER = "adapter_config.json"
_OWN_MODULES = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout")
_NAMESPACE = "sentence_transformers."
_ACTIVATIONS = "torch.nn.modules."
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_MAX_FILES = 200


@dataclass(frozen=True)
class PublishedFiles:
    """The bytes of the files that count, by name; those of a module are named FOLDER/FILE."""

    files: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """One digest of names and contents: that of the lines of `sha256sum`, sorted by the bytes of the names."""
        names = sorted(self.files, key=str.encode)
        lines = "".join(f"{hashlib.sha256(self.files[name]).hexdigest()}  {name}\n" for name in names)
        return hashlib.sha256(lines.encode()).hexdigest()

    def write_to(self, folder: Path) -> None:
        """Write the files into an empty folder. Raises OSError."""
        for name, data in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)


def read(address: str) -> PublishedFiles:
    """The files of the SentenceTransformer at `address`, a path or gs://, which hold nothing that would be run.

    Raises:
        ModelError: It is no such folder, or one that cannot be used.
    """
    address = package.absolute(address)
    root, _, folder = address.rpartition("/")
    store = open_store(root or "/", flag="--encoder")
    if "://" not in address and not Path(address).is_dir():
        raise ModelError(
            f"--encoder {address} is no folder; name that of a SentenceTransformer, as save_pretrained writes it: no "
            "model is downloaded by its name"
        )
    names = store.files(folder)
    _require_published(names, address)
    files = dict(_read(store, folder, "", names, address))
    for path in _module_paths(files, address):
        files.update(_read(store, folder, f"{path}/", store.files(f"{folder}/{path}"), address))
    _check(files, address)
    return PublishedFiles(files)


def name_of(address: str) -> str:
    """What the encoder at `address` is called: as its folder."""
    return one_line(package.absolute(address).rpartition("/")[2], 80)


def _require_published(names: set[str], address: str) -> None:
    if package.MODULES in names:
        return
    if package.MODEL in names:
        raise ModelError(
            f"--encoder {address} is an exported encoder; compute it with --encoder_backend onnx or openvino, or name "
            "the folder of a SentenceTransformer"
        )
    raise ModelError(
        f"--encoder {address} has no {package.MODULES}, so it holds no SentenceTransformer; write one with "
        "save_pretrained"
    )


def _read(store: Store, folder: str, path: str, names: set[str], address: str) -> Iterator[tuple[str, bytes]]:
    counted = sorted(name for name in names if name.endswith(SUFFIXES))
    if len(counted) > _MAX_FILES:
        raise ModelError(f"--encoder {address}/{path} has {len(counted)} files, more than {_MAX_FILES}: not an encoder")
    for name in counted:
        content = store.read(f"{folder}/{path}{name}", package.MAX_BYTES)
        if content is None:
            raise ModelError(f"--encoder {address}/{path}{name} is not there any more; run again")
        yield f"{path}{name}", content.data


def _module_paths(files: Mapping[str, bytes], address: str) -> Iterator[str]:
    """The folders of the modules, each of a type that the library has itself."""
    modules = _json(files, package.MODULES, address)
    if not isinstance(modules, list) or not modules or not all(isinstance(module, dict) for module in modules):
        raise ModelError(f"--encoder {address}: {package.MODULES} is no list of modules; save it again")
    for module in modules:
        dtype, path = module.get("type"), module.get("path", "")
        if not isinstance(dtype, str) or not _is_own(dtype):
            raise ModelError(
                f"--encoder {address} has a module of type {one_line(dtype, 80)}; only sentence-transformers' own "
                f"{', '.join(_OWN_MODULES)} are loaded, since code of a model is never run"
            )
        if not isinstance(path, str) or (path and not _PATH.fullmatch(path)):
            raise ModelError(f"--encoder {address}: {package.MODULES} names the folder {one_line(path, 80)}")
        if path:
            yield path


def _is_own(dtype: str) -> bool:
    return dtype.startswith(_NAMESPACE) and dtype.rpartition(".")[2] in _OWN_MODULES


def _check(files: Mapping[str, bytes], address: str) -> None:
    """Refuse pickled weights, adapters, which load another folder, and activations that are not torch's."""
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(
            f"--encoder {address} has no weights in safetensors; pickled ones can run code and are not read: save it "
            "again with save_pretrained"
        )
    for name in files:
        if name.rpartition("/")[2] == _ADAPTER:
            raise ModelError(f"--encoder {address} is an adapter of another model; merge the two, and save that")
        if name.rpartition("/")[2] == "config.json":
            config = _json(files, name, address)
            activation = config.get("activation_function") if isinstance(config, dict) else None
            if "/" in name and activation is not None and not str(activation).startswith(_ACTIVATIONS):
                raise ModelError(
                    f"--encoder {address}: {name} has the activation {one_line(activation, 80)}, which is not torch's"
                )


def _json(files: Mapping[str, bytes], name: str, address: str) -> Any:
    try:
        return json.loads(files[name])
    except (ValueError, RecursionError):
        raise ModelError(f"--encoder {address}: {name} is not JSON; save it again") from None
