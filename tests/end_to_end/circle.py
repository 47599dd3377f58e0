"""The life of a model with any warehouse: trained, imported as ONNX, promoted, run, judged by feedback, rolled back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Protocol

from beam_pcc.sources import synthetic
from tests.end_to_end.conftest import DATE, DAY, Ended

TRAINED_ON, JUDGED_ON = 1, 2  # seeds of the labelled rows
BEYOND_FLOAT32 = f"case-{DAY}-{synthetic.MODEL_ERROR_AT:09d}"


class Place(Protocol):
    """A warehouse with a source, and the commands that work on it."""

    models: Path

    def call(self, *arguments: object) -> Ended: ...

    def run(self) -> Ended: ...

    def published(self) -> list[tuple[Any, ...]]: ...


def full_circle(place: Place, warehouse: str, folder: Path) -> None:
    """Train, import as ONNX, promote, run, import feedback, report, roll back and run again; assert each outcome."""

    def done(*arguments: object) -> str:
        ended = place.call(*arguments)
        assert ended.code == 0, ended.err
        return ended.out

    def result(*arguments: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(done(*arguments, "--output", "json"))
        return answer

    def labels() -> dict[str, str]:
        return {row[0]: row[1] for row in place.published()}

    def published_by() -> set[str]:
        return {row[4] for row in place.published()}

    learnt, judged = folder / "learnt.parquet", folder / "judged.parquet"
    synthetic.write(learnt, 3_000, DATE, seed=TRAINED_ON, with_intent=True)
    synthetic.write(judged, 1_000, DATE, seed=JUDGED_ON, with_intent=True)
    place.models = models = folder / "registry"
    of_registry = ("--models", models)

    done("train", "--data", learnt, *of_registry)
    trained = result("models", "list", *of_registry)["versions"][0]["version"]
    done("models", "promote", trained, *of_registry, "--data", judged)
    assert place.run().code == 0
    of_trained = labels()
    assert published_by() == {trained}

    imported = result("models", "import", models / trained / "model.joblib", *of_registry, "--data", judged)["version"]
    assert (models / imported / "model.onnx").exists()
    done("models", "promote", imported, *of_registry, "--data", judged)
    assert place.run().code == 0
    assert published_by() == {imported}
    of_imported = labels()
    # Of the row beyond float32 scikit-learn can say nothing, and the graph can, which computes in float64.
    assert of_imported == {**of_trained, BEYOND_FLOAT32: of_imported[BEYOND_FLOAT32]}

    sample = folder / "sample.csv"
    result("feedback", "sample", "--warehouse", warehouse, "--partition", DAY, "--n", 60, "--file", sample)
    _labelled(sample, of_imported)
    assert result("feedback", "import", "--warehouse", warehouse, "--data", sample)["new"] == 60
    groups = result("feedback", "report", "--warehouse", warehouse, "--partition", DAY)["groups"]
    (of_version,) = [group for group in groups if group["by"] == "version" and group["basis"] == "sample"]
    assert (of_version["value"], of_version["labels"]) == (imported, 60)
    assert 0 < of_version["precision"]["low"] < of_version["precision"]["value"] < 1
    assert of_version["recall"]["value"] == 1.0
    page = folder / "report.html"
    done("report", "--warehouse", warehouse, "--output", page)
    assert imported in page.read_text()
    assert "60 published cases of these days have a label." in page.read_text()

    done("models", "rollback", *of_registry)
    assert place.run().code == 0
    assert published_by() == {trained}
    assert labels() == of_trained
    history = result("models", "history", *of_registry, "--verify")
    assert [change["version"] for change in history["changes"]] == [trained, imported, trained]
    assert history["chain"]["lines"] == 3


def _labelled(sample: Path, published: dict[str, str]) -> None:
    """Label the cases of the file as they were published, but for one that was published as PC."""
    with sample.open() as file:
        rows = list(csv.DictReader(file))
    wrong = next(row["case_id"] for row in rows if published[row["case_id"]] == "PC")
    with sample.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "label", "source", "time"])
        writer.writeheader()
        for row in rows:
            label = "NOT_PC" if row["case_id"] == wrong else published[row["case_id"]]
            writer.writerow({**row, "label": label, "source": "team", "time": "2026-11-25T10:00:00Z"})
