"""An encoder that multiplies integers: near the exact one, and the same whatever is beside a text."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from beam_pcc.features.encoders import serving
from beam_pcc.features.encoders.export import Exported, export
from tests.encoders import toy
from tests.encoders.test_onnx import TEXTS


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.publish(tmp_path_factory.mktemp("published") / "toy")


@pytest.fixture(scope="module")
def int8(published: Path) -> Exported:
    return export(str(published), str(published.parent / "encoders"), is_int8=True)


@pytest.fixture(scope="module")
def encoder(int8: Exported) -> serving.TextEncoder:
    return serving.open_encoder(serving.find_encoder(int8.address, "onnx"), "onnx", 2)


def test_int8_stays_near_the_exact_vectors(published: Path, encoder: serving.TextEncoder) -> None:
    exact = export(str(published), str(published.parent / "encoders"))
    vectors = serving.open_encoder(serving.find_encoder(exact.address, "onnx"), "onnx", 2).encode(TEXTS)
    cosine = (encoder.encode(TEXTS) * vectors).sum(axis=1)

    assert cosine.min() > 0.99


def test_int8_multiplies_integers_in_every_linear_layer(int8: Exported) -> None:
    nodes = onnx.load(str(Path(int8.address) / "model.onnx")).graph.node
    products = [node for node in nodes if node.op_type == "MatMulInteger"]

    assert len(products) == 6 * toy.CONFIG["num_hidden_layers"]


def test_int8_vector_does_not_depend_on_other_texts(encoder: serving.TextEncoder) -> None:
    """Scales of a whole batch, as runtimes' own tools make them, would change a text's vector by its neighbours."""
    texts = [*TEXTS, *(text + " " + text for text in TEXTS)]
    separate = np.vstack([encoder.encode([text]) for text in texts])

    np.testing.assert_allclose(encoder.encode(texts), separate, atol=1e-6)


def test_int8_is_another_encoder_with_a_name_of_its_own(published: Path, int8: Exported) -> None:
    exact = export(str(published), str(published.parent / "encoders"))
    metadata = json.loads((Path(int8.address) / "metadata.json").read_text())

    assert (int8.sha256 != exact.sha256, metadata["precision"], metadata["name"]) == (
        True,
        "int8",
        f"{exact.name}-int8",
    )


def test_int8_weights_have_seven_bits(int8: Exported) -> None:
    """With eight, sums of two products overflow on CPUs without VNNI, and labels would depend on the CPU."""
    arrays = [
        onnx.numpy_helper.to_array(a) for a in onnx.load(str(Path(int8.address) / "model.onnx")).graph.initializer
    ]
    integers = [array for array in arrays if array.dtype == np.int8]

    assert integers
    assert max(np.abs(array.astype(int)).max() for array in integers) == 63
