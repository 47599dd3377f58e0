"""The life of a model of another tool, on either warehouse: from its training to the rollback of its promotion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beam_pcc.evaluation.labelled import read_labelled
from beam_pcc.models.registry import Registry
from beam_pcc.sources import synthetic
from tests.end_to_end.conftest import DATE, DAY, Ended


class Place(Protocol):
    """Calls commands: a workspace of a DuckDB file or of BigQuery."""

    models: Path

    def call(self, *arguments: object) -> Ended:
        """Run a command."""

    def run(self) -> Ended:
        """Score and publish the day."""

    def published(self) -> list[tuple[Any, ...]]:
        """What a reader sees: case_id, label, subtype, confidence, version, day."""


def export(path: Path, training: Path) -> tuple[Path, list[str]]:
    """A logistic regression, fitted without this project and exported as other tools do; and its classes."""
    rows = read_labelled(str(training))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1_000))
    scaler, regression = model.fit(rows.vectors, rows.labels).named_steps.values()
    numbers = {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "coefficients": regression.coef_.T,
        "intercepts": regression.intercept_,
    }
    node, value, floats = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            node("Sub", ["features", "mean"], ["centred"]),
            node("Div", ["centred", "scale"], ["scaled"]),
            node("Gemm", ["scaled", "coefficients", "intercepts"], ["scores"]),
            node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
            node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "logistic_regression",
        [value("features", floats, ["batch", 584])],
        [
            value("label", onnx.TensorProto.INT64, ["batch"]),
            value("probabilities", floats, ["batch", len(regression.classes_)]),
        ],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in numbers.items()],
    )
    exported = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.checker.check_model(exported)
    path.write_bytes(exported.SerializeToString())
    return path, [str(name) for name in regression.classes_]


def go(place: Place, warehouse: str, folder: Path) -> None:
    """The whole circle; each step asserts what it left behind."""

    def call(*arguments: object) -> str:
        ended = place.call(*arguments)
        assert ended.code == 0, ended.err
        return ended.out

    place.models = folder / "registry"
    registry = Registry(str(place.models))
    training, evaluation = folder / "training.parquet", folder / "evaluation.parquet"
    synthetic.write(training, 800, DATE, with_intent=True)
    synthetic.write(evaluation, 800, DATE, seed=1, with_intent=True)

    call("train", "--data", training, "--models", place.models)
    (trained,) = registry.versions()
    call("models", "promote", trained, "--models", place.models, "--data", evaluation)

    file, classes = export(folder / "model.onnx", training)
    judged = ["--models", place.models, "--data", evaluation]
    options = ["--classes", *classes, "--threshold", 0.3, "--training_data", training, *judged, "--output", "json"]
    imported = json.loads(call("models", "import", file, *options))["version"]
    gates = call("models", "promote", imported, *judged)
    assert "not worse than current" in gates
    assert "does not say which rows" not in gates
    assert (registry.current(), registry.versions()) == (imported, sorted([trained, imported]))

    assert place.run().code == 0
    by_imported = place.published()
    labels = {row[0]: row[1] for row in by_imported}
    assert {row[4] for row in by_imported} == {imported}
    assert set(labels.values()) == {"PC", "NOT_PC"}

    wrong = next(case for case, label in labels.items() if label == "PC")
    lines = [
        {"case_id": case, "label": "NOT_PC" if case == wrong else label, "source": "team", "time": "2026-11-25"}
        for case, label in labels.items()
    ]
    feedback = folder / "labels.jsonl"
    feedback.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    here = ["--warehouse", warehouse]
    assert json.loads(call("feedback", "import", *here, "--data", feedback, "--output", "json"))["new"] == len(labels)
    report = json.loads(call("feedback", "report", *here, "--partition", DAY, "--output", "json"))
    of_version = next(group for group in report["groups"] if group["by"] == "version")
    found = sum(label == "PC" for label in labels.values())
    assert (of_version["value"], of_version["labels"]) == (imported, len(labels))
    assert of_version["precision"]["value"] == pytest.approx((found - 1) / found)
    page = folder / "report.html"
    call("report", *here, "--output", page)
    assert imported in page.read_text()
    assert f"{len(labels):,} published cases of these days have a label." in page.read_text()

    assert call("models", "rollback", "--models", place.models) == f"current: {trained} (was {imported})\n"
    assert place.run().code == 0
    again = place.published()
    assert {row[4] for row in again} == {trained}
    assert {row[0] for row in again} == labels.keys()
    call("models", "history", "--models", place.models, "--verify")
    report = json.loads(call("feedback", "report", *here, "--partition", DAY, "--output", "json"))
    assert report["labelled_cases"] == len(labels)
