"""The serving encoder, on the real code with small random weights: the graph's arithmetic, its batches, its files."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest

from beam_pcc.config.settings import Backend
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.features.encoders import graph, package, serving
from beam_pcc.features.encoders.base import Embeddings, Ids
from beam_pcc.features.encoders.export import export
from beam_pcc.features.encoders.package import EncoderRef
from tests.encoders import toy


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> EncoderRef:
    folder = tmp_path_factory.mktemp("encoder")
    exported = export(str(toy.publish(folder / "published")), str(folder / "encoders"))
    return EncoderRef(exported.address, exported.sha256)


@pytest.fixture(scope="module")
def encoder(exported: EncoderRef) -> serving.Encoder:
    return serving.open_encoder(exported, "onnx", 1)


def by_hand(text: str) -> np.ndarray:
    """The same BERT in NumPy, one text at a time and without padding."""
    w, size, heads = toy.weights(), toy.SIZE, toy.CONFIG["num_attention_heads"]
    tokenizer = toy.tokenizer()
    tokenizer.enable_truncation(package.Input().max_tokens)
    ids = tokenizer.encode(text).ids

    def normalised(x: np.ndarray, name: str) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = normalised((x + w["embeddings.token_type_embeddings.weight"][0]).astype(np.float64), "embeddings.LayerNorm")
    layer = "encoder.layer.0"
    query, key, value = (
        linear(x, f"{layer}.attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
        for part in ("query", "key", "value")
    )
    scores = query @ key.swapaxes(1, 2) / math.sqrt(size // heads)
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    context = (attention @ value).swapaxes(0, 1).reshape(len(ids), size)
    x = normalised(linear(context, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
    inner = linear(x, f"{layer}.intermediate.dense")
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    x = normalised(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


TEXTS = ["please delete my data", "", "a", "where is the parcel? " * 40, "DELETE!", "日本語 🎉"]


def test_graph_computes_bert(encoder: serving.Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    np.testing.assert_allclose(vectors, [by_hand(text) for text in TEXTS], atol=2e-5)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_vector_does_not_depend_on_other_texts(exported: EncoderRef, backend: Backend) -> None:
    """In bfloat16 too, where a text that is padded to a neighbour's length gets another vector."""
    encoder = serving.open_encoder(exported, backend, 2)
    texts = [f"{text} {'data ' * n}" for n in range(20) for text in TEXTS]
    separate = np.vstack([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), separate, atol=2e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_threads_compute_than_allowed(threads: int) -> None:
    """Whatever the number of callers."""
    seen: set[int] = set()

    def compute(ids: Ids, mask: Ids) -> Embeddings:
        seen.add(threading.get_ident())
        return np.zeros((len(ids), toy.SIZE), np.float32)

    encoder = serving.Encoder(toy.tokenizer().to_str().encode(), compute, threads=threads)
    texts = ["data " * n for n in range(120)]
    callers = [threading.Thread(target=encoder.encode, args=(texts,)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert 1 <= len(seen) <= threads
    assert not seen & {caller.ident for caller in callers}


def test_error_of_a_batch_reaches_the_caller() -> None:
    def compute(ids: Ids, mask: Ids) -> Embeddings:
        raise MemoryError

    with pytest.raises(MemoryError):
        serving.Encoder(toy.tokenizer().to_str().encode(), compute, threads=2).encode(TEXTS)


def test_vectors_have_the_order_of_the_texts(encoder: serving.Encoder) -> None:
    texts = ["data " * n for n in (3, 200, 1, 50, 200, 2)]
    np.testing.assert_allclose(encoder.encode(texts)[::-1], encoder.encode(texts[::-1]), atol=2e-6)


def test_vectors_are_of_unit_length(encoder: serving.Encoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(TEXTS), axis=1), 1.0, atol=1e-5)


def test_text_beyond_256_tokens_is_ignored(encoder: serving.Encoder) -> None:
    long = "data " * 254
    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long + "delete my account"]), atol=2e-6)


def test_no_texts_give_no_vectors(encoder: serving.Encoder) -> None:
    assert encoder.encode([]).shape == (0, toy.SIZE)


def test_batches_have_one_length_and_limited_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_BATCH_TOKENS", 100)
    lengths = [5, 50, 7, 49, 6, 200, 8]
    batches = list(serving._batches(lengths, 198))

    assert sorted(row for rows, _ in batches for row in rows) == list(range(7))
    assert [([lengths[row] for row in rows], width) for rows, width in batches] == [
        ([200], 198),
        ([50], 52),
        ([49], 52),
        ([5, 7, 6, 8], 8),
    ]


def test_both_runtimes_give_the_same_vectors(exported: EncoderRef, encoder: serving.Encoder) -> None:
    other = serving.open_encoder(exported, "openvino", 1).encode(TEXTS)
    assert (other * encoder.encode(TEXTS)).sum(axis=1).min() > 0.999


def test_a_process_loads_an_encoder_once(exported: EncoderRef) -> None:
    assert serving.open_encoder(exported, "onnx", 1) is serving.open_encoder(exported, "onnx", 1)


def test_the_same_weights_give_the_same_files(tmp_path: Path, exported: EncoderRef) -> None:
    published = str(toy.publish(tmp_path / "published"))
    first, again = (export(published, str(tmp_path / "encoders")) for _ in range(2))

    assert (first.sha256, first.is_new) == (exported.sha256, True)
    assert (again.address, again.is_new) == (first.address, False)


def test_encoder_with_other_digest_is_refused(exported: EncoderRef) -> None:
    with pytest.raises(ModelError, match="name that one with --encoder"):
        serving.open_encoder(EncoderRef(exported.address, "0" * 64), "onnx", 1)


def test_modified_encoder_is_refused(tmp_path: Path) -> None:
    exported = export(str(toy.publish(tmp_path / "published")), str(tmp_path / "encoders"))
    model = Path(exported.address) / package.MODEL
    model.write_bytes(model.read_bytes().replace(b"beam_pcc", b"beam-pcc"))

    with pytest.raises(ModelError, match=r"not .* that the model was trained with"):
        serving.open_encoder(EncoderRef(exported.address, exported.sha256), "onnx", 1)


def test_malformed_encoder_is_one_line(tmp_path: Path) -> None:
    address, _ = package.add(str(tmp_path), package.EncoderFiles(b"no model", toy.tokenizer().to_str().encode()), {})
    ref = EncoderRef(address, package.read(address).sha256)

    with pytest.raises(ModelError, match="cannot be loaded as an encoder") as refused:
        serving.open_encoder(ref, "onnx", 1)
    assert str(refused.value).isprintable()


def test_folder_without_encoder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="make one with beam-pcc encoder export"):
        package.read(str(tmp_path / "none"))


def test_registry_with_several_encoders_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no encoder"):
        package.only_one(str(tmp_path))
    for seed in (0, 1):
        exported = export(str(toy.publish(tmp_path / f"published{seed}", seed)), str(tmp_path / "encoders"))
        assert seed or package.only_one(str(tmp_path)) == exported.address
    with pytest.raises(ModelError, match="holds several encoders"):
        package.only_one(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{}"),
        ("config.json", b"no json"),
        ("config.json", b'{"model_type": "gpt2", "hidden_size": 384}'),
        ("config.json", b'{"model_type": "bert", "hidden_act": "gelu", "hidden_size": 768}'),
        ("model.safetensors", b""),
        ("tokenizer.json", None),
    ],
)
def test_weights_that_cannot_be_exported_are_one_line(tmp_path: Path, file: str, content: bytes | None) -> None:
    published = toy.publish(tmp_path / "published")
    (published / file).unlink() if content is None else (published / file).write_bytes(content)

    with pytest.raises(ConfigurationError, match="cannot be made an encoder") as refused:
        export(str(published), str(tmp_path / "encoders"))
    assert str(refused.value).isprintable()
    assert not (tmp_path / "encoders").exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    weights = toy.weights()
    del weights["encoder.layer.0.output.dense.bias"]
    with pytest.raises(graph.GraphError, match=r"no encoder\.layer\.0\.output\.dense\.bias"):
        graph.build(toy.CONFIG, weights)


def test_openvino_computes_once_before_threads_do(exported: EncoderRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first calls of its binding at the same moment waited for each other for ever."""
    ov = pytest.importorskip("openvino")
    infer = ov.InferRequest.infer
    callers: list[str] = []

    def recorded(request: object, *inputs: object) -> object:
        callers.append(threading.current_thread().name)
        return infer(request, *inputs)

    monkeypatch.setattr(ov.InferRequest, "infer", recorded)
    monkeypatch.setattr(serving, "_loaded", {})
    encoder = serving.open_encoder(exported, "openvino", 2)
    assert callers == [threading.current_thread().name]
    encoder.encode(TEXTS)
    assert len(callers) > 1
