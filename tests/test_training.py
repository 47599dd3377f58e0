"""Training: the same data and seed give the same model, and what it was made of stands beside it."""

import datetime as dt
import json
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError
from beam_pcc.evaluation import trained_rows
from beam_pcc.models.artifact import digest
from beam_pcc.models.metadata import SCORE_BINS, ModelMetadata
from beam_pcc.models.registry import Registry
from beam_pcc.training.train import metrics_line, read_labelled, require_findings, train

pytestmark = pytest.mark.end_to_end  # it trains and starts processes

CLASSES = ("NOT_PC", "PC/access", "PC/deletion", "PC/opt_out")
Write = Callable[..., str]
PLOTS = {"scores.svg", "calibration.svg", "precision_recall.svg"}
FILES = {"model.joblib", "metadata.json", "training_rows.bin", "model_card.md", *PLOTS}


def only_version(models: Path) -> ModelMetadata:
    registry = Registry(str(models))
    return registry.metadata(*registry.versions())


@pytest.fixture
def write(tmp_path: Path, labelled: Path) -> Write:
    """Writes the first rows of the training set with some columns replaced, or left out where None is given."""

    def write(rows: int = 60, **columns: Any) -> str:
        table = pq.read_table(labelled).slice(0, rows)
        for name, values in {"intent": ["NOT_PC", "PC", "PC/access"] * (rows // 3), **columns}.items():
            table = table.drop_columns([name])
            if values is not None:
                table = table.append_column(name, [values])
        pq.write_table(table, tmp_path / "data.parquet")
        return str(tmp_path / "data.parquet")

    return write


def test_the_same_data_and_seed_give_the_same_model_file(tmp_path: Path, labelled: Path, registry: Path) -> None:
    again = train(str(labelled), str(tmp_path))
    assert again.sha256 == only_version(registry).sha256


def test_another_seed_gives_another_model_file(tmp_path: Path, write: Write) -> None:
    data = write()
    assert train(data, str(tmp_path), seed=1).sha256 != train(data, str(tmp_path), seed=2).sha256


def test_metadata_has_the_digest_of_the_model_file(registry: Path) -> None:
    made = only_version(registry)
    assert made.sha256 == digest((registry / made.version / "model.joblib").read_bytes())


def test_what_train_returns_is_what_it_wrote(tmp_path: Path, write: Write) -> None:
    returned = train(write(), str(tmp_path / "models"), threshold=0.3, seed=5)
    written = only_version(tmp_path / "models")

    assert json.loads(written.to_json()) == json.loads(returned.to_json())
    assert (written.threshold, written.seed) == (0.3, 5)


def test_metadata_names_training_data_and_versions(registry: Path) -> None:
    made = only_version(registry)

    assert made.classes == CLASSES
    on = made.trained_on
    assert (on["data"], on["rows"], on["holdout"]) == ("labelled.parquet", 500, 100)
    assert (on["dropped"], on["duplicates"], on["contradicting"]) == (0, 0, 0)
    assert on["labels"].keys() == set(CLASSES)
    assert sum(on["labels"].values()) == 500
    assert made.libraries["scikit-learn"] == sklearn.__version__
    assert made.libraries["python"] == platform.python_version()
    assert made.feature_count == schemas.VECTOR_DIM
    assert made.embedding_model == schemas.EMBEDDING_MODEL
    assert made.trained_at is not None
    assert dt.datetime.fromisoformat(made.trained_at).utcoffset() == dt.timedelta(0)
    assert dt.datetime.fromisoformat(made.trained_at).strftime("v%Y%m%d_%H%M%S") == made.version


def test_trained_model_has_sound_metrics(registry: Path) -> None:
    made = only_version(registry)

    assert made.metrics.keys() == {"roc_auc", "pr_auc", "brier", "precision", "recall"}
    assert made.metrics["roc_auc"] > 0.8
    assert made.metrics["brier"] < 0.15 * 0.85  # better than to say the share of PC of every case
    assert f"roc_auc {made.metrics['roc_auc']:.3f}" in metrics_line(made.metrics)


def test_the_baseline_counts_each_case_of_the_hold_out(registry: Path) -> None:
    baseline = only_version(registry).baseline

    assert baseline is not None
    assert len(baseline.score_histogram) == SCORE_BINS
    assert sum(baseline.score_histogram) == 100
    assert sum(baseline.class_shares.values()) == pytest.approx(1.0)
    assert {block: norm["mean"] for block, norm in baseline.norms.items()} == pytest.approx(
        dict.fromkeys(schemas.BLOCKS, 1.0)
    )


def test_golden_rows_are_scored_by_the_written_model(registry: Path) -> None:
    made = only_version(registry)
    model = Registry(str(registry)).load(made.version)[1]

    assert made.golden is not None
    np.testing.assert_allclose(model.predict_proba(made.golden.vectors), made.golden.probabilities, atol=1e-6)


def test_invalid_rows_are_left_out_and_counted(tmp_path: Path, write: Write, labelled: Path) -> None:
    vectors = pq.read_table(labelled)["embedding_vector"].to_pylist()[:60]
    vectors[0], vectors[1] = None, vectors[1][:-1]
    vectors[2] = [float("nan"), *vectors[2][1:]]
    data = write(embedding_vector=pa.array(vectors, pa.list_(pa.float64())))

    made = train(data, str(tmp_path / "models"))

    assert (made.trained_on["rows"], made.trained_on["dropped"]) == (57, 3)


def test_labels_follow_their_vectors(write: Write, labelled: Path) -> None:
    vectors = pq.read_table(labelled)["embedding_vector"].to_pylist()[:60]
    expected = np.array(vectors[1:], np.float32)
    vectors[0] = None
    kept = read_labelled(write(embedding_vector=pa.array(vectors, pa.list_(pa.float32()))))

    np.testing.assert_array_equal(kept.vectors, expected)
    assert kept.labels.tolist() == (["NOT_PC", "PC", "PC/access"] * 20)[1:]


def test_a_training_set_needs_no_timestamp(write: Write) -> None:
    assert len(read_labelled(write(timestamp=None)).labels) == 60


def refused(data: str, models: Path, **recipe: Any) -> str:
    """The message with which training is refused; nothing is left in the registry."""
    with pytest.raises(ConfigurationError) as refusal:
        train(data, str(models), **recipe)
    assert not models.exists() or not any(models.iterdir())
    assert "\n" not in str(refusal.value)
    assert data in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("missing", ["intent", "embedding_vector", "case_id"])
def test_a_training_set_without_a_column_is_refused(tmp_path: Path, write: Write, missing: str) -> None:
    assert f"has no column {missing}" in refused(write(**{missing: None}), tmp_path / "models")


@pytest.mark.parametrize("only", ["NOT_PC", "PC"])
def test_a_training_set_of_one_class_is_refused(tmp_path: Path, write: Write, only: str) -> None:
    assert refused(write(intent=[only] * 60), tmp_path / "models").endswith(f"it has: {only}")


def test_privacy_classes_alone_are_refused(tmp_path: Path, write: Write) -> None:
    said = refused(write(intent=["PC", "PC/access"] * 30), tmp_path / "models")
    assert "needs rows of NOT_PC and of PC" in said


def test_too_few_rows_of_a_class_are_refused(tmp_path: Path, write: Write) -> None:
    said = refused(write(intent=["NOT_PC"] * 51 + ["PC/access"] * 9), tmp_path / "models")
    assert "has 9 rows of PC/access; at least 10" in said


def test_no_rows_at_all_are_refused(tmp_path: Path, write: Write) -> None:
    assert "it has: none" in refused(write(rows=0), tmp_path / "models")


@pytest.mark.parametrize("label", ["pc", "PC/", "privacy", "", None, "NOT_PC "])
def test_a_label_that_is_none_is_refused(tmp_path: Path, write: Write, label: str | None) -> None:
    said = refused(write(intent=pa.array([label, *["NOT_PC", "PC"] * 29, "PC"])), tmp_path / "models")
    assert "an intent is none of PC, NOT_PC, PC/<subtype> (1 rows)" in said


@pytest.mark.parametrize("subtype", ["a\nb", "a\x1b[2J", "a" * 200])
def test_label_that_no_model_could_have_is_refused(tmp_path: Path, write: Write, subtype: str) -> None:
    labels = pa.array([f"PC/{subtype}", *["NOT_PC", "PC"] * 29, "PC"])
    assert "is none of PC, NOT_PC, PC/<subtype>" in refused(write(intent=labels), tmp_path / "models")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text("case_id,intent\n")
    assert "cannot be read as Parquet" in refused(str(tmp_path / "data.parquet"), tmp_path / "models")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as Parquet" in refused(str(tmp_path / "none.parquet"), tmp_path / "models")


def test_versions_trained_at_the_same_time_are_all_kept(tmp_path: Path, write: Write) -> None:
    data, models = write(), tmp_path / "models"
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda seed: train(data, str(models), seed=seed), range(3)))

    registry = Registry(str(models))
    assert registry.versions() == sorted(m.version for m in made)
    assert [registry.verify(m.version).file.sha256 for m in made] == [m.sha256 for m in made]
    assert len({m.sha256 for m in made}) == 3


def test_training_leaves_only_versions_in_the_registry(tmp_path: Path, write: Write) -> None:
    made = train(write(), str(tmp_path / "models"))

    assert [path.name for path in (tmp_path / "models").iterdir()] == [made.version]
    assert {path.name for path in (tmp_path / "models" / made.version).iterdir()} == FILES


def test_a_model_of_only_pc_and_not_pc_is_trained_too(tmp_path: Path, write: Write) -> None:
    assert train(write(intent=["NOT_PC", "PC"] * 30), str(tmp_path / "models")).classes == ("NOT_PC", "PC")


def test_a_model_that_finds_nothing_is_not_written(tmp_path: Path, write: Write) -> None:
    said = refused(write(), tmp_path / "models", threshold=0.999999)
    assert "at the threshold 0.999999 the model finds none of the 8 PC rows of the hold-out" in said


def test_a_small_hold_out_is_warned_of(tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    train(write(), str(tmp_path / "models"))
    assert "the hold-out is too small to tell how good the version is: its recall of 1.00 may be" in caplog.text
    assert "(8 of 8 rows); label about 2 times as many rows" in caplog.text


def test_a_large_hold_out_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    truth = np.arange(2_000) < 300
    require_findings(truth, np.where(truth, 0.9, 0.1), 0.5, "data.parquet")
    assert not caplog.messages


def test_training_rows_are_stored_as_digests(tmp_path: Path, write: Write) -> None:
    data = write()
    made = train(data, str(tmp_path / "models"))
    digests = Registry(str(tmp_path / "models")).training_rows(made.version)

    assert digests is not None
    assert (digests.rows, len(digests.digests), digests.left_out) == ("vectors", 60, 0)
    assert trained_rows.of(read_labelled(data)).salt != digests.salt
