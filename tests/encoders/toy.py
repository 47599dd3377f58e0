"""A BERT of random weights and one layer, in the form in which real ones are published: the same code, in a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


def weights(seed: int = 0, *, layers: int = 1, types: int = 2, words: int | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": some(words or len(vocabulary()), SIZE),
        "embeddings.position_embeddings.weight": some(POSITIONS, SIZE),
        "embeddings.token_type_embeddings.weight": some(types, SIZE),
    }
    names = [f"encoder.layer.{number}." for number in range(layers)]
    for layer in names:
        for name, out, into in (
            (f"{layer}attention.self.query", SIZE, SIZE),
            (f"{layer}attention.self.key", SIZE, SIZE),
            (f"{layer}attention.self.value", SIZE, SIZE),
            (f"{layer}attention.output.dense", SIZE, SIZE),
            (f"{layer}intermediate.dense", INNER, SIZE),
            (f"{layer}output.dense", SIZE, INNER),
        ):
            weights |= {f"{name}.weight": some(out, into), f"{name}.bias": some(out)}
    of_layers = [f"{layer}{name}.LayerNorm" for layer in names for name in ("attention.output", "output")]
    for name in ("embeddings.LayerNorm", *of_layers):
        weights |= {f"{name}.weight": 1 + some(SIZE), f"{name}.bias": some(SIZE)}
    return weights


def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


PIECES = ["<s>", "<pad>", "</s>", "<unk>", *(f"\u2581{word}" for word in [*WORDS, "query:"]), "\u2581", *LETTERS]


def unigram() -> Tokenizer:
    """A tokenizer as XLM-RoBERTa has one."""
    scores = [(piece, -float(rank)) for rank, piece in enumerate(PIECES)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=PIECES.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    ends = [(name, PIECES.index(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=None, special_tokens=ends)
    return tokenizer


def publish(
    folder: Path,
    seed: int = 0,
    *,
    config: Mapping[str, object] | None = None,
    with_weights: Mapping[str, np.ndarray] | None = None,
    with_tokenizer: Tokenizer | None = None,
    documents: Mapping[str, object] | None = None,
) -> Path:
    """Write it as published weights are: config.json, model.safetensors, tokenizer.json, and more JSON documents."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in {"config.json": {**CONFIG, **(config or {})}, **(documents or {})}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    (folder / "model.safetensors").write_bytes(save(dict(with_weights or weights(seed))))
    (with_tokenizer or tokenizer()).save(str(folder / "tokenizer.json"))
    return folder


def sentence_transformer(
    *, pooling: str = "mean", normalized: bool = True, prefix: str = "", max_tokens: int = 128
) -> dict[str, object]:
    """The documents of sentence-transformers."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalized else [])]
    modes = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}
    return {
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate(kinds)
        ],
        "1_Pooling/config.json": {key: mode == pooling for mode, key in modes.items()},
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": prefix}, "default_prompt_name": None},
    }
