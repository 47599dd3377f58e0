"""Training on messages, with a small encoder of random weights: features, threshold, and what is refused."""

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.evaluation.labelled import read_labelled
from beam_pcc.features import cleaning, tfidf
from beam_pcc.features.encoders.export import export
from beam_pcc.features.featurizer import Features, join
from beam_pcc.models.registry import Registry
from beam_pcc.training.train import _split, train
from tests.encoders import toy
from tests.messages import OTHER, PRIVATE, SECRET, write_labelled

HOW = {"analyzer": "char_wb", "ngrams": (3, 5)}
pytestmark = pytest.mark.end_to_end  # it trains and starts processes


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    export(str(toy.publish(folder / "published")), str(folder / "encoders"))
    return folder / "encoders"


@pytest.fixture
def models(tmp_path: Path, encoders: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "encoders").symlink_to(encoders, target_is_directory=True)
    return tmp_path / "models"


def test_version_describes_its_features(models: Path, tmp_path: Path) -> None:
    data = write_labelled(tmp_path / "labelled.jsonl")
    made = train(str(data), str(models), text_column="text")
    written = json.loads((models / made.version / "metadata.json").read_text())

    assert Features.from_json(written["features"]) == made.features
    assert made.features is not None
    assert (models / "encoders" / made.features.encoder_sha256[:16] / "model.onnx").exists()
    assert written["features"]["tfidf"].keys() == {"terms", "idf", "analyzer", "ngrams", "sublinear"}
    assert Registry(str(models)).verify(made.version).classes == ("NOT_PC", "PC/access", "PC/deletion")


def test_baseline_is_of_the_terms_of_the_version(models: Path, tmp_path: Path) -> None:
    """And not of those that were fitted without the hold-out, which are others in other places."""
    data = str(write_labelled(tmp_path / "labelled.jsonl"))
    made = train(data, str(models), text_column="text")
    rows = read_labelled(data, "text")
    train_rows, holdout = _split(rows.labels, 0)
    assert made.features is not None
    assert made.baseline is not None
    assert rows.texts is not None
    fitted_before = tfidf.fit([rows.texts[row] for row in train_rows], rows.labels[train_rows].tolist(), **HOW)
    assert fitted_before.terms != made.features.tfidf.terms

    held_out = [rows.texts[row] for row in holdout]
    expected = join(np.zeros((len(held_out), 384), np.float32), made.features.tfidf, held_out)
    np.testing.assert_allclose(made.baseline.blocks["tfidf"].mean, expected[:, 384:].mean(axis=0), atol=1e-6)


def test_the_same_messages_give_the_same_model(models: Path, tmp_path: Path) -> None:
    data = str(write_labelled(tmp_path / "labelled.jsonl"))
    assert train(data, str(models), text_column="text").sha256 == train(data, str(models), text_column="text").sha256


def test_threshold_reaches_the_requested_precision(models: Path, tmp_path: Path) -> None:
    data = str(write_labelled(tmp_path / "labelled.jsonl"))
    made = train(data, str(models), text_column="text", min_precision=0.9)

    assert 0 < made.threshold < 1
    assert made.metrics["precision"] >= 0.8  # of the hold-out, which was not used to choose
    assert "keeps a precision of 0.9" in (models / made.version / "model_card.md").read_text()


def test_a_precision_that_cannot_be_reached_is_refused(models: Path, tmp_path: Path) -> None:
    """Without its signature every message is the same one: a threshold takes all of them, or none."""
    intents = ["NOT_PC", "PC/deletion", "NOT_PC", "PC/access"] * 20
    text = " ".join(["Please", *PRIVATE["PC/deletion"], *PRIVATE["PC/access"], *OTHER])
    texts = [f"{text}.\n\nKind regards\nJ. Doe{'e' * row}" for row in range(len(intents))]
    assert len(set(cleaning.clean(texts))) == 1
    rows = [{"text": text, "intent": intent} for text, intent in zip(texts, intents, strict=True)]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    with pytest.raises(ConfigurationError, match="no threshold reaches --min_precision 1"):
        train(str(data), str(models), text_column="text", min_precision=1.0)
    assert not Registry(str(models)).versions()


def test_card_has_text_and_charts(models: Path, tmp_path: Path) -> None:
    made = train(str(write_labelled(tmp_path / "labelled.jsonl")), str(models), text_column="text")
    card = (models / made.version / "model_card.md").read_text()

    assert f"# Model card: {made.version}" in card
    assert str(made.sha256) in card
    assert "| ROC-AUC |" in card
    for plot in ("scores", "calibration", "precision_recall"):
        assert f"({plot}.svg)" in card
        assert (models / made.version / f"{plot}.svg").read_text().startswith("<svg xmlns")


def test_no_message_is_in_what_training_leaves(models: Path, tmp_path: Path) -> None:
    data = write_labelled(tmp_path / "labelled.jsonl")
    with data.open("a") as file:
        file.write(json.dumps({"text": f"erase me. {SECRET}, {SECRET}", "intent": "PC/deletion"}) + "\n")
    made = train(str(data), str(models), text_column="text")

    for file in (models / made.version).iterdir():
        assert b"Quentin" not in file.read_bytes()
        assert b"ypsil" not in file.read_bytes().lower()


def test_duplicates_are_left_out_with_a_word(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_labelled(tmp_path / "labelled.jsonl")
    lines = data.read_text().splitlines()
    shouted = [json.dumps({**json.loads(line), "text": json.loads(line)["text"].upper() + "!"}) for line in lines[:30]]
    data.write_text("\n".join([*lines, *shouted]) + "\n")

    assert cli.main(["train", "--data", str(data), "--text_column", "text", "--models", str(models)]) == 0
    assert "left out 30 rows that say again what another says" in capsys.readouterr().out


def test_too_few_terms_are_an_error(models: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"{word} {n}{chr(97 + n)}", "intent": label}
        for n in range(12)
        for word, label in (("ab", "PC"), ("cd", "NOT_PC"))
    ]
    data = tmp_path / "few.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    with pytest.raises(ConfigurationError, match=r"cannot train on text: .*; label more messages"):
        train(str(data), str(models), text_column="text")


def test_registry_without_an_encoder_is_an_error(tmp_path: Path) -> None:
    data = write_labelled(tmp_path / "labelled.jsonl")
    with pytest.raises(ModelError, match="holds no encoder; name one with --encoder"):
        train(str(data), str(tmp_path / "models"), text_column="text")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--min_precision", "0"], "--min_precision must be above 0"),
        (["--text_column", "a b"], "is no name of a column"),
        (["--text_column", "case_id"], "has another meaning"),
        (["--encoder_threads", "0"], "--encoder_threads must be between 1 and 256"),
    ],
)
def test_wrong_flags_are_an_error(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--data", "a.jsonl", "--models", "m", *flags]) == 2
    assert said in capsys.readouterr().err


def test_copies_of_the_hold_out_are_not_learnt(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the measured model saw holds a message of the hold-out."""
    fitted: list[list[str]] = []

    def fit(texts: list[str], labels: list[str], **how: Any) -> tfidf.Tfidf:
        fitted.append(list(texts))
        return real(texts, labels, **how)

    real = tfidf.fit
    monkeypatch.setattr("beam_pcc.training.train.tfidf.fit", fit)
    monkeypatch.setattr("beam_pcc.features.cleaning.clean", lambda texts, *_: list(texts))
    data = write_labelled(tmp_path / "labelled.jsonl")
    made = train(str(data), str(models), text_column="text", augment=1.0)

    messages = {json.loads(line)["text"] for line in data.read_text().splitlines()}
    learnt, all_texts = ("\n".join(texts) for texts in fitted)
    held_out = messages - set(fitted[0])
    assert len(held_out) == made.trained_on["holdout"]
    assert not [text for text in held_out if text in learnt]
    assert all(all_texts.count(text) > 1 for text in held_out if "<" not in html.escape(text))


def test_version_tells_of_its_copies(models: Path, tmp_path: Path) -> None:
    data = write_labelled(tmp_path / "labelled.jsonl")
    made = train(str(data), str(models), text_column="text", augment=0.5)
    on = made.trained_on
    card = (models / made.version / "model_card.md").read_text()

    assert on["settings"]["augment"] == 0.5
    assert on["rows"] == sum(on["labels"].values()) == len(data.read_text().splitlines()) - on["duplicates"]
    assert abs(on["copies"] - on["rows"] / 2) <= 2
    assert on["augmented_holdout"]["metrics"].keys() == made.metrics.keys()
    assert abs(on["augmented_holdout"]["rows"] - on["holdout"] / 2) <= 2
    assert f"learnt also from {on['copies']} augmented copies" in card
    assert "augmented copies of the hold-out" in card
    assert Registry(str(models)).verify(made.version).metadata.trained_on["copies"] == on["copies"]


def test_the_same_copies_give_the_same_model(models: Path, tmp_path: Path) -> None:
    data = str(write_labelled(tmp_path / "labelled.jsonl"))
    first, second = (train(data, str(models), text_column="text", augment=1.0).sha256 for _ in range(2))
    assert first == second
    assert first != train(data, str(models), text_column="text", augment=1.0, seed=1).sha256


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--augment"], "name their column with --text_column"), (["--augment", "3"], "must be between 0 and 2")],
)
def test_wrong_augmentation_is_an_error(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--data", "a.jsonl", "--models", "m", *flags]) == 2
    assert said in capsys.readouterr().err
