"""`--output json` and `--summary_file`: the fields are those that docs/cli.md describes."""

import argparse
import dataclasses
import json
import re
from pathlib import Path

import pytest

from beam_pcc.cases.monitoring_row import Alert, columns
from beam_pcc.cli import main as cli
from beam_pcc.cli import results
from beam_pcc.cli.results import BackfillResult, Reporter, RunResult
from beam_pcc.errors import ConfigurationError, LostSightError, RunError
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.warehouse.base import Run
from tests.checkout import ROOT
from tests.inputs import TIME
from tests.machines import without_root

DOCUMENT = (ROOT / "docs/cli.md").read_text()


def documented() -> dict[str, set[str]]:
    """The fields of each table below `## Results as JSON`, by the name of the result in its heading."""
    _, _, section = DOCUMENT.partition("## Results as JSON\n")
    parts = re.split(r"^### (.*)$", section.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    return {
        name: {
            field
            for fields in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
            for field in re.findall(r"\w+", fields)
        }
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


HEADINGS = {
    results.ExplainResult: "explain",
    results.TermResult: "A term",
    results.PublishedResult: "A published case",
    results.RunResult: "A run",
    results.BackfillResult: "A backfill",
    results.VersionsResult: "models list",
    results.VersionResult: "A version",
    results.VerifyResult: "models verify",
    results.ImportedModelResult: "models import",
    results.HistoryResult: "models history",
    results.ChainResult: "A chain",
    results.ChangeResult: "A change",
    results.CompareResult: "models compare",
    results.MeasuredResult: "A measured version",
    results.EvaluateResult: "models evaluate",
    results.GroupResult: "A group of rows",
    results.ShareResult: "A share of rows",
    results.SubmittedRunsResult: "runs list",
    results.SubmittedRunResult: "A submitted run",
    results.DoctorResult: "doctor",
    results.CheckResult: "A check",
    results.ImportResult: "feedback import",
    results.SampleResult: "feedback sample",
    results.FeedbackResult: "feedback report",
    results.FeedbackGroupResult: "A group of published cases",
    results.EstimateResult: "An estimate",
}


@pytest.mark.parametrize("result", results.RESULTS, ids=lambda result: result.__name__)
def test_every_field_is_documented(result: type) -> None:
    assert documented()[HEADINGS[result]] == {field.name for field in dataclasses.fields(result)}


def arguments(summary_file: Path | None = None, output: str = "json") -> argparse.Namespace:
    return argparse.Namespace(output=output, summary_file=None if summary_file is None else str(summary_file))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RunError("it stopped"), "failed", 1),
        (ConfigurationError("wrong"), "failed", 2),
        (LostSightError("?"), "unknown", 4),
    ],
)
def test_an_error_is_a_result(error: Exception, status: str, code: int) -> None:
    result = RunResult.of_error(error)

    assert (result.status, result.exit_code, result.error) == (status, code, str(error))


def test_an_error_is_printed_and_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError), Reporter(arguments()).reporting_errors(RunResult.of_error):
        raise RunError("it stopped")

    assert json.loads(capsys.readouterr().out)["error"] == "it stopped"


def test_summary_file_replaces_an_earlier_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "summary.json"
    file.write_text("of yesterday")
    Reporter(arguments(file, "text")).report(RunResult("20261120", "success", 0))

    assert json.loads(file.read_text())["partition"] == "20261120"
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["none/summary.json", "."])
def test_impossible_summary_file_is_refused_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--summary_file .* cannot be written"):
        Reporter(arguments(tmp_path / name))


def test_a_summary_file_that_fails_later_keeps_the_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    reporter = Reporter(arguments(folder / "summary.json"))
    folder.rmdir()
    folder.touch()
    reporter.report(RunResult("20261120", "success", 0))

    assert json.loads(capsys.readouterr().out)["status"] == "success"
    assert "could not be written" in caplog.text


def test_a_number_that_json_lacks_is_null() -> None:
    result = results.MeasuredResult("v20261120_020000", {"roc_auc": float("nan")}, {"roc_auc": (0.5, float("inf"))})

    assert json.loads(results.as_json(result))["metrics"] == {"roc_auc": None}


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_wrong_settings_are_a_result_too(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "summary.json"
    days = ["--partition", "20261120"] if command == "run" else ["--from", "20261120", "--to", "20261121"]
    code = cli.main([command, *days, "--output", "json", "--summary_file", str(file)])
    out, err = capsys.readouterr()

    assert code == 2
    assert json.loads(out) == json.loads(file.read_text())
    assert json.loads(out)["exit_code"] == 2
    assert "--source is missing" in json.loads(out)["error"]
    assert err.startswith("beam-pcc: --source is missing")


def test_monitoring_columns_that_hold_json_are_values() -> None:
    row = dataclasses.replace(
        failed_row(Run("20261120-x", TIME.date(), TIME), RunError("it stopped")),
        reject_reasons={"missing_vector": 3},
        score_histogram=(1, 2),
        alerts=(Alert("drift_psi", 0.3, 0.25, "alert"),),
    )
    fields = results.monitoring_fields(row)

    assert fields["reject_reasons"] == {"missing_vector": 3}
    assert fields["score_histogram"] == [1, 2]
    assert fields["alerts"] == [{"name": "drift_psi", "value": 0.3, "limit": 0.25, "action": "alert"}]
    assert list(fields) == [column.name for column in columns()]


def test_days_of_a_backfill_that_an_error_ended_are_kept() -> None:
    days = [RunResult("20261120", "success", 0)]

    assert BackfillResult.of_error(RunError("stopped"), days).days == tuple(days)


def test_summary_file_in_a_folder_of_others_is_refused() -> None:
    with without_root(), pytest.raises(ConfigurationError, match="cannot be written"):
        Reporter(arguments(Path("/summary.json")))
