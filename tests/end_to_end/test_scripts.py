"""The scripts of a fresh checkout (in a copy that shares this environment's packages)."""

import json
import os
import re
import subprocess
from pathlib import Path

import duckdb
import pytest

from tests.checkout import bare_environment, copy, environment
from tests.encoders import environment as encoders

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy(tmp_path)
    environment(tmp_path, "run", "text")
    return tmp_path


def run_local(checkout: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    variables = {k: v for k, v in os.environ.items() if k not in ("PARTITION_DATE", "DRY_RUN")}
    return subprocess.run(
        [checkout / "run_local.sh", *flags], capture_output=True, text=True, timeout=400, env=variables, check=False
    )


def test_run_local_script_can_be_repeated(checkout: Path) -> None:
    first = run_local(checkout)
    with duckdb.connect(str(checkout / "local/pcc.duckdb")) as connection:  # as an earlier version made it
        connection.execute("ALTER TABLE pcc_monitoring_logs DROP COLUMN alerts")
    again = run_local(checkout, "--rows=300", "--partition", "20261120")

    assert first.returncode == 0, first.stderr
    assert "hold-out" in first.stdout
    assert "published" in first.stdout
    assert "2,000" in first.stdout
    assert again.returncode == 0, again.stderr
    assert "hold-out" not in again.stdout
    assert "partition 20261120: published" in again.stdout
    assert (checkout / "local/pcc.duckdb").exists()
    assert "2026-11-20" in (checkout / "local/report.html").read_text()


@pytest.mark.xdist_group("encoders")
def test_run_local_script_with_text(checkout: Path) -> None:
    encoders.require()
    (checkout / "local").mkdir()
    (checkout / "local/minilm").symlink_to(encoders.CACHE / "minilm", target_is_directory=True)  # fetched already
    ended = run_local(checkout, "--text", "--partition", "20261120")

    assert ended.returncode == 0, ended.stderr
    assert "hold-out" in ended.stdout
    assert "partition 20261120: published" in ended.stdout
    assert "empty_text" in ended.stdout
    assert alerts(checkout) == ["[]"]  # messages of other writers are no drift
    (card,) = (checkout / "local/text-models").glob("v*/model_card.md")
    assert "reads text: encoder" in card.read_text()
    right, scored = labelled_right(checkout)
    assert scored > 400
    assert right / scored > 0.9


def alerts(checkout: Path) -> list[str]:
    with duckdb.connect(str(checkout / "local/pcc.duckdb")) as connection:
        return [row[0] for row in connection.execute("SELECT alerts FROM pcc_monitoring_logs").fetchall()]


def labelled_right(checkout: Path) -> tuple[int, int]:
    """How many of the evaluation's messages got their label, and how many were scored."""
    lines = (checkout / "data/evaluation/messages.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {f"message-{i:06d}": json.loads(line)["intent"] for i, line in enumerate(lines)}
    with duckdb.connect(str(checkout / "local/pcc.duckdb")) as connection:
        predictions = connection.execute("SELECT case_id, predicted_label FROM pcc_inference_output").fetchall()
    return sum(truth[case_id].partition("/")[0] == label for case_id, label in predictions), len(predictions)


def test_first_installation_prints_one_line(tmp_path: Path) -> None:
    """The packages are there already, by a path to those of this environment: nothing is downloaded."""
    copy(tmp_path)
    bare_environment(tmp_path)

    ended = subprocess.run(
        [tmp_path / "requirements/venv.sh", "run"], capture_output=True, text=True, timeout=120, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"installing \d+ locked packages .*\n", ended.stderr)
    assert (tmp_path / ".venv/bin/beam-pcc").exists()


def test_help_of_script_does_nothing(checkout: Path) -> None:
    ended = run_local(checkout, "--help")

    assert ended.returncode == 0
    for option in ("--text", "--rows", "--partition", "--source"):
        assert option in ended.stdout
    assert not (checkout / "local").exists()


@pytest.mark.parametrize("flags", [("--rows", "many"), ("--rows",), ("--source=",)])
def test_wrong_flags_are_exit_code_2(checkout: Path, flags: tuple[str, ...]) -> None:
    ended = run_local(checkout, *flags)

    assert ended.returncode == 2
    assert ended.stderr.startswith("run_local.sh: ")
