"""The lifecycle of a version: gates, promotion, rollback, shadow, and the log of each change."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.models import history
from beam_pcc.models.registry import Registry
from beam_pcc.sources import synthetic
from beam_pcc.training.train import train
from tests.inputs import DAY
from tests.models.versions import FIRST, SECOND, THIRD, copies

pytestmark = pytest.mark.end_to_end  # it trains and starts processes


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    """A registry of three sound versions, none of which is promoted."""
    return copies(registry, tmp_path / "models", FIRST, SECOND, THIRD)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main([str(a) for a in arguments])
    output = capsys.readouterr()
    return code, output.out + output.err


def lines(models: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (models / "promotions.jsonl").read_text().splitlines()]


def worse_version(models: Path) -> str:
    """A version that is sound and tells the classes badly: trained on shuffled labels."""
    import numpy as np
    import pyarrow.parquet as pq

    data = models.parent / "shuffled.parquet"
    synthetic.write(data, 400, DAY, with_intent=True)
    table = pq.read_table(data)
    intents = np.random.default_rng(0).permutation(table["intent"].to_numpy())
    pq.write_table(table.set_column(table.column_names.index("intent"), "intent", [intents]), data)
    return train(str(data), str(models), threshold=0.1).version


def test_every_change_appends_a_line(models: Path) -> None:
    registry = Registry(str(models))
    registry.promote(FIRST)
    before = (models / "promotions.jsonl").read_bytes()
    registry.promote(SECOND)
    registry.set_shadow(THIRD)
    registry.rollback()

    assert (models / "promotions.jsonl").read_bytes().startswith(before)
    assert [(line["action"], line["version"], line["before"]) for line in lines(models)] == [
        ("promote", FIRST, None),
        ("promote", SECOND, FIRST),
        ("shadow", SECOND, SECOND),
        ("rollback", FIRST, SECOND),
    ]
    assert all(line["at"] and line["by"] and line["id"] for line in lines(models))


def test_promoting_the_current_version_appends_nothing(models: Path) -> None:
    Registry(str(models)).promote(FIRST)
    Registry(str(models)).promote(FIRST)
    assert len(lines(models)) == 1


def test_missing_log_line_is_added_by_next_command(models: Path) -> None:
    Registry(str(models)).promote(FIRST)
    (models / "promotions.jsonl").unlink()
    Registry(str(models)).promote(SECOND)

    assert [line["version"] for line in lines(models)] == [FIRST, SECOND]


def test_repeated_rollback_goes_further_back(models: Path) -> None:
    registry = Registry(str(models))
    for version in (FIRST, SECOND, THIRD):
        registry.promote(version)

    assert registry.rollback() == (SECOND, THIRD)
    assert registry.rollback() == (FIRST, SECOND)
    with pytest.raises(ModelError, match="no version to go back to"):
        registry.rollback()
    registry.promote(THIRD)
    assert registry.rollback() == (FIRST, THIRD)


def test_rollback_includes_manual_changes(models: Path) -> None:
    registry = Registry(str(models))
    registry.promote(FIRST)
    (models / "current.json").write_text(json.dumps({"version": SECOND}))
    registry.promote(THIRD)

    assert registry.rollback() == (SECOND, THIRD)


def test_rollback_to_broken_version_is_refused(models: Path) -> None:
    registry = Registry(str(models))
    registry.promote(FIRST)
    registry.promote(SECOND)
    (models / FIRST / "model.joblib").write_bytes(b"damaged")

    with pytest.raises(ModelError, match="it was changed or swapped"):
        registry.rollback()
    assert registry.current() == SECOND


def test_rollback_without_promotion_is_an_error(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(capsys, "models", "rollback", "--models", models)
    assert (code, "no version to go back to" in output) == (2, True)


def test_malformed_log_is_not_written_to(models: Path) -> None:
    (models / "promotions.jsonl").write_text("no json\n")
    with pytest.raises(ModelError, match="is not the log"):
        Registry(str(models)).promote(FIRST)
    assert (models / "promotions.jsonl").read_text() == "no json\n"


def test_shadow_is_kept_unless_it_is_promoted(models: Path) -> None:
    registry = Registry(str(models))
    with pytest.raises(ModelError, match="promote a version before another shadows it"):
        registry.set_shadow(SECOND)
    registry.promote(FIRST)
    registry.set_shadow(SECOND)
    registry.promote(THIRD)
    assert registry.shadow() == SECOND
    registry.promote(SECOND)
    assert registry.shadow() is None


def test_list_marks_current_and_shadow(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry(str(models)).promote(FIRST)
    call(capsys, "models", "shadow", THIRD, "--models", models)
    code, output = call(capsys, "models", "list", "--models", models)
    rows = {line.split()[0]: line for line in output.splitlines()}

    assert code == 0
    assert rows[FIRST].endswith("current, used by a run now")
    assert rows[THIRD].endswith("shadow")
    for name in ("trained on", "roc_auc", "threshold", "sha256"):
        assert name in rows["version"]
    assert "500 vectors" in rows[SECOND]
    code, output = call(capsys, "models", "shadow", "none", "--models", models)
    assert output == f"shadow: none (was {THIRD})\n"


def test_current_version_cannot_shadow_itself(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry(str(models)).promote(FIRST)
    code, output = call(capsys, "models", "shadow", FIRST.replace("_", ""), "--models", models)

    assert (code, f"{FIRST} is the current version, which cannot shadow itself" in output) == (2, True)
    assert Registry(str(models)).shadow() is None


def test_history_prints_each_change(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry(str(models)).promote(FIRST)
    Registry(str(models)).promote(SECOND)
    _, output = call(capsys, "models", "history", "--models", models)

    assert [line.split()[2:5] for line in output.splitlines()[1:]] == [
        ["promote", FIRST, "none"],
        ["promote", SECOND, FIRST],
    ]


def test_force_does_not_promote_broken_version(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (models / SECOND / "model.joblib").open("ab") as file:
        file.write(b"\0")
    code, output = call(capsys, "models", "promote", SECOND, "--models", models, "--force")

    assert (code, "it was changed or swapped" in output) == (2, True)
    assert Registry(str(models)).current() is None


def test_versions_are_compared_on_the_same_rows(
    models: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = worse_version(models)
    code, output = call(capsys, "models", "compare", FIRST, worse, "--models", models, "--data", evaluation)
    header, roc, *_ = output.splitlines()

    assert code == 0
    assert header.split() == [FIRST, worse, "difference"]
    assert roc.startswith("roc_auc")
    assert float(roc.split()[-1]) < -0.1
    assert "400 rows," in output
    assert "McNemar p = " in output


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_training_rows_are_not_measured(
    models: Path,
    labelled: Path,
    evaluation: Path,
    command: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    mixed = models.parent / "mixed.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(labelled), pq.read_table(evaluation)]), mixed)
    versions = [FIRST, SECOND] if command == "compare" else ["--model_version", FIRST]
    result = document(capsys, "models", command, *versions, "--models", models, "--data", mixed)

    assert result["rows"] == 400
    whose = f"{FIRST} or {SECOND}" if command == "compare" else FIRST
    assert f"left out 500 of 900 rows, which {whose} was trained on" in caplog.text


@pytest.mark.parametrize("arguments", [("compare", FIRST, SECOND), ("evaluate", "--model_version", FIRST)])
def test_only_training_rows_cannot_be_measured(
    models: Path, labelled: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = call(capsys, "models", *arguments, "--models", models, "--data", labelled)
    assert (code, "--data holds no row that" in output) == (2, True)


@pytest.fixture
def grouped(evaluation: Path, tmp_path: Path) -> Path:
    """The labelled rows with a column of two shops."""
    import pyarrow.parquet as pq

    table = pq.read_table(evaluation)
    shops = ["north", "south"] * (len(table) // 2)
    pq.write_table(table.append_column("shop", [shops]), tmp_path / "grouped.parquet")
    return tmp_path / "grouped.parquet"


def test_evaluate_measures_each_group(models: Path, grouped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = call(capsys, "models", "evaluate", "--models", models, "--data", grouped, "--by", "shop")
    lines = [line.split() for line in output.splitlines()]

    assert code == 0
    assert lines[0] == ["rows", "right", "PC", "found", "NOT_PC", "left", "alone"]
    assert [line[:2] for line in lines[1:]] == [["all", "400"], ["shop", "north"], ["shop", "south"]]
    assert lines[2][2] == "200"


def test_evaluate_as_markdown_is_a_table(models: Path, grouped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--models", models, "--data", grouped, "--by", "shop", "--output", "markdown")
    _, output = call(capsys, "models", "evaluate", *arguments)
    header, rule, *rows = output.splitlines()

    assert header == "|  |  | rows | right | PC found | NOT_PC left alone |"
    assert rule == "| --- | --- | --- | --- | --- | --- |"
    assert [row.split(" | ")[0] for row in rows] == ["| all", "| shop", "| shop"]


def test_evaluate_of_messages_prints_none(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--models", models, "--data", tmp_path / "a.jsonl", "--text_column", "body", "--by", "body")
    code, output = call(capsys, "models", "evaluate", *arguments)
    assert (code, "the column of messages, which are not printed" in output) == (2, True)


@pytest.mark.parametrize("positive", [0, 1])
def test_rows_of_one_class_are_refused(models: Path, evaluation: Path, positive: int) -> None:
    from beam_pcc.evaluation import comparison
    from beam_pcc.evaluation.labelled import read_labelled

    rows = read_labelled(str(evaluation))
    negative = rows.labels == "NOT_PC"
    only = rows.take(np.concatenate([negative.nonzero()[0], (~negative).nonzero()[0][:positive]]))
    with pytest.raises(ConfigurationError, match="must hold rows of PC and of NOT_PC"):
        comparison.measure(Registry(str(models)), FIRST, only)


@pytest.mark.parametrize("writers", [4])
def test_concurrent_log_entries_are_all_kept(models: Path, writers: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = Registry(str(models))._store
    entries = [history.new_entry("promote", FIRST, None, str(n)) for n in range(writers * 4)]
    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(lambda entry: history.append(store, entry), entries))

    assert sorted(line["id"] for line in lines(models)) == sorted(entry["id"] for entry in entries)


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What a command prints with --output json."""
    capsys.readouterr()
    assert cli.main([str(a) for a in (*arguments, "--output", "json")]) == 0
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return parsed


def test_list_as_json_has_each_version(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(str(models))
    registry.promote(registry.versions()[0])
    versions = document(capsys, "models", "list", "--models", models)["versions"]

    assert [one["version"] for one in versions] == registry.versions()[::-1]
    assert [one["version"] for one in versions if one["current"]] == [registry.versions()[0]]
    assert versions[0]["metrics"] == registry.metadata(versions[0]["version"]).metrics


def test_verify_as_json_has_the_digest(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, "models", "verify", "--models", models)

    assert result["sha256"] == Registry(str(models)).metadata(result["version"]).sha256
    assert result["signature_verified"] is False


def test_history_as_json_has_each_change(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(str(models))
    first = registry.versions()[0]
    registry.promote(first)
    (change,) = document(capsys, "models", "history", "--models", models)["changes"]

    assert (change["action"], change["version"], change["before"]) == ("promote", first, None)


def test_evaluate_as_json_has_each_group(models: Path, grouped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry(str(models))
    version = registry.versions()[0]
    flags = ("--model_version", version, "--by", "shop", "--writer_column", "shop")
    result = document(capsys, "models", "evaluate", "--models", models, "--data", grouped, *flags)
    everything, *shops = result["groups"]

    assert (result["version"], result["rows"], result["threshold"]) == (version, 400, 0.5)
    assert [(one["column"], one["value"], one["right"]["rows"]) for one in shops] == [
        ("shop", "north", 200),
        ("shop", "south", 200),
    ]
    assert everything["pc_found"]["rows"] + everything["not_pc_kept"]["rows"] == 400
    assert everything["right"]["low"] <= everything["right"]["value"] <= everything["right"]["high"]


def test_compare_as_json_has_both_versions(models: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    versions = Registry(str(models)).versions()[:2]
    result = document(capsys, "models", "compare", *versions, "--models", models, "--data", evaluation)

    assert [one["version"] for one in result["versions"]] == versions
    assert result["labelled_differently"] >= result["first_correct"] + result["second_correct"] - result["rows"]
    for one in result["versions"]:
        low, high = one["intervals"]["roc_auc"]
        assert low <= one["metrics"]["roc_auc"] <= high
