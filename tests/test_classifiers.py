"""`train --classifier`: each kind becomes a version that loads, explains and reviews as the default does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beam_pcc.cli import main as cli
from beam_pcc.evaluation.labelled import read_labelled
from beam_pcc.models import explaining, scoring
from beam_pcc.models.registry import Registry
from beam_pcc.training import fitting
from beam_pcc.training.fitting import CLASSIFIERS, Hyperparameters, calibrated, deciding_rows, fit
from beam_pcc.training.train import train
from beam_pcc.training.windowed import Messages, choose_discount

pytestmark = [pytest.mark.end_to_end, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
OTHERS = [name for name in CLASSIFIERS if name != "logistic"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, folds and penalties: what is tested does not depend on them."""
    monkeypatch.setattr(fitting, "_TREES", 10)
    monkeypatch.setattr(fitting, "_LEARNING_RATE", 0.5)
    monkeypatch.setattr(fitting, "_LEAVES", 4)
    monkeypatch.setattr(fitting, "_FOLDS", 2)
    monkeypatch.setattr(fitting, "_SLOW_FOLDS", 2)
    monkeypatch.setattr(fitting, "_PENALTIES", {"hist_gradient_boosting": (1.0,), "mlp": (0.1,)})


@pytest.mark.parametrize("classifier", OTHERS)
def test_trained_version_is_verified_explained_and_reviewed(
    classifier: fitting.Classifier, labelled: Path, tmp_path: Path
) -> None:
    made = train(str(labelled), str(tmp_path), classifier=classifier, threshold=0.1)

    version = Registry(str(tmp_path)).verify(made.version)
    _, model = Registry(str(tmp_path)).load(made.version)
    assert version.file.scorer == "estimator"
    assert made.metrics["roc_auc"] > 0.55  # with ten trees
    assert made.trained_on["settings"]["classifier"] == classifier
    assert made.review is not None
    assert made.mean_vector is not None
    rows = read_labelled(str(labelled)).vectors[:20]
    odds = explaining.log_odds(scoring.privacy_probability(model.predict_proba(rows), version.classes))
    explainer = explaining.Explainer(model, version.classes, made.mean_vector)
    np.testing.assert_allclose(explainer.base + explainer.blocks(rows, odds).sum(axis=1), odds, atol=1e-6)
    assert "logistic" not in (tmp_path / made.version / "model_card.md").read_text()


@pytest.mark.parametrize("classifier", OTHERS)
def test_classifier_of_windows_gets_a_discount(classifier: fitting.Classifier, labelled: Path) -> None:
    rows = read_labelled(str(labelled)).take(np.arange(200))
    counts = np.where(np.arange(len(rows.labels)) % 2 == 0, 1, 2)
    messages = Messages(np.repeat(rows.vectors, counts, axis=0), counts, rows.labels)
    model = fit(Hyperparameters(False, 1.0, "sigmoid", classifier), deciding_rows(messages, scaled=False))
    assert 0.0 <= choose_discount(model, messages, 0) <= 2.0


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_same_seed_gives_the_same_scores(classifier: fitting.Classifier, labelled: Path) -> None:
    rows = read_labelled(str(labelled)).take(np.arange(200))
    hyperparameters = Hyperparameters(True, 0.1, "sigmoid", classifier)
    first, second = (calibrated(hyperparameters, rows.labels).fit(rows.vectors, rows.labels) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(rows.vectors), second.predict_proba(rows.vectors))


def test_unknown_classifier_is_wrong_usage(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(labelled), "--models", str(tmp_path), "--classifier", "svm"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *flags])
    assert ended.value.code == 2
    assert "invalid choice: 'svm'" in capsys.readouterr().err
