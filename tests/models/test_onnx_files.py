"""An ONNX file is scored if it is a classifier of vectors as listed, and refused in one line if not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cli import main as cli
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.models import artifact, checking, folding, onnx_format, onnx_graphs, scoring
from beam_pcc.models.onnx_model import OnnxClassifier
from beam_pcc.models.registry import Registry
from beam_pcc.models.safe_loading import onnx_files
from beam_pcc.models.safe_loading.allowed import RefusedError
from tests.models import onnx_files as files
from tests.models.refusals import refusal
from tests.models.test_artifact import THREE, TWO, VECTORS, fit
from tests.models.test_folding import LINEAR

WHERE = "models/v20261120_060000/model.onnx"
VERSION = "v20261120_060000"


def load(data: bytes, classes: tuple[str, ...] | None = TWO) -> Any:
    model = artifact.load(data, file_format="onnx", where=WHERE, classes=classes)
    artifact.check_classifier(model, where=WHERE, classes=classes)
    return model


def check(data: bytes) -> onnx_files.Checked:
    return onnx_files.check(data, features=584, classes=2)


@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("kind", [name for name in LINEAR if not name.startswith("sgd")])
def test_graph_of_linear_model_scores_as_model(kind: str, classes: tuple[str, ...]) -> None:
    model = fit(LINEAR[kind](), classes)
    rows = np.concatenate([VECTORS, folding.random_vectors(200)])
    actual = load(onnx_graphs.of_linear(model), classes).predict_proba(rows)
    expected = model.predict_proba(rows.astype(np.float64))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 if "isotonic" in kind else 1e-9)


def test_graph_of_isotonic_zeros_is_uniform() -> None:
    model = fit(LINEAR["calibrated isotonic"](), THREE)
    for one in model.calibrated_classifiers_[0].calibrators:
        one.y_thresholds_ = np.zeros_like(one.y_thresholds_)
        one._build_f(one.X_thresholds_, one.y_thresholds_)
    np.testing.assert_allclose(load(onnx_graphs.of_linear(model), THREE).predict_proba(VECTORS), 1 / 3)


@pytest.mark.parametrize("kind", ["sgd log_loss", "sgd modified_huber"])
def test_graph_of_other_link_is_left_to_converters(kind: str) -> None:
    with pytest.raises(folding.NotLinearError):
        onnx_graphs.of_linear(fit(LINEAR[kind]()))


@pytest.mark.parametrize("name", files.HOSTILE)
def test_hostile_file_is_refused_in_one_line(name: str) -> None:
    data, reason = files.HOSTILE[name]
    assert reason in refusal(f"{WHERE} ", load, data)


def test_file_of_more_bytes_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "MAX_BYTES", len(files.SOUND) - 1)
    assert "has 7,0" in refusal(f"{WHERE} ", load, files.SOUND).replace(f"{len(files.SOUND):,}", "7,0")


def test_file_without_classes_is_refused() -> None:
    assert "names no classes; name them in metadata.json" in refusal(f"{WHERE} ", load, files.SOUND, None)


@pytest.mark.parametrize("classes", [("PC", "OTHER"), ("NOT_PC", "NOT_PC"), ("PC/a", "PC/b")])
def test_classes_that_do_not_fit_are_refused(classes: tuple[str, ...]) -> None:
    assert "has the classes" in refusal(f"{WHERE} ", load, files.SOUND, classes)


@given(st.integers(0, len(files.SOUND) - 1))
def test_no_truncated_file_passes(length: int) -> None:
    with pytest.raises(RefusedError):
        check(files.SOUND[:length])


@given(st.lists(st.tuples(st.integers(0, len(files.SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_changed_bytes_pass_or_are_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(files.SOUND)
    for place, byte in changes:
        data[place] = byte
    try:
        checked = check(bytes(data))
    except RefusedError:
        return  # any other exception fails the test
    assert check(checked.data) == checked


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RefusedError):
        check(data)


@pytest.mark.parametrize("seed", range(5))
def test_changed_file_never_ends_the_check(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_passed", {})
    rng = np.random.default_rng(seed)
    data = bytearray(files.tree())
    for place in rng.integers(0, len(data), 3):
        data[place] = rng.integers(0, 256)
    try:
        data = bytearray(onnx_graphs.of_file(bytes(data)).data)
    except RefusedError:
        return
    digest = artifact.digest(bytes(data))
    try:
        message = str(checking.check(bytes(data), file_format="onnx", where=WHERE, sha256=digest, classes=TWO).classes)
    except ModelError as error:
        message = str(error)
    assert message == str(TWO) or message.startswith(f"{WHERE} ")
    assert "the process that tried" not in message


@pytest.mark.parametrize("change", [files.blown_up, files.doubled])
def test_graph_that_takes_memory_by_rows_is_refused(
    change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only in the process of the check, which has a limit of memory."""
    monkeypatch.setattr(checking, "_passed", {})
    data = files.changed(change)
    with pytest.raises(ModelError, match=f"^{WHERE} "):
        checking.check(data, file_format="onnx", where=WHERE, sha256=artifact.digest(data), classes=TWO)


def test_runtime_gets_only_what_was_checked() -> None:
    hidden = files.SOUND + b"\xa2\x01\x04\x0a\x02\x08\x01"  # a training graph, which is field 20
    assert check(hidden).data == check(files.SOUND).data


def test_scores_do_not_depend_on_batch_size() -> None:
    model, rows = load(files.SOUND), folding.random_vectors(50)
    apart = np.concatenate([model.predict_proba(rows[:1]), model.predict_proba(rows[1:])])
    np.testing.assert_allclose(model.predict_proba(rows), apart, rtol=0, atol=1e-12)


def test_no_rows_give_no_scores() -> None:
    assert load(files.SOUND).predict_proba(VECTORS[:0]).shape == (0, 2)


def test_rows_whose_probabilities_are_nan_fail_alone() -> None:
    rows = VECTORS[:4].copy()
    rows[2, 5] = np.nan
    scores = scoring.score(load(files.SOUND), rows)
    assert scores.errors == {2: "the model's probabilities are not between 0 and 1"}


def test_nan_for_every_row_is_told() -> None:
    model = OnnxClassifier(files.HOSTILE["NaN"][0], TWO)
    with pytest.raises(EveryRowFailsError):
        scoring.score(model, VECTORS[:3])


def test_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"a model\.onnx needs the extra onnx, which is not installed"):
        load(files.SOUND)


# Graphs that other tools exported


def test_label_output_is_removed() -> None:
    ready = onnx_graphs.of_file(files.tree())
    probabilities = load(ready.data).predict_proba(
        np.array([[0, 0, 0, -1] + [0] * 580, [0, 0, 0, 1] + [0] * 580], "f4")
    )
    assert ready.classes == TWO
    np.testing.assert_allclose(probabilities, [[0.8, 0.2], [0.1, 0.9]], atol=1e-6)


def test_zipmap_is_removed() -> None:
    ready = onnx_graphs.of_file(files.with_zipmap(files.tree()))
    plain = load(onnx_graphs.of_file(files.tree()).data)
    assert ready.classes == TWO
    np.testing.assert_array_equal(load(ready.data).predict_proba(VECTORS), plain.predict_proba(VECTORS))


def test_ready_graph_stays_as_it_is() -> None:
    np.testing.assert_array_equal(
        load(onnx_graphs.of_file(files.SOUND).data).predict_proba(VECTORS), load(files.SOUND).predict_proba(VECTORS)
    )


def test_new_ir_version_is_lowered() -> None:
    ready = onnx_graphs.of_file(files.changed(lambda model: setattr(model, "ir_version", 13)))
    assert check(ready.data).opset == onnx_graphs.OPSET


def test_free_width_becomes_that_of_a_vector() -> None:
    def change(model: Any) -> None:
        onnx_format.set_dimensions(model.graph.input[0], onnx_format.FLOAT, None, None)

    assert load(onnx_graphs.of_file(files.changed(change)).data).n_features_in_ == 584


def test_several_float_outputs_are_refused() -> None:
    def renamed(model: Any) -> None:
        files.second_output(model)
        model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"

    with pytest.raises(RefusedError, match=r"has the outputs scores, n1, of which more than one may be"):
        onnx_graphs.of_file(files.changed(renamed))


def test_several_outputs_with_one_named_so_are_no_doubt() -> None:
    assert onnx_graphs.of_file(files.changed(files.second_output)) == onnx_graphs.of_file(files.SOUND)


def test_no_float_output_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"of which none is \(n, classes\) probabilities"):
        onnx_graphs.of_file(files.changed(files.no_output))


# In a registry


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    """A registry whose version is the trained one as ONNX."""
    (trained,) = Registry(str(registry)).versions()
    folder = tmp_path / "models" / VERSION
    shutil.copytree(registry / trained, folder)
    model = artifact.load((folder / "model.joblib").read_bytes(), file_format="joblib", where="trained")
    data = onnx_graphs.of_linear(model)
    (folder / "model.joblib").unlink()
    (folder / "model.onnx").write_bytes(data)
    change(folder, sha256=artifact.digest(data))
    return tmp_path / "models"


def change(folder: Path, **values: Any) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_version_of_onnx_is_loaded_in_workers(models: Path) -> None:
    version, model = Registry(str(models)).load(VERSION)
    assert (version.file.file_format, version.file.scorer) == ("onnx", "onnx")
    np.testing.assert_array_equal(version.file.load().predict_proba(VECTORS), model.predict_proba(VECTORS))


def test_version_of_onnx_is_verified(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "verify", "--models", str(models)]) == 0
    assert "scored by   the graph (ONNX Runtime" in capsys.readouterr().out


def test_changed_onnx_file_is_refused(models: Path) -> None:
    with (models / VERSION / "model.onnx").open("ab") as file:
        file.write(b"\x00")
    with pytest.raises(ModelError, match=r"as metadata\.json says"):
        Registry(str(models)).check(VERSION)


def test_golden_rows_of_another_onnx_are_an_error(models: Path) -> None:
    folder = models / VERSION
    data = (folder / "model.onnx").read_bytes()

    def shift(model: Any) -> None:
        intercept = model.graph.initializer[1]
        intercept.raw_data = (np.frombuffer(intercept.raw_data) + 0.1).tobytes()

    (folder / "model.onnx").write_bytes(files.changed(shift, data))
    change(folder, sha256=artifact.digest((folder / "model.onnx").read_bytes()))
    with pytest.raises(ModelError, match="scores its golden rows otherwise"):
        Registry(str(models)).verify(VERSION)


def test_fewer_classes_in_metadata_are_refused(models: Path) -> None:
    change(models / VERSION, classes=["NOT_PC", "PC"], golden=None)
    with pytest.raises(ModelError, match=r"has an output of the shape \(n, 4\), not \(n, 2\)"):
        Registry(str(models)).check(VERSION)
