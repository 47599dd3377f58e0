"""The three backends give the same labels, with windows, on the evaluation messages. Needs `make encoders`."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.config.settings import BACKENDS, Backend
from beam_pcc.features.encoders import serving
from beam_pcc.features.encoders.base import Embeddings
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.featurizer import Featurizer
from beam_pcc.models import deciding, scoring
from beam_pcc.models.registry import Registry
from beam_pcc.training.train import train
from tests.encoders import environment
from tests.inputs import TIME

ROOT = environment.ROOT
pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("encoders")]

ENCODE = """
import json, sys
import numpy as np
from beam_pcc.features.encoders import serving
backend, folder, out = sys.argv[1:]
np.save(out, serving.open_encoder(serving.find_encoder(folder, backend), backend, 2).encode(json.load(sys.stdin)))
"""


def messages(pattern: str) -> list[dict[str, str]]:
    files = sorted((ROOT / "data").glob(pattern))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@dataclasses.dataclass(frozen=True)
class Computed(Featurizer):
    """A featurizer whose texts are encoded already."""

    vectors: tuple[Embeddings, ...] = ()

    def embed(self, cleaned: Sequence[str], advance: Callable[[int], None] | None = None) -> Embeddings:
        (vectors,) = self.vectors
        assert len(vectors) == len(cleaned)
        return vectors


@dataclasses.dataclass(frozen=True)
class Trained:
    folder: Path
    encoder: str
    registry: Registry
    version: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of a part of the project's own messages, by the default backend."""
    environment.require()
    folder = tmp_path_factory.mktemp("parity")
    rows = [json.dumps({"text": row["text"], "intent": row["intent"]}) for row in messages("messages/*.jsonl")[::16]]
    (folder / "labelled.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (encoder,) = (str(path) for path in environment.encoders().iterdir() if path.is_dir())
    metadata = train(str(folder / "labelled.jsonl"), str(folder / "models"), text_column="text", encoder=encoder)
    return Trained(folder, encoder, Registry(str(folder / "models")), metadata.version)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [row["text"] for row in messages("evaluation/*.jsonl")]


@pytest.fixture(scope="module")
def scored(trained: Trained, texts: list[str]) -> dict[Backend, np.ndarray]:
    """P(PC) of each message by each backend, with one classifier."""
    checked, model = trained.registry.load(trained.version)
    features = checked.metadata.features
    assert features is not None
    assert features.windows is not None
    plain = Featurizer(EncoderRef(trained.encoder, features.encoder_sha256), features)
    windows = plain.split(plain.clean(texts)).texts
    assert len(windows) > len(texts)
    probabilities = {}
    for backend in BACKENDS:
        given = Computed(plain.encoder, features, vectors=(encoded(backend, trained, windows),))
        decision = deciding.score_texts(model, checked.classes, given, texts)
        probabilities[backend] = scoring.privacy_probability(decision.scores.probabilities, checked.classes)
    return probabilities


def encoded(backend: Backend, trained: Trained, windows: list[str]) -> Embeddings:
    if backend != serving.AS_PUBLISHED:
        return serving.open_encoder(serving.find_encoder(trained.encoder, backend), backend, 2).encode(windows)
    out = trained.folder / "vectors.npy"
    command = [*environment.with_torch(ENCODE), backend, str(environment.weights()), out]
    subprocess.run(command, input=json.dumps(windows), check=True, capture_output=True, text=True, cwd=ROOT)
    vectors: Embeddings = np.load(out)
    return vectors


def test_sentence_transformers_flips_no_label(scored: dict[Backend, np.ndarray]) -> None:
    onnx, published = scored["onnx"], scored["sentence-transformers"]

    np.testing.assert_allclose(published, onnx, atol=1e-4)
    np.testing.assert_array_equal(published >= 0.5, onnx >= 0.5)


def test_openvino_flips_few_labels(scored: dict[Backend, np.ndarray]) -> None:
    """In bfloat16: docs/text-mode.md has the measured loss."""
    onnx, openvino = scored["onnx"], scored["openvino"]

    assert np.abs(openvino - onnx).max() < 0.05
    assert ((openvino >= 0.5) != (onnx >= 0.5)).mean() <= 0.01


def command(*arguments: object, backend: Backend) -> None:
    program = environment.with_torch(environment.BEAM_PCC)
    flags = ["--encoder_backend", backend, "--text_column", "text", "--encoder_threads", "2"]
    result = subprocess.run(
        [*program, *map(str, arguments), *flags], capture_output=True, text=True, cwd=ROOT, env={**os.environ}
    )
    assert result.returncode == 0, result.stderr


def test_trained_and_run_with_torch_gives_the_labels_of_onnx(trained: Trained, texts: list[str]) -> None:
    folder, weights = trained.folder, environment.weights()
    models = folder / "models-published"
    columns = {
        "case_id": pa.array([f"c{i:04d}" for i in range(len(texts))]),
        "text": pa.array(texts),
        "timestamp": pa.array([TIME] * len(texts), pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), folder / "day.parquet")
    labels = {}
    command(
        *("train", "--data", folder / "labelled.jsonl", "--models", models, "--encoder", weights),
        backend="sentence-transformers",
    )
    for backend, registry, encoder in (
        ("sentence-transformers", models, weights),
        ("onnx", folder / "models", trained.encoder),
    ):
        warehouse = folder / f"{backend}.duckdb"
        run = ("run", "--partition", "20261120", "--source", folder / "day.parquet", "--warehouse", warehouse)
        command(*run, "--models", registry, "--encoder", encoder, backend=backend)  # type: ignore[arg-type]
        with duckdb.connect(str(warehouse)) as connection:
            labels[backend] = connection.execute(
                "SELECT case_id, predicted_label, prediction_notes FROM pcc_inference_output ORDER BY case_id"
            ).fetchall()
    metadata = Registry(str(models)).metadata(Registry(str(models)).resolve())

    assert len(labels["onnx"]) == len(texts)
    assert [row[:2] for row in labels["sentence-transformers"]] == [row[:2] for row in labels["onnx"]]
    assert metadata.features is not None
    assert metadata.features.encoder_sha256 == serving.find_encoder(str(weights), "sentence-transformers").sha256
