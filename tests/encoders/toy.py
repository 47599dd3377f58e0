"""A BERT of random weights and one layer, in the form in which real ones are published: the same code, in a moment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SIZE, INNER, POSITIONS = 384, 64, 256
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": SIZE,
    "intermediate_size": INNER,
    "num_attention_heads": 12,
    "num_hidden_layers": 1,
    "layer_norm_eps": 1e-12,
}
WORDS = [
    "please",
    "delete",
    "my",
    "data",
    "send",
    "me",
    "a",
    "copy",
    "of",
    "what",
    "you",
    "hold",
    "about",
    "where",
    "is",
    "the",
    "parcel",
    "i",
    "ordered",
    "refund",
    "account",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"


def vocabulary() -> dict[str, int]:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": some(len(vocabulary()), SIZE),
        "embeddings.position_embeddings.weight": some(POSITIONS, SIZE),
        "embeddings.token_type_embeddings.weight": some(2, SIZE),
    }
    layer = "encoder.layer.0."
    for name, out, into in (
        (f"{layer}attention.self.query", SIZE, SIZE),
        (f"{layer}attention.self.key", SIZE, SIZE),
        (f"{layer}attention.self.value", SIZE, SIZE),
        (f"{layer}attention.output.dense", SIZE, SIZE),
        (f"{layer}intermediate.dense", INNER, SIZE),
        (f"{layer}output.dense", SIZE, INNER),
    ):
        weights |= {f"{name}.weight": some(out, into), f"{name}.bias": some(out)}
    for name in ("embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"):
        weights |= {f"{name}.weight": 1 + some(SIZE), f"{name}.bias": some(SIZE)}
    return weights


def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def publish(folder: Path, seed: int = 0) -> Path:
    """Write it as published weights are: config.json, model.safetensors, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(save(weights(seed)))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
