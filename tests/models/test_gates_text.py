"""The gates of versions of messages: other encoders, other windows, and messages against vectors."""

import json
import shutil
from pathlib import Path

import pytest

from beam_pcc.errors import ModelError
from beam_pcc.evaluation import promotion
from beam_pcc.evaluation.promotion import Evaluation
from beam_pcc.features.encoders.export import export
from beam_pcc.models.registry import Registry
from beam_pcc.training.train import train
from tests.encoders import toy
from tests.messages import SECRET, labelled_messages, write_labelled

pytestmark = pytest.mark.end_to_end  # it trains and starts processes

VECTORS = "v20261120_020000"
Trained = tuple[Path, tuple[str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A registry with two versions of messages, each with an encoder of its own; the versions and the encoders."""
    folder = tmp_path_factory.mktemp("text")
    models, versions, encoders = folder / "models", [], []
    for seed in range(2):
        published = toy.publish(folder / f"published{seed}", seed)
        encoders.append(export(str(published), str(models / "encoders")).address)
        data = write_labelled(folder / f"labelled{seed}.jsonl", seed=seed)
        versions.append(train(str(data), str(models), text_column="text", encoder=encoders[-1]).version)
    return models, (versions[0], versions[1]), (encoders[0], encoders[1])


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """200 messages, and 100 that the first version was trained on, in capitals."""
    data = write_labelled(tmp_path / "evaluation.jsonl", 200, seed=6)
    texts, labels = labelled_messages(240, seed=0)
    lines = [{"text": text.upper(), "intent": label} for text, label in zip(texts[:100], labels[:100], strict=True)]
    with data.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return data


@pytest.fixture
def models(trained: Trained, tmp_path: Path) -> Path:
    shutil.copytree(trained[0], tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("named", [False, True])
def test_version_with_another_encoder_is_compared(
    models: Path, trained: Trained, evaluation: Path, named: bool
) -> None:
    _, (first, second), (_, encoder) = trained
    registry = Registry(str(models))
    registry.promote(first)
    on = Evaluation(str(evaluation), "text", encoder if named else None)
    gates = {gate.name: gate for gate in promotion.judge(registry, second, on).gates}

    assert not [gate for gate in gates.values() if gate.failed]
    assert f"left out 100 that {second} or {first} was trained on" in gates["labelled rows"].message
    assert gates["not worse than current"].message.startswith("roc_auc ")


def test_version_with_other_windows_is_compared(models: Path, trained: Trained, evaluation: Path) -> None:
    _, (first, second), _ = trained
    metadata = json.loads((models / second / "metadata.json").read_text())
    metadata["features"] |= {"windows": None, "cleaning": 0}
    (models / second / "metadata.json").write_text(json.dumps(metadata))
    registry = Registry(str(models))
    registry.promote(first)
    gates = promotion.judge(registry, second, Evaluation(str(evaluation), "text")).gates
    assert gates[-1].name == "not worse than current"
    assert not gates[-1].failed


def test_messages_cannot_be_compared_with_vectors(
    models: Path, trained: Trained, evaluation: Path, registry: Path
) -> None:
    """The current version reads vectors: only --force can go over to messages."""
    _, (first, _), _ = trained
    shutil.copytree(registry / Registry(str(registry)).versions()[0], models / VECTORS)
    both = Registry(str(models))
    both.promote(VECTORS)
    judgement = promotion.judge(both, first, Evaluation(str(evaluation), "text"))
    gates = judgement.gates

    assert [gate.name for gate in gates if gate.failed] == ["not worse than current"]
    assert f"{VECTORS} cannot be measured: {VECTORS} was trained on vectors" in gates[-1].message
    with pytest.raises(ModelError, match="is not promoted: not worse than current"):
        promotion.promote(both, first, judgement)
    assert promotion.promote(both, first, judgement, force=True) == VECTORS


def test_version_of_vectors_cannot_read_messages(models: Path, evaluation: Path, registry: Path) -> None:
    shutil.copytree(registry / Registry(str(registry)).versions()[0], models / VECTORS)
    with pytest.raises(ModelError, match=f"{VECTORS} was trained on vectors and does not say how to make them"):
        promotion.judge(Registry(str(models)), VECTORS, Evaluation(str(evaluation), "text"))


def test_no_message_is_in_the_log_of_promotions(models: Path, trained: Trained, evaluation: Path) -> None:
    _, (first, _), _ = trained
    with evaluation.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": SECRET, "intent": "NOT_PC"}) + "\n")
    registry = Registry(str(models))
    promotion.promote(
        registry, first, promotion.judge(registry, first, Evaluation(str(evaluation), "text")), force=True
    )
    assert SECRET not in (models / "promotions.jsonl").read_text()
    assert SECRET.encode() not in (models / first / "training_rows.bin").read_bytes()
