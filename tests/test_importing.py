"""A model that was trained elsewhere becomes a version, if it scores given rows as the original does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beam_pcc.cli import main as cli
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.evaluation import trained_rows
from beam_pcc.evaluation.labelled import Labelled, read_labelled
from beam_pcc.models import onnx_graphs
from beam_pcc.models.registry import Registry
from beam_pcc.training import converters, importing
from beam_pcc.training.importing import import_model
from tests.models import onnx_files
from tests.models.test_artifact import METHODS
from tests.models.test_folding import calibrated

pytestmark = pytest.mark.end_to_end  # it trains and starts processes


@pytest.fixture(scope="module")
def rows(labelled: Path) -> Labelled:
    return read_labelled(str(labelled))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, rows: Labelled) -> Path:
    """A scikit-learn file."""
    path = tmp_path_factory.mktemp("elsewhere") / "model.joblib"
    joblib.dump(calibrated("sigmoid").fit(rows.vectors, rows.labels), path)
    return path


def saved(model: Any, path: Path) -> str:
    joblib.dump(model, path)
    return str(path)


def loaded(models: Path) -> Any:
    registry = Registry(str(models))
    registry.verify(registry.resolve())
    return registry.load(registry.resolve())[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ["joblib", "skops"])
def test_linear_model_becomes_a_version(
    method: str, ending: str, rows: Labelled, labelled: Path, tmp_path: Path
) -> None:
    model = calibrated(method).fit(rows.vectors, rows.labels)
    path = tmp_path / f"model.{ending}"
    if ending == "skops":
        path.write_bytes(skops.io.dumps(model))
    else:
        joblib.dump(model, path)

    made = import_model(str(path), str(tmp_path / "models"), str(labelled))

    assert made.difference is not None
    assert made.difference < 1e-6
    assert made.metadata.golden is not None
    assert made.metadata.review is not None
    assert made.metadata.mean_vector is not None
    scores = loaded(tmp_path / "models").predict_proba(rows.vectors)
    np.testing.assert_allclose(scores, model.predict_proba(rows.vectors.astype(float)), atol=1e-6)


def test_version_holds_onnx_card_and_golden_rows(file: Path, labelled: Path, tmp_path: Path) -> None:
    made = import_model(str(file), str(tmp_path), str(labelled)).metadata
    folder = tmp_path / made.version
    assert {one.name for one in folder.iterdir()} >= {"model.onnx", "metadata.json", "model_card.md", "scores.svg"}
    assert "A model of scikit-learn, imported as ONNX" in (folder / "model_card.md").read_text()
    golden = json.loads((folder / "metadata.json").read_text())["golden"]
    assert len(golden["probabilities"]) == 8


def test_ready_onnx_file_becomes_a_version(file: Path, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_graphs.of_linear(joblib.load(file)))
    made = import_model(
        str(tmp_path / "model.onnx"),
        str(tmp_path / "models"),
        str(labelled),
        classes=["NOT_PC", "PC/access", "PC/deletion", "PC/opt_out"],
    )
    assert (made.kind, made.difference) == ("onnx", None)
    assert made.metadata.metrics["roc_auc"] > 0.95


def test_onnx_file_with_labels_and_maps_is_reduced(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_files.with_zipmap(onnx_files.tree()))
    made = import_model(str(tmp_path / "model.onnx"), str(tmp_path / "models"), str(labelled))
    assert made.metadata.classes == ("NOT_PC", "PC")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.bin", b"", "has none of the endings .onnx, .joblib"),
        ("model.onnx", b"not a model", "is damaged, or is no ONNX model"),
        ("model.onnx", onnx_files.SOUND, "names no classes; name them"),
        ("model.joblib", b"not a model", "is not a joblib file or a pickle"),
    ],
)
def test_unusable_file_is_refused(name: str, content: bytes, reason: str, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason):
        import_model(str(tmp_path / name), str(tmp_path / "models"), str(labelled))
    assert not list((tmp_path / "models").glob("v*"))


def test_missing_file_is_refused(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        import_model(str(tmp_path / "no.onnx"), str(tmp_path / "models"), str(labelled))


def test_other_classes_than_the_file_names_are_refused(file: Path, labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has the classes NOT_PC, PC/access, .*, not NOT_PC, PC as --classes"):
        import_model(str(file), str(tmp_path / "models"), str(labelled), classes=["NOT_PC", "PC"])


@pytest.mark.parametrize("shift", [1e-4, 0.5])
def test_conversion_that_scores_otherwise_is_refused(
    shift: float, file: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: Any) -> bytes:
        def change(graph: Any) -> None:
            intercept = graph.graph.initializer[1]
            intercept.raw_data = (np.frombuffer(intercept.raw_data) + np.array([shift, 0, 0, 0])).tobytes()

        return onnx_files.changed(change, right(model))

    right = onnx_graphs.of_linear
    monkeypatch.setattr(onnx_graphs, "of_linear", wrong)
    with pytest.raises(ModelError, match="rows otherwise when it is converted"):
        import_model(str(file), str(tmp_path / "models"), str(labelled))
    assert not list((tmp_path / "models").glob("v*"))


def test_labels_that_differ_are_refused() -> None:
    ours, theirs = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.5 + 2e-5, 0.5 - 2e-5], [0.2, 0.8]])
    with pytest.raises(ModelError, match="scores 1 of 2 rows otherwise"):
        importing._parity(ours, theirs, ("NOT_PC", "PC"), 0.5, "f")


def test_rows_at_the_threshold_may_fall_on_either_side() -> None:
    ours, theirs = np.array([[0.5, 0.5]]), np.array([[0.5 + 1e-7, 0.5 - 1e-7]])
    assert importing._parity(ours, theirs, ("NOT_PC", "PC"), 0.5, "f") < 1e-6


def test_class_beyond_the_list_needs_trust(rows: Labelled, labelled: Path, tmp_path: Path) -> None:
    path = saved(GradientBoostingClassifier(n_estimators=2).fit(rows.vectors, rows.labels), tmp_path / "m.joblib")
    with pytest.raises(ModelError, match=r"GradientBoostingClassifier.*--trusted loads any class and runs its code"):
        import_model(path, str(tmp_path / "models"), str(labelled))


def test_missing_converter_is_named(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    (tmp_path / "model.txt").write_text("tree")
    with pytest.raises(ConfigurationError, match="needs the extra import, which is not installed"):
        import_model(str(tmp_path / "model.txt"), str(tmp_path / "models"), str(labelled))


def test_few_rows_are_refused(file: Path, tmp_path: Path) -> None:
    from beam_pcc.sources import synthetic
    from tests.inputs import DAY

    synthetic.write(tmp_path / "few.parquet", 4, DAY, with_intent=True)
    with pytest.raises(ConfigurationError, match="must hold rows of PC and of NOT_PC"):
        import_model(str(file), str(tmp_path / "models"), str(tmp_path / "few.parquet"))


def test_command_prints_the_version_and_the_difference(
    file: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["models", "import", str(file), "--models", str(tmp_path), "--data", str(labelled)]
    assert cli.main(arguments) == 0
    assert "imported, scikit-learn, classes NOT_PC, PC/access" in capsys.readouterr().out
    assert cli.main([*arguments, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] < 1e-6


def test_training_rows_are_left_out_and_remembered(
    file: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from beam_pcc.sources import synthetic
    from tests.inputs import DAY

    other, both = tmp_path / "other.parquet", tmp_path / "both.parquet"
    synthetic.write(other, 300, DAY, seed=5, with_intent=True)
    pq.write_table(pa.concat_tables([pq.read_table(labelled), pq.read_table(other)]), both)
    arguments = ["--models", str(tmp_path / "models"), "--data", str(both)]
    assert cli.main(["models", "import", str(file), *arguments, "--training_data", str(labelled)]) == 0
    printed = capsys.readouterr().out
    registry = Registry(str(tmp_path / "models"))
    (version,) = registry.versions()

    unseen = trained_rows.without(registry, [version], read_labelled(str(both)))
    assert "  500 rows of --data are in --training_data too, and were left out" in printed
    assert (unseen.left_out, unseen.notes, len(unseen.rows.labels)) == (500, (), 300)
    assert "on 300 rows: " in printed


def test_data_of_training_rows_only_is_refused(file: Path, labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="without the 500 that are in --training_data too"):
        import_model(str(file), str(tmp_path / "models"), str(labelled), training_data=str(labelled))


# With the extra `import`


TREES = {
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=5),
    "calibrated boosted": lambda: CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3), cv=2),
    "perceptron": lambda: make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=20)),
    "ensemble of pipelines": lambda: calibrated("sigmoid").set_params(ensemble=True),
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=3),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TREES)
def test_skl2onnx_converts_other_models(kind: str, rows: Labelled, labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    path = saved(TREES[kind]().fit(rows.vectors, rows.labels), tmp_path / "m.joblib")
    made = import_model(path, str(tmp_path / "models"), str(labelled), trusted=True)
    assert made.difference is not None
    assert made.difference < importing.PARITY
    assert "skl2onnx" in made.metadata.libraries


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosters_become_versions(library: str, classes: int, rows: Labelled, labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxmltools")
    module = pytest.importorskip(library)
    names, numbers = np.unique(
        rows.labels if classes == 4 else np.char.replace(rows.labels, "/", "_"), return_inverse=True
    )
    if classes == 2:
        names, numbers = np.array(["NOT_PC", "PC"]), (rows.labels != "NOT_PC").astype(int)
    path = tmp_path / ("m.txt" if library == "lightgbm" else "m.json")
    if library == "lightgbm":
        module.LGBMClassifier(n_estimators=5, verbose=-1).fit(rows.vectors, numbers).booster_.save_model(path)
    else:
        module.XGBClassifier(n_estimators=5).fit(rows.vectors, numbers).save_model(path)
    made = import_model(str(path), str(tmp_path / "models"), str(labelled), classes=names.tolist())
    assert made.difference is not None
    assert made.difference < importing.PARITY
    assert made.metadata.metrics["roc_auc"] > 0.9
    loaded(tmp_path / "models")


@pytest.mark.filterwarnings("ignore")
def test_booster_of_other_width_is_refused(rows: Labelled, labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxmltools")
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(rows.vectors[:, :10], rows.labels != "NOT_PC")
    model.booster_.save_model(tmp_path / "m.txt")
    with pytest.raises(ModelError, match="was trained on 10 features, but vectors have 584"):
        converters.convert(str(tmp_path / "m.txt"), "lightgbm")


def test_trusted_file_is_not_run_without_the_flag(tmp_path: Path, labelled: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    buffer = io.BytesIO()
    joblib.dump(Payload(), buffer)
    (tmp_path / "m.joblib").write_bytes(buffer.getvalue())
    with pytest.raises(ModelError):
        import_model(str(tmp_path / "m.joblib"), str(tmp_path / "models"), str(labelled))
    assert not (tmp_path / "ran").exists()
