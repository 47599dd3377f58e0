"""Reads a folder of published weights in the layout of Hugging Face and sentence-transformers.

It accepts sentence encoders of the BERT family, and says in one line why it does not accept another. It runs no code of
the folder and reads no pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.features.encoders import sentencepiece
from beam_pcc.features.encoders.package import TOKENIZER, Input

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
MODULES, PROMPTS, TOKENIZER_CONFIG = "modules.json", "config_sentence_transformers.json", "tokenizer_config.json"
DEFAULT_NAME = "all-MiniLM-L6-v2"
Pooling = Literal["mean", "cls"]

_TOKENIZERS = ("WordPiece", "Unigram")
_ARCHITECTURES = ("bert", "xlm-roberta", "roberta", "camembert")
_MAX_TOKENS_CONFIGS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlm-roberta_config.json")
_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


class PublishedError(ValueError):
    """The folder does not hold an encoder that can be exported."""


@dataclass(frozen=True)
class Published:
    """A published encoder.

    Attributes:
        name: What it is called in metadata.json.
        config: Its config.json.
        weights: By the names of Hugging Face's BertModel, without a prefix; in the precision of the file.
        weights_sha256: Of the files of weights, in the order of their names.
        tokenizer: The bytes of its tokenizer.json.
        pooling: How the vectors of the tokens become one.
        is_normalised: Whether that one gets unit length.
        first_position: The row of the position table that the first token gets.
        input: The prefix of each text, and how many tokens count.
    """

    name: str
    config: Mapping[str, Any]
    weights: Mapping[str, npt.NDArray[Any]]
    weights_sha256: str
    tokenizer: bytes
    pooling: Pooling
    is_normalised: bool
    first_position: int
    input: Input


def read(folder: Path, *, prefix: str | None = None, name: str | None = None) -> Published:
    """The encoder in a folder.

    Without modules.json it is read as all-MiniLM-L6-v2 is: mean, normalised, no prefix, 256 tokens.

    Args:
        folder: Of the published files.
        prefix: Instead of the one in its files.
        name: Instead of the folder's name.

    Raises:
        OSError: A file cannot be read.
        ValueError: It is no encoder that can be exported: another architecture or size, or a file is missing.
    """
    config = _object(folder, CONFIG)
    architecture = config.get("model_type")
    if architecture not in _ARCHITECTURES:
        raise PublishedError(f"{CONFIG} is of model_type {architecture}, not of {', '.join(_ARCHITECTURES)}")
    if config.get("hidden_size") != schemas.EMBEDDING_DIM:
        raise PublishedError(f"its vectors have {config.get('hidden_size')} values, not {schemas.EMBEDDING_DIM}")
    pooling, is_normalised = _modules(folder)
    first_position = 0 if architecture == "bert" else _count(config, "pad_token_id", 1) + 1
    weights, digest = _weights(folder)
    for needed in (_WORDS, _POSITIONS):
        if needed not in weights:
            raise PublishedError(f"the weights have no {needed}")
    positions = len(weights[_POSITIONS]) - first_position
    used_prefix = prefix_of(folder) if prefix is None else prefix
    inputs = Input(used_prefix, min(_max_tokens(folder, positions), positions))
    is_default = architecture == "bert" and config.get("num_hidden_layers") == 6 and inputs == Input()
    return Published(
        name=name or (DEFAULT_NAME if is_default and pooling == "mean" and is_normalised else folder.resolve().name),
        config=config,
        weights=weights,
        weights_sha256=digest,
        tokenizer=_tokenizer(folder, vocabulary=len(weights[_WORDS])),
        pooling=pooling,
        is_normalised=is_normalised,
        first_position=first_position,
        input=inputs,
    )


def _modules(folder: Path) -> tuple[Pooling, bool]:
    """Pooling and whether the vector is normalised, by modules.json."""
    if not (folder / MODULES).exists():
        return "mean", True
    modules = _json(folder, MODULES)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise PublishedError(f"{MODULES} is not a list of modules")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise PublishedError(f"{MODULES} has {', '.join(kinds)}, not Transformer, Pooling and perhaps Normalize")
    return _pooling(folder, f"{modules[1].get('path')}/config.json"), len(kinds) == 3


def _pooling(folder: Path, file: str) -> Pooling:
    config = _object(folder, file)
    mode = config.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else sorted(_flags(config))
    if config.get("include_prompt", True) is not True:
        raise PublishedError(f"{file} leaves the prompt out of the pooling")
    if modes == ["mean"]:
        return "mean"
    if modes == ["cls"]:
        return "cls"
    raise PublishedError(f"{file} has the pooling {', '.join(modes) or 'none'}, not mean or cls")


def _flags(config: Mapping[str, Any]) -> Iterator[str]:
    """The modes that are true, as earlier versions of sentence-transformers wrote them."""
    for key, value in config.items():
        if key.startswith("pooling_mode_") and value is True:
            yield key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")


def _max_tokens(folder: Path, positions: int) -> int:
    for file in _MAX_TOKENS_CONFIGS:
        if (folder / file).exists():
            config = _object(folder, file)
            if config.get("do_lower_case") is True:
                raise PublishedError(f"{file} has do_lower_case, which is not supported")
            if config.get("max_seq_length") is not None:
                return _count(config, "max_seq_length", positions)
    if not (folder / MODULES).exists():
        return Input().max_tokens
    config = _object(folder, TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).exists() else {}
    limit = config.get("model_max_length")  # a huge float means no limit
    return limit if type(limit) is int and limit > 0 else positions


def prefix_of(folder: Path) -> str:
    """What is written before each text: the default prompt, else that of a query, else nothing.

    Raises PublishedError.
    """
    if not (folder / PROMPTS).exists():
        return ""
    config = _object(folder, PROMPTS)
    prompts = config.get("prompts") or {}
    name = config.get("default_prompt_name") or "query"
    prefix = prompts.get(name, "") if isinstance(prompts, dict) else None
    if not isinstance(prefix, str):
        raise PublishedError(f"{PROMPTS} has prompts that are no texts")
    return prefix


def _weights(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    from safetensors.numpy import load

    if (folder / WEIGHTS).exists():
        files = [WEIGHTS]
    elif (folder / SHARDS).exists():
        files = _shards(folder)
    elif pickled := sorted(file.name for file in folder.glob("*.bin")):
        raise PublishedError(f"it has no {WEIGHTS}; {pickled[0]} can run code and is not read")
    else:
        raise PublishedError(f"it has no {WEIGHTS}")
    tensors: dict[str, npt.NDArray[Any]] = {}
    digest = hashlib.sha256()
    for file in files:
        data = (folder / file).read_bytes()
        digest.update(data)
        try:
            tensors.update(load(data))
        except KeyError as error:  # a precision that NumPy does not have
            raise PublishedError(f"{file} has weights of type {error}, not float32 or float16") from None
    return _renamed(tensors), digest.hexdigest()


def _shards(folder: Path) -> list[str]:
    shards = _object(folder, SHARDS).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(file, str) for file in shards.values()):
        raise PublishedError(f"{SHARDS} has no weight_map")
    files = sorted(set(shards.values()))
    if missing := [file for file in files if Path(file).name != file or not (folder / file).is_file()]:
        raise PublishedError(f"{SHARDS} names {missing[0]}, which is not there")
    return files


def _renamed(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The weights of the encoder itself, without the prefix of a larger model and by today's names."""
    prefix = next((name.removesuffix(_WORDS) for name in tensors if name.endswith(_WORDS)), "")
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            own = name.removeprefix(prefix)
            for old, new in _OLD_NAMES.items():
                own = own.removesuffix(old) + new if own.endswith(old) else own
            if tensor.dtype.kind == "f":
                renamed[own] = tensor if tensor.dtype == np.float16 else tensor.astype(np.float32, copy=False)
    return renamed


def _tokenizer(folder: Path, *, vocabulary: int) -> bytes:
    """The bytes of tokenizer.json, checked to be one that fits the weights."""
    from tokenizers import Tokenizer

    if (folder / TOKENIZER).exists():
        data = (folder / TOKENIZER).read_bytes()
    elif (folder / sentencepiece.FILE).exists():
        data = sentencepiece.tokenizer((folder / sentencepiece.FILE).read_bytes())
    elif others := sorted(file.name for file in folder.glob("*.model")):
        raise PublishedError(f"it has no {TOKENIZER}, and {others[0]} does not say which number a piece has")
    else:
        raise PublishedError(f"it has no {TOKENIZER} and no {sentencepiece.FILE}")
    try:
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    except Exception as error:  # the library raises a bare Exception
        raise PublishedError(f"{TOKENIZER} is no tokenizer: {error}") from None
    algorithm = type(tokenizer.model).__name__
    if algorithm not in _TOKENIZERS:
        raise PublishedError(f"{TOKENIZER} is of type {algorithm}, not {' or '.join(_TOKENIZERS)}")
    if tokenizer.num_special_tokens_to_add(False) == 0:
        raise PublishedError(f"{TOKENIZER} adds no special tokens to a text")
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= vocabulary:
        raise PublishedError(f"{TOKENIZER} has a token {largest}, but the weights have {vocabulary}")
    return data


def _json(folder: Path, file: str) -> Any:
    if not (folder / file).exists():
        raise PublishedError(f"it has no {file}")
    try:
        return json.loads((folder / file).read_bytes())
    except (ValueError, RecursionError):
        raise PublishedError(f"{file} is not JSON") from None


def _object(folder: Path, file: str) -> dict[str, Any]:
    value = _json(folder, file)
    if not isinstance(value, dict):
        raise PublishedError(f"{file} is not a JSON object")
    return value


def _count(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key)
    if value is None:
        return default
    if type(value) is not int or value < 0:
        raise PublishedError(f"{key} is {value!r}, not a count")
    return value
