"""Feedback on what a run published: from the sample that is labelled to the page that shows it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import DAY, Workspace

pytestmark = pytest.mark.end_to_end


def feedback(workspace: Workspace, command: str, *more: object) -> dict[str, Any]:
    ended = workspace.call("feedback", command, "--warehouse", workspace.warehouse, *more, "--output", "json")
    assert ended.code == 0, ended.err
    result: dict[str, Any] = json.loads(ended.out)
    return result


def labelled(sample: Path, wrong: set[str], published: dict[str, str]) -> Path:
    """The sample with a label of each case: what was published, but for the wrong ones."""
    with sample.open() as file:
        rows = list(csv.DictReader(file))
    labels = sample.with_name("labels.csv")
    with labels.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "label", "source", "time"])
        writer.writeheader()
        for row in rows:
            right = published[row["case_id"]]
            other = "NOT_PC" if right == "PC" else "PC"
            label = other if row["case_id"] in wrong else right
            writer.writerow({**row, "label": label, "source": "team", "time": "2026-11-25T10:00:00Z"})
    return labels


def test_a_run_is_sampled_labelled_and_reported(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.run().code == 0
    published = {row[0]: row[1] for row in workspace.published()}
    sample = tmp_path / "sample.csv"
    feedback(workspace, "sample", "--partition", DAY, "--n", 80, "--file", sample)
    with sample.open() as file:
        drawn = [row["case_id"] for row in csv.DictReader(file)]
    wrong = {next(case for case in drawn if published[case] == "PC")}
    labels = labelled(sample, wrong, published)

    assert feedback(workspace, "import", "--data", labels)["new"] == 80
    whole = feedback(workspace, "report", "--partition", DAY)["groups"][0]
    assert (whole["basis"], whole["labels"], round(whole["cases"])) == ("sample", 80, len(published))
    assert 0 < whole["precision"]["low"] < whole["precision"]["value"] < 1
    assert whole["recall"]["value"] == 1.0
    assert whole["recall"]["low"] < 1.0

    page = tmp_path / "report.html"
    assert workspace.call("report", "--warehouse", workspace.warehouse, "--output", page).code == 0
    assert "80 published cases of these days have a label." in page.read_text()


def test_a_day_that_runs_again_keeps_its_feedback(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.run().code == 0
    published = {row[0]: row[1] for row in workspace.published()}
    sample = tmp_path / "sample.csv"
    feedback(workspace, "sample", "--partition", DAY, "--n", 60, "--file", sample)
    labels = labelled(sample, set(), published)
    feedback(workspace, "import", "--data", labels)
    before = workspace.query("FROM pcc_feedback ORDER BY ALL")

    assert workspace.run().code == 0
    assert feedback(workspace, "import", "--data", labels)["new"] == 0
    assert workspace.query("FROM pcc_feedback ORDER BY ALL") == before
