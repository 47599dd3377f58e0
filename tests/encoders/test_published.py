"""Published weights of the BERT family, in the forms in which they are published, become the same encoder."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, models

from beam_pcc.errors import ConfigurationError
from beam_pcc.features.encoders import package, serving
from beam_pcc.features.encoders.export import Exported, export
from beam_pcc.features.encoders.package import EncoderRef
from tests.encoders import toy

TEXTS = ["please delete my data", "what is that?", "where is the parcel " * 10]


def exported(folder: Path, **settings: str) -> Exported:
    return export(str(folder), str(folder.parent / "encoders"), **settings)


def encoded(made: Exported, texts: list[str] | None = None) -> np.ndarray:
    return serving.open_encoder(EncoderRef(made.address, made.sha256), "onnx", 1).encode(texts or TEXTS)


def by_hand(
    text: str,
    *,
    weights: dict[str, np.ndarray],
    tokenizer: Tokenizer,
    layers: int = 1,
    first_position: int = 0,
    pooling: str = "mean",
    normalized: bool = True,
    epsilon: float = 1e-12,
) -> np.ndarray:
    """The same encoder in NumPy, of one text."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    ids, heads = tokenizer.encode(text).ids, toy.CONFIG["num_attention_heads"]

    def layer_norm(x: np.ndarray, name: str) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    positions = w["embeddings.position_embeddings.weight"][first_position : first_position + len(ids)]
    types = w.get("embeddings.token_type_embeddings.weight", np.zeros((0, toy.SIZE)))
    x = w["embeddings.word_embeddings.weight"][ids] + positions + (types[0] if len(types) else 0.0)
    x = layer_norm(x, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{number}" for number in range(layers)):
        query, key, value = (
            linear(x, f"{layer}.attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(toy.SIZE // heads)
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        context = (attention @ value).swapaxes(0, 1).reshape(len(ids), toy.SIZE)
        x = layer_norm(linear(context, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = layer_norm(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    vector = x.mean(0) if pooling == "mean" else x[0]
    return vector / np.linalg.norm(vector) if normalized else vector


def test_xlm_roberta_positions_begin_after_padding(tmp_path: Path) -> None:
    weights, tokenizer = toy.weights(types=1), toy.unigram()
    config = {"model_type": "xlm-roberta", "pad_token_id": 1, "type_vocab_size": 1}
    made = exported(toy.publish(tmp_path / "xlmr", config=config, with_weights=weights, with_tokenizer=tokenizer))

    expected = [by_hand(text, weights=weights, tokenizer=tokenizer, first_position=2) for text in TEXTS]
    np.testing.assert_allclose(encoded(made), expected, atol=2e-5)


def test_bert_with_unigram_has_positions_from_zero(tmp_path: Path) -> None:
    weights, tokenizer = toy.weights(), toy.unigram()
    made = exported(toy.publish(tmp_path / "e5", with_tokenizer=tokenizer))

    expected = [by_hand(text, weights=weights, tokenizer=tokenizer) for text in TEXTS]
    np.testing.assert_allclose(encoded(made), expected, atol=2e-5)


def test_weights_without_token_types(tmp_path: Path) -> None:
    weights = toy.weights()
    del weights["embeddings.token_type_embeddings.weight"]
    made = exported(toy.publish(tmp_path / "published", with_weights=weights))

    expected = [by_hand(text, weights=weights, tokenizer=toy.tokenizer()) for text in TEXTS]
    np.testing.assert_allclose(encoded(made), expected, atol=2e-5)


def test_every_layer_is_computed(tmp_path: Path) -> None:
    weights = toy.weights(layers=3)
    made = exported(toy.publish(tmp_path / "published", config={"num_hidden_layers": 3}, with_weights=weights))

    expected = [by_hand(text, weights=weights, tokenizer=toy.tokenizer(), layers=3) for text in TEXTS]
    np.testing.assert_allclose(encoded(made), expected, atol=2e-5)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooling_and_norm_come_from_its_files(tmp_path: Path, pooling: str, normalized: bool) -> None:
    documents = toy.sentence_transformer(pooling=pooling, normalized=normalized)
    made = exported(toy.publish(tmp_path / "published", documents=documents))

    expected = [
        by_hand(text, weights=toy.weights(), tokenizer=toy.tokenizer(), pooling=pooling, normalized=normalized)
        for text in TEXTS
    ]
    np.testing.assert_allclose(encoded(made), expected, rtol=1e-4, atol=2e-5)
    assert (made.pooling, made.is_normalised) == (pooling, normalized)


def test_pooling_as_later_versions_write_it(tmp_path: Path) -> None:
    documents = {
        **toy.sentence_transformer(),
        "1_Pooling/config.json": {"pooling_mode": "cls", "embedding_dimension": 384},
    }
    assert exported(toy.publish(tmp_path / "published", documents=documents)).pooling == "cls"


def test_texts_get_the_prefix_of_its_files(tmp_path: Path) -> None:
    with_prefix = exported(toy.publish(tmp_path / "a", documents=toy.sentence_transformer(prefix="send me ")))
    without = exported(toy.publish(tmp_path / "b", documents=toy.sentence_transformer()))

    assert with_prefix.sha256 != without.sha256
    prefixed = encoded(without, [f"send me {text}" for text in TEXTS])
    np.testing.assert_allclose(encoded(with_prefix), prefixed, atol=2e-6)
    assert np.abs(encoded(without) - prefixed).max() > 1e-3


def test_default_prompt_is_used_before_that_of_queries(tmp_path: Path) -> None:
    documents = toy.sentence_transformer()
    prompts = {"prompts": {"query": "query: ", "classify": "Classify: "}, "default_prompt_name": "classify"}
    published = toy.publish(
        tmp_path / "published", documents={**documents, "config_sentence_transformers.json": prompts}
    )
    assert exported(published).input.prefix == "Classify: "


def test_prefix_can_be_given(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published", documents=toy.sentence_transformer(prefix="query: "))
    assert exported(published, prefix="").input.prefix == ""


def test_tokens_beyond_its_own_limit_are_ignored(tmp_path: Path) -> None:
    made = exported(toy.publish(tmp_path / "published", documents=toy.sentence_transformer(max_tokens=10)))
    eight = "data " * 8
    np.testing.assert_allclose(encoded(made, [eight]), encoded(made, [eight + "delete my account"]), atol=2e-6)
    assert np.abs(encoded(made, ["data " * 7]) - encoded(made, [eight])).max() > 1e-4


def test_no_more_tokens_than_positions(tmp_path: Path) -> None:
    config = {"model_type": "xlm-roberta", "pad_token_id": 1}
    documents = toy.sentence_transformer(max_tokens=10_000)
    made = exported(
        toy.publish(tmp_path / "published", config=config, documents=documents, with_tokenizer=toy.unigram())
    )
    assert made.input.max_tokens == toy.POSITIONS - 2
    assert encoded(made, ["data " * 1_000]).shape == (1, toy.SIZE)


def as_shards(folder: Path) -> None:
    weights = toy.weights()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        (folder / file).write_bytes(save({name: weights[name] for name in part}))
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def as_part_of_a_model(folder: Path) -> None:
    weights = {f"bert.{name}": array for name, array in toy.weights().items()}
    (folder / "model.safetensors").write_bytes(save({**weights, "cls.bias": np.zeros(3, np.float32)}))


def with_old_names(folder: Path) -> None:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = {}
    for name, array in toy.weights().items():
        end = next((end for end in old if name.endswith(end)), "")
        weights[name.removesuffix(end) + old[end] if end else name] = array
    (folder / "model.safetensors").write_bytes(save(weights))


def with_position_ids(folder: Path) -> None:
    ids = np.arange(toy.POSITIONS)[None]
    (folder / "model.safetensors").write_bytes(save({**toy.weights(), "embeddings.position_ids": ids}))


@pytest.mark.parametrize("rewrite", [as_shards, as_part_of_a_model, with_old_names, with_position_ids])
def test_other_files_of_the_same_weights_are_the_same(tmp_path: Path, rewrite: Callable[[Path], None]) -> None:
    plain = exported(toy.publish(tmp_path / "plain"))
    other = toy.publish(tmp_path / "other")
    rewrite(other)
    np.testing.assert_array_equal(encoded(exported(other)), encoded(plain))


def test_float16_weights_stay_so_in_the_table_of_words(tmp_path: Path) -> None:
    half = {name: array.astype(np.float16) for name, array in toy.weights().items()}
    made = exported(toy.publish(tmp_path / "half", with_weights=half))
    whole = exported(toy.publish(tmp_path / "whole"))

    expected = [by_hand(text, weights=half, tokenizer=toy.tokenizer()) for text in TEXTS]
    np.testing.assert_allclose(encoded(made), expected, atol=2e-5)
    assert whole.size - made.size == pytest.approx(2 * len(toy.vocabulary()) * toy.SIZE, abs=1_000)


def test_openvino_computes_float16_words(tmp_path: Path) -> None:
    half = {name: array.astype(np.float16) for name, array in toy.weights().items()}
    made = exported(toy.publish(tmp_path / "half", with_weights=half))
    other = serving.open_encoder(EncoderRef(made.address, made.sha256), "openvino", 1).encode(TEXTS)
    assert (other * encoded(made)).sum(axis=1).min() > 0.999


def test_input_is_part_of_the_digest(tmp_path: Path) -> None:
    made = exported(toy.publish(tmp_path / "published", documents=toy.sentence_transformer(prefix="query: ")))
    file = Path(made.address) / package.INPUT
    file.write_text(file.read_text().replace("query: ", "passage: "))
    assert package.read(made.address).sha256 != made.sha256


def test_folder_does_not_change_the_digest(tmp_path: Path) -> None:
    documents = toy.sentence_transformer(prefix="query: ")
    first, second = (exported(toy.publish(tmp_path / name, documents=documents)) for name in ("one", "two"))
    assert (first.sha256, second.is_new) == (second.sha256, False)


def test_encoder_is_called_as_its_folder(tmp_path: Path) -> None:
    made = exported(toy.publish(tmp_path / "multilingual-e5-small", documents=toy.sentence_transformer()))
    named = exported(toy.publish(tmp_path / "snapshot", seed=1, documents=toy.sentence_transformer()), name="e5")
    assert [package.name_of(one.address) for one in (made, named)] == ["multilingual-e5-small", "e5"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": {"model_type": "mpnet"}}, "model_type mpnet"),
        ({"config": {"hidden_size": 768}}, "768 values"),
        ({"config": {"hidden_act": "relu"}}, "activation relu"),
        ({"config": {"position_embedding_type": "relative_key"}}, "other than absolute"),
        ({"documents": toy.sentence_transformer(pooling="max")}, "pooling max"),
        ({"documents": toy.sentence_transformer(pooling="none")}, "pooling none"),
        ({"documents": {"modules.json": [{"type": "a.Transformer"}, {"type": "a.Dense"}]}}, "Transformer, Dense"),
        ({"documents": {"modules.json": {}}}, "not a list"),
        ({"documents": {"sentence_bert_config.json": {"do_lower_case": True}}}, "do_lower_case"),
        ({"documents": {"sentence_bert_config.json": {"max_seq_length": "many"}}}, "max_seq_length is 'many'"),
        ({"documents": {"config_sentence_transformers.json": {"prompts": {"query": 7}}}}, "prompts that are no texts"),
        ({"with_tokenizer": Tokenizer(models.BPE())}, "of type BPE"),
        ({"with_tokenizer": Tokenizer(models.Unigram([("a", 0.0)], 0, False))}, "no special tokens"),
        ({"with_weights": {"a": np.zeros(1, np.float32)}}, "no embeddings.word_embeddings.weight"),
    ],
    ids=str,
)
def test_other_encoders_are_refused_in_one_line(tmp_path: Path, change: dict[str, object], why: str) -> None:
    published = toy.publish(tmp_path / "published", **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=why) as refused:
        exported(published)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "encoders").exists()


def test_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    words = {"embeddings.word_embeddings.weight": np.zeros((10, toy.SIZE), np.float32)}
    published = toy.publish(tmp_path / "published", with_weights={**toy.weights(), **words})
    with pytest.raises(ConfigurationError, match="the weights have 10"):
        exported(published)


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published")
    (published / "tokenizer.json").unlink()
    with pytest.raises(ConfigurationError, match=r"no tokenizer\.json and no sentencepiece\.bpe\.model"):
        exported(published)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published")
    (published / "model.safetensors").rename(published / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin can run code"):
        exported(published)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published")
    as_shards(published)
    (published / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="names model-00002-of-00002"):
        exported(published)


def test_shard_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published")
    (published / "model.safetensors").rename(tmp_path / "model.safetensors")
    (published / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}')
    with pytest.raises(ConfigurationError, match="which is not there"):
        exported(published)


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"prefix": 1, "max_tokens": 10}', b'{"prefix": "", "max_tokens": 0}'])
def test_malformed_input_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"input\.json"):
        package.Input.from_json(data)
