"""From message text to a promoted model with the real encoder; texts must not leak."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from beam_pcc.models.registry import Registry
from tests.end_to_end.conftest import DAY, Workspace
from tests.end_to_end.texts import partition, train
from tests.inputs import TIME
from tests.messages import HOSTILE, NOT_VISIBLE, SECRET, labelled_messages, long_messages, write_labelled

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("encoders")]


def test_the_full_circle(text: Workspace) -> None:
    texts, truth = labelled_messages(200, seed=9)
    source = partition(text.folder / "day.parquet", texts)
    evaluation = write_labelled(text.folder / "evaluation.jsonl", 200, 5)
    score = ("--text_column", "text")

    first = train(text, "first.jsonl", 1)
    judged = ("--models", text.models, "--data", evaluation, "--text_column", "text")
    assert text.call("models", "promote", first, *judged).code == 0
    assert text.run(source, *score).code == 0
    published = text.published()
    labels = np.array([row[1] for row in published])
    assert (labels == np.array(["NOT_PC" if label == "NOT_PC" else "PC" for label in truth])).mean() > 0.95
    assert {row[4] for row in published} == {first}

    second = train(text, "second.jsonl", 2, "--min_precision", "0.95")
    promoted = text.call("models", "promote", second, *judged)
    assert promoted.code == 0, promoted.err
    assert text.call("models", "shadow", first, "--models", text.models).code == 0
    assert text.run(source, *score).code == 0
    row = text.monitoring()[-1]
    assert (row["model_version"], row["shadow_version"]) == (second, first)
    assert 0 <= row["shadow_flip_rate"] < 0.05
    assert row["shadow_psi"] is not None
    assert {r[4] for r in text.published()} == {second}

    assert text.call("models", "rollback", "--models", text.models).out == f"current: {first} (was {second})\n"
    assert text.run(source, *score).code == 0
    again = text.published()
    assert [r[:3] for r in again] == [r[:3] for r in published]
    np.testing.assert_allclose([r[3] for r in again], [r[3] for r in published], atol=1e-6)
    assert [r["status"] for r in text.monitoring()] == ["success"] * 3
    assert [e["action"] for e in Registry(str(text.models)).history()] == ["promote", "promote", "shadow", "rollback"]


def test_languages_not_in_training_are_marked(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    polish = ["Proszę o usunięcie konta i wszystkich moich danych.", "Moja paczka jeszcze nie dotarła, gdzie ona jest?"]
    english = ["Please delete my account and all of my data.", "My parcel has not arrived yet, where is it?"]
    source = partition(text.folder / "day.parquet", [*english, *polish])

    ended = text.run(source, "--text_column", "text", "--review_band", "0")
    assert ended.code == 0, ended.err
    row = text.monitoring()[-1]
    assert json.loads(row["language_shares"]) == {"en": 0.5, "pl": 0.5}
    assert (row["untrained_language_cases"], row["review_cases"]) == (2, 2)
    notes = {note for (note,) in text.query("SELECT prediction_notes FROM pcc_inference_output")}
    assert notes == {None, "review: language pl not in training"}
    assert "not in training" in ended.out


def test_hostile_texts_are_not_leaked(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    texts = [*labelled_messages(150)[0], *HOSTILE, *NOT_VISIBLE]
    source = partition(text.folder / "day.parquet", texts)
    ended = text.run(source, "--text_column", "text", "--debug")
    row = text.monitoring()[-1]

    assert ended.code == 0, ended.err
    assert row["total_cases"] == len(texts)
    assert json.loads(row["reject_reasons"]) == {"empty_text": len(NOT_VISIBLE)}
    output = ended.out + ended.err
    with duckdb.connect(str(text.warehouse)) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            output += str(connection.execute(f"SELECT * FROM {table}").fetchall())
    assert SECRET not in output
    assert "Quentin" not in output
    for left in text.folder.rglob("*"):
        if left.is_file() and left not in (source, text.folder / "labelled.jsonl"):
            assert b"Quentin" not in left.read_bytes(), left


def test_rows_with_a_vector_and_no_text_are_scored_too(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    texts: list[str | None] = [*labelled_messages(40)[0], None, None]
    vectors = [None] * 40 + [np.zeros(584, np.float32).tolist(), [0.0] * 583]
    column = pa.array(vectors, pa.list_(pa.float32()))
    ended = text.run(partition(text.folder / "day.parquet", texts, embedding_vector=column), "--text_column", "text")

    assert ended.code == 0, ended.err
    assert len(text.published()) == 41
    assert json.loads(text.monitoring()[-1]["reject_reasons"]) == {"wrong_dimension": 1}


def test_request_in_a_long_message_is_found(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    long = long_messages(20)
    ended = text.run(
        partition(text.folder / "day.parquet", [*labelled_messages(60)[0], *long]), "--text_column", "text"
    )
    assert ended.code == 0, ended.err
    rows = text.query("SELECT predicted_label, prediction_notes FROM pcc_inference_output ORDER BY case_id")[60:]

    assert [label for label, _ in rows] == ["PC", "NOT_PC"] * 10
    for (_, note), message in zip(rows, long, strict=True):
        first, last, of = map(int, re.search(r"sentences? (\d+)(?:-(\d+))? of (\d+)$", note).groups(default="0"))
        sentences = message.split(". ")
        assert of == len(sentences)
        if "delete all the data" in message:
            assert "delete all the data" in ". ".join(sentences[first - 1 : max(first, last)])
    assert text.monitoring()[-1]["review_cases"] == sum(note.startswith("review") for _, note in rows)


def test_long_messages_of_a_shadow_with_other_windows(text: Workspace) -> None:
    """The run's own scores do not change, and the shadow's are those that it would publish."""
    first = train(text, "labelled.jsonl", 1)
    whole = without_windows(text, first)
    source = partition(text.folder / "day.parquet", [*labelled_messages(60)[0], *long_messages(20)])
    published = {}
    for version in (first, whole):
        assert text.run(source, "--text_column", "text", "--model_version", version).code == 0
        published[version] = text.published()
    flips = sum(a[1] != b[1] for a, b in zip(published[first], published[whole], strict=True))
    assert flips
    for version, shadow in ((first, whole), (whole, first)):
        flags = ("--text_column", "text", "--model_version", version, "--shadow_version", shadow)
        assert text.run(source, *flags).code == 0
        assert [row[:3] for row in text.published()] == [row[:3] for row in published[version]]
        assert text.monitoring()[-1]["shadow_flip_rate"] == pytest.approx(flips / 80)


def without_windows(text: Workspace, version: str) -> str:
    """The same version as one that is older than windows."""
    older = "v20200101_000000"
    shutil.copytree(text.models / version, text.models / older)
    metadata = text.models / older / "metadata.json"
    content = json.loads(metadata.read_text())
    del content["features"]["windows"]
    metadata.write_text(json.dumps({**content, "version": older}))
    return older


def test_openvino_gives_the_same_labels(text: Workspace) -> None:
    pytest.importorskip("openvino")
    train(text, "labelled.jsonl", 1)
    source = partition(text.folder / "day.parquet", [*labelled_messages(60)[0], *long_messages(20)])
    assert text.run(source, "--text_column", "text").code == 0
    expected = text.published()
    assert text.run(source, "--text_column", "text", "--encoder_backend", "openvino").code == 0
    assert [r[:3] for r in text.published()] == [r[:3] for r in expected]


def test_jsonl_is_read_as_parquet_is(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    texts = labelled_messages(30)[0]
    assert text.run(partition(text.folder / "day.parquet", list(texts)), "--text_column", "text").code == 0
    expected = text.published()
    rows = [{"case_id": f"c{i:04d}", "body": t, "timestamp": TIME.isoformat()} for i, t in enumerate(texts)]
    (text.folder / "day.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert text.run(text.folder / "day.jsonl", "--text_column", "body").code == 0

    assert [r[:3] for r in text.published()] == [r[:3] for r in expected]


def test_worker_processes_give_same_scores(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    source = partition(text.folder / "day.parquet", [*labelled_messages(60)[0], *long_messages(20)])
    assert text.run(source, "--text_column", "text").code == 0
    expected = text.published()
    processes = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    ended = text.run(source, "--text_column", "text", "--encoder_threads", "1", *processes)

    assert ended.code == 0, ended.err
    assert [r[:3] for r in text.published()] == [r[:3] for r in expected]


def test_a_model_of_vectors_cannot_score_text(text: Workspace, models: Path) -> None:
    text.models = models
    ended = text.run(partition(text.folder / "day.parquet", ["delete me"]), "--text_column", "text")
    assert (ended.code, "was trained on vectors" in ended.err) == (2, True)


def test_run_without_encoder_does_not_start(text: Workspace) -> None:
    train(text, "labelled.jsonl", 1)
    (text.models / "encoders").unlink()
    source = partition(text.folder / "day.parquet", ["delete me"])
    run = text.spawn("run", "--partition", DAY, *text.flags(source, "--text_column", "text"))
    assert "make one with beam-pcc encoder export" in run.communicate(timeout=120)[1]
    assert run.returncode == 2


def test_the_sample_has_no_texts(text: Workspace) -> None:
    ended = text.run("sample://10", "--text_column", "text")
    assert (ended.code, "has vectors and no texts" in ended.err) == (2, True)
