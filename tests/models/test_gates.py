"""The gates of a promotion on labelled rows: what passes, what fails, and what --force leaves in the log."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import ModelError
from beam_pcc.evaluation import comparison, promotion
from beam_pcc.evaluation.labelled import Labelled, read_labelled
from beam_pcc.evaluation.paired import Scored
from beam_pcc.evaluation.promotion import Evaluation, Gate, Judgement
from beam_pcc.models.registry import Registry
from tests.models.versions import FIRST, SECOND, THIRD, copies

pytestmark = pytest.mark.end_to_end  # it trains and starts processes

Scores = dict[str, np.ndarray]


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    """A registry of two equal versions, neither of which is promoted."""
    return copies(registry, tmp_path / "models", FIRST, SECOND)


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch, evaluation: Path) -> Scores:
    """P(PC) of the evaluation rows by version, instead of what the version says; at first good ones."""
    truth = read_labelled(str(evaluation)).labels != "NOT_PC"
    noise = np.random.default_rng(0).standard_normal(len(truth))
    good = 1 / (1 + np.exp(-(8 * truth - 5 + noise)))
    by_version = {FIRST: good.copy(), SECOND: good.copy()}

    def score_rows(_: Registry, version: str, rows: Labelled, **options: Any) -> Scored:
        assert options.keys() == {"encoder", "runtime"}
        return Scored(by_version[version][: len(rows.labels)], 0.5)

    monkeypatch.setattr(comparison, "score_rows", score_rows)
    return by_version


def judge(models: Path, data: Path) -> Judgement:
    return promotion.judge(Registry(str(models)), SECOND, Evaluation(str(data)))


def gates(models: Path, data: Path) -> dict[str, Gate]:
    return {gate.name: gate for gate in judge(models, data).gates}


def failed(results: dict[str, Gate]) -> list[str]:
    return [name for name, gate in results.items() if gate.failed]


def call(capsys: pytest.CaptureFixture[str], models: Path, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main([str(a) for a in ("models", "promote", SECOND, "--models", models, *arguments)])
    output = capsys.readouterr()
    return code, output.out + output.err


def logged(models: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((models / "promotions.jsonl").read_text().splitlines()[-1])
    return entry


def subset(evaluation: Path, path: Path, positive: int, negative: int) -> Path:
    """So many rows of PC and of NOT_PC."""
    table = pq.read_table(evaluation)
    is_pc = table["intent"].to_numpy() != "NOT_PC"
    rows = np.concatenate([np.flatnonzero(is_pc)[:positive], np.flatnonzero(~is_pc)[:negative]])
    pq.write_table(table.take(pa.array(rows)), path)
    return path


def test_good_version_is_promoted_first(models: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(capsys, models, "--data", evaluation)

    assert (code, Registry(str(models)).current()) == (0, SECOND)
    assert "labelled rows: " in output
    assert "above the" in output
    assert list(logged(models)["checks"]) == [
        "loads under the allow-list",
        "features",
        "golden rows",
        "labelled rows",
        "scores the rows",
        "better than chance",
        "finds PC",
        "calibrated",
    ]
    assert "forced" not in logged(models)


def test_equally_good_version_replaces_current(models: Path, evaluation: Path) -> None:
    Registry(str(models)).promote(FIRST)
    results = gates(models, evaluation)

    assert not failed(results)
    assert "calibrated" not in results
    assert "roc_auc" in results["not worse than current"].message
    assert "(+0.000 to +0.000)" in results["not worse than current"].message


@pytest.mark.parametrize("current", [None, FIRST])
def test_promotion_without_rows_is_refused(
    models: Path, current: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if current:
        Registry(str(models)).promote(current)
    code, output = call(capsys, models)

    assert code == 2
    assert (
        f"is not promoted: labelled rows: no --data to {'compare it with ' + FIRST if current else 'measure'}" in output
    )
    assert "--force" in output
    assert Registry(str(models)).current() == current


def test_forced_promotion_logs_the_reason(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(capsys, models, "--force")
    assert (code, "labelled rows: no --data to measure it on (forced)" in output) == (0, True)
    assert logged(models)["forced"] is True
    assert logged(models)["overridden"] == {"labelled rows": "no --data to measure it on"}

    assert cli.main(["models", "history", "--models", str(models)]) == 0
    assert "forced: labelled rows: no --data to measure it on" in capsys.readouterr().out


def test_force_without_a_failed_gate_is_not_logged(
    models: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = call(capsys, models, "--data", evaluation, "--force")
    assert (code, "forced" in logged(models)) == (0, False)


def test_random_version_is_refused(models: Path, evaluation: Path, scores: Scores) -> None:
    scores[SECOND] = np.random.default_rng(0).permutation(scores[SECOND])
    assert "better than chance" in failed(gates(models, evaluation))


def test_version_that_finds_nothing_is_refused(models: Path, evaluation: Path, scores: Scores) -> None:
    scores[SECOND] = scores[SECOND] * 0.49
    results = gates(models, evaluation)
    assert "finds PC" in failed(results)
    assert results["finds PC"].message.startswith("recall 0.000 at the threshold 0.500 (0 of ")


def test_uncalibrated_version_is_refused(models: Path, evaluation: Path, scores: Scores) -> None:
    scores[SECOND] = 0.5 + scores[SECOND] / 2
    assert failed(gates(models, evaluation)) == ["calibrated"]


def test_worse_version_is_refused_and_named(
    models: Path, evaluation: Path, scores: Scores, capsys: pytest.CaptureFixture[str]
) -> None:
    Registry(str(models)).promote(FIRST)
    scores[SECOND] = np.where(np.arange(400) % 3 == 0, 0.6, scores[SECOND])
    code, output = call(capsys, models, "--data", evaluation)

    assert code == 2
    assert "is not promoted: not worse than current: roc_auc 0." in output
    assert Registry(str(models)).current() == FIRST

    assert call(capsys, models, "--data", evaluation, "--force")[0] == 0
    assert logged(models)["overridden"].keys() == {"not worse than current"}
    assert "roc_auc 0." in logged(models)["overridden"]["not worse than current"]


def test_useless_version_cannot_follow_a_useless_one(models: Path, evaluation: Path, scores: Scores) -> None:
    Registry(str(models)).promote(FIRST)
    scores[FIRST] = scores[SECOND] = np.full(400, 0.2)
    assert failed(gates(models, evaluation)) == ["better than chance", "finds PC"]


@pytest.mark.parametrize("current", [None, FIRST])
def test_rows_without_probability_are_refused(
    models: Path, evaluation: Path, scores: Scores, current: str | None
) -> None:
    if current:
        Registry(str(models)).promote(current)
    scores[SECOND][:3] = np.nan
    results = gates(models, evaluation)
    assert failed(results) == ["scores the rows"]
    assert results["scores the rows"].message.startswith("3 rows have no probability")


def test_rows_that_neither_scores_do_not_count(models: Path, evaluation: Path, scores: Scores) -> None:
    Registry(str(models)).promote(FIRST)
    scores[FIRST][:3] = scores[SECOND][:3] = np.nan
    assert not failed(gates(models, evaluation))


def test_version_without_any_probability_is_refused(models: Path, evaluation: Path, scores: Scores) -> None:
    scores[SECOND][:] = np.nan
    assert failed(gates(models, evaluation)) == ["labelled rows", "scores the rows"]


@pytest.mark.parametrize(("positive", "negative"), [(9, 100), (40, 9), (0, 100), (40, 0), (0, 0)])
def test_too_few_rows_are_refused(
    models: Path, evaluation: Path, tmp_path: Path, positive: int, negative: int, capsys: pytest.CaptureFixture[str]
) -> None:
    few = subset(evaluation, tmp_path / "few.parquet", positive, negative)
    code, output = call(capsys, models, "--data", few)

    counts = f"{positive} of PC and {negative} of NOT_PC; at least 10 of each are needed"
    assert (code, f"is not promoted: labelled rows: {counts}" in output) == (2, True)
    assert call(capsys, models, "--data", few, "--force")[0] == 0


def test_fewest_rows_suffice(models: Path, evaluation: Path, tmp_path: Path) -> None:
    results = gates(models, subset(evaluation, tmp_path / "few.parquet", 10, 10))
    assert results["labelled rows"] == Gate("labelled rows", "10 of PC and 10 of NOT_PC")


def test_training_rows_do_not_judge(models: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(capsys, models, "--data", labelled)
    assert code == 2
    assert (
        f"0 of PC and 0 of NOT_PC; at least 10 of each are needed; left out 500 that {SECOND} was trained on" in output
    )


def test_training_rows_among_others_are_left_out(
    models: Path, labelled: Path, evaluation: Path, tmp_path: Path
) -> None:
    Registry(str(models)).promote(FIRST)
    mixed = pa.concat_tables([pq.read_table(evaluation), pq.read_table(labelled).slice(0, 20)])
    pq.write_table(mixed, tmp_path / "mixed.parquet")
    message = gates(models, tmp_path / "mixed.parquet")["labelled rows"].message
    assert message.endswith(f"left out 20 that {SECOND} or {FIRST} was trained on")


def test_rows_of_the_current_version_are_left_out(models: Path, labelled: Path, evaluation: Path) -> None:
    Registry(str(models)).promote(FIRST)
    (models / SECOND / "training_rows.bin").unlink()
    message = gates(models, labelled)["labelled rows"].message
    assert f"left out 500 that {SECOND} or {FIRST} was trained on" in message
    assert message.endswith(f"{SECOND} does not say which rows it was trained on")
    assert gates(models, evaluation)["labelled rows"].message.endswith("does not say which rows it was trained on")


@pytest.mark.parametrize("damage", ["removed", "model"])
def test_broken_current_version_can_be_replaced_by_force(
    models: Path, evaluation: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Registry(str(models)).promote(FIRST)
    if damage == "removed":
        shutil.rmtree(models / FIRST)
    else:
        (models / FIRST / "model.joblib").write_bytes(b"damaged")
    code, output = call(capsys, models, "--data", evaluation)

    assert (code, f"not worse than current: {FIRST} cannot be measured: " in output) == (2, True)
    assert call(capsys, models, "--data", evaluation, "--force")[0] == 0
    assert logged(models)["overridden"].keys() == {"not worse than current"}


def test_malformed_training_rows_are_an_error(
    models: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / SECOND / "training_rows.bin").write_bytes(b"{}\n")
    code, output = call(capsys, models, "--data", evaluation, "--force")
    assert (code, "is not the file of training rows that train writes" in output) == (2, True)


@pytest.mark.parametrize(("before", "now"), [(None, FIRST), (FIRST, THIRD), (FIRST, None)])
def test_version_judged_against_another_is_refused(
    models: Path, evaluation: Path, before: str | None, now: str | None
) -> None:
    shutil.copytree(models / FIRST, models / THIRD)
    registry = Registry(str(models))
    if before:
        registry.promote(before)
    judgement = judge(models, evaluation)
    if now:
        registry.promote(now)
    else:
        (models / "current.json").unlink()

    with pytest.raises(ModelError, match=rf"was changed by somebody else meanwhile \(now {now or 'removed'}\)"):
        promotion.promote(registry, SECOND, judgement, force=True)
    assert registry.current() == now
