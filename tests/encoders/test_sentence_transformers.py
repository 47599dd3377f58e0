"""An encoder as published, on torch in the reference's environment: it computes what the exported one does.

Needs `make encoders`.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pcc.features.encoders import serving
from beam_pcc.features.encoders.export import export
from tests.encoders import environment, toy
from tests.encoders.test_onnx import TEXTS

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("encoders")]

PROBE = """
import json, os, socket, sys
import numpy as np
folder, out = sys.argv[1:]
texts = json.load(sys.stdin)

def refuse(*arguments):
    raise AssertionError("the network is used")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from beam_pcc.features.encoders import serving
from beam_pcc.errors import PccError
try:
    encoder = serving.open_encoder(serving.find_encoder(folder, "sentence-transformers"), "sentence-transformers", 1)
except PccError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
advanced = []
before = len(os.listdir("/proc/self/task"))
together = encoder.encode(texts, advanced.append)
alone = np.concatenate([encoder.encode([text]) for text in texts])
np.save(out, np.stack([together, alone]))
import torch
print(json.dumps({
    "advanced": sum(advanced),
    "threads": torch.get_num_threads(),
    "started": len(os.listdir("/proc/self/task")) - before,
    "left": os.listdir(os.environ["TMPDIR"]),
    "empty": encoder.encode([]).shape,
    "dtype": str(together.dtype),
}))
"""


@dataclass
class Probed:
    """What the encoder of a folder says of TEXTS, and its process of itself."""

    report: dict[str, Any]
    together: np.ndarray
    alone: np.ndarray


def publish(folder: Path, *, prefix: str = "") -> Path:
    """The small encoder, with all that transformers asks for."""
    documents = toy.sentence_transformer(prefix=prefix)
    documents["1_Pooling/config.json"] = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": toy.SIZE}
    documents["tokenizer_config.json"] = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    config = {
        "architectures": ["BertModel"],
        "vocab_size": len(toy.vocabulary()),
        "max_position_embeddings": toy.POSITIONS,
        "type_vocab_size": 2,
    }
    return toy.publish(folder, config=config, documents=documents)


def probe(folder: Path, texts: list[str] = TEXTS) -> Probed:
    temporary, out = folder.parent / f"{folder.name}-tmp", folder.parent / f"{folder.name}.npy"
    temporary.mkdir()
    result = subprocess.run(
        [*environment.with_torch(PROBE), folder, out],
        input=json.dumps(texts),
        check=True,
        capture_output=True,
        text=True,
        cwd=environment.ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    report = json.loads(result.stdout.splitlines()[-1])
    together, alone = np.load(out) if out.exists() else (np.empty(0), np.empty(0))
    return Probed(report, together, alone)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a prefix, and with files that would leave a mark if they were run."""
    environment.require()
    folder = publish(tmp_path_factory.mktemp("published") / "toy", prefix="my data ")
    mark = folder.parent / "mark"
    evil = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nclass Evil: pass\n"
    (folder / "modeling.py").write_text(evil)
    (folder / "pytorch_model.bin").write_bytes(
        b"cpathlib\nPath.touch\n(cpathlib\nPath\n(S'" + bytes(mark) + b"'\ntRtR."
    )
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil", "AutoConfig": "modeling.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    arguments = {"max_seq_length": 128, "model_args": {"trust_remote_code": True}}
    (folder / "sentence_bert_config.json").write_text(json.dumps(arguments))
    return folder


@pytest.fixture(scope="module")
def probed(folder: Path) -> Probed:
    return probe(folder)


def test_vectors_are_those_of_the_exported_encoder(folder: Path, probed: Probed) -> None:
    exported = export(str(folder), str(folder.parent / "encoders"))
    vectors = serving.open_encoder(serving.find_encoder(exported.address, "onnx"), "onnx", 1).encode(TEXTS)

    np.testing.assert_allclose(probed.together, vectors, atol=2e-5)


def test_vector_does_not_depend_on_the_batch(probed: Probed) -> None:
    np.testing.assert_allclose(probed.together, probed.alone, atol=2e-6)


def test_code_and_pickles_of_the_folder_do_not_run(folder: Path, probed: Probed) -> None:
    assert len(probed.together) == len(TEXTS)
    assert not (folder.parent / "mark").exists()


def test_torch_keeps_to_its_threads(probed: Probed) -> None:
    assert (probed.report["threads"], probed.report["started"]) == (1, 0)


def test_the_private_copy_is_removed(probed: Probed) -> None:
    assert not [name for name in probed.report["left"] if name.startswith("beam-pcc")]


def test_progress_counts_every_text(probed: Probed) -> None:
    assert probed.report["advanced"] == len(TEXTS)


def test_no_texts_give_no_float32_vectors(probed: Probed) -> None:
    assert (probed.report["empty"], probed.report["dtype"]) == ([0, toy.SIZE], "float32")


def test_other_than_384_values_are_refused(tmp_path: Path) -> None:
    environment.require()
    folder = publish(tmp_path / "wide")
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "word_embedding_dimension": toy.SIZE}
    (folder / "1_Pooling/config.json").write_text(json.dumps(both))

    assert "its vectors have 768 values, and a model takes 384" in probe(folder).report["error"]


def test_folder_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    environment.require()
    folder = publish(tmp_path / "cut")
    (folder / "model.safetensors").write_bytes(b"cut")

    error = probe(folder).report["error"]
    assert error.startswith(f"--encoder {folder} cannot be used: ")
    assert error.isprintable()
