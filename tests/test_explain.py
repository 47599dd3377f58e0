"""`beam-pcc explain`: cases of a source and messages, as a run labels them, with parts that add up."""

import io
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.sources import synthetic
from beam_pcc.training.train import train
from tests.inputs import TIME
from tests.messages import SECRET, long_messages

pytestmark = pytest.mark.end_to_end  # it trains and starts processes

DAY = "20261120"
SAMPLE = "sample://300"


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        assert (self.code, self.err) == (0, ""), self
        found: dict[str, Any] = json.loads(self.out)
        return found


class Caller:
    """Calls commands in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Ended:
        self._capture.readouterr()
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = cli.main([str(argument) for argument in arguments])
        captured = self._capture.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Caller:
    return Caller(capsys, monkeypatch)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    synthetic.write(folder / "labelled.parquet", 600, TIME.date(), with_intent=True)
    train(str(folder / "labelled.parquet"), str(folder / "models"))
    return folder / "models"


def forget(models: Path, folder: Path, *fields: str) -> Path:
    """A copy of a registry whose one version lacks fields of its metadata, as an earlier release wrote it."""
    (version,) = models.glob("v*")
    copy = folder / "earlier" / version.name
    copy.mkdir(parents=True)
    for file in version.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    metadata = json.loads((version / "metadata.json").read_text())
    metadata["baseline"] = {k: v for k, v in metadata["baseline"].items() if k not in fields}
    (copy / "metadata.json").write_text(json.dumps({k: v for k, v in metadata.items() if k not in fields}))
    if (models / "encoders").exists():
        (copy.parent / "encoders").symlink_to(models / "encoders", target_is_directory=True)
    return copy.parent


def is_sum(result: dict[str, Any]) -> bool:
    parts = result["base"] + result["embedding"] + result["tfidf"]
    return bool(parts == pytest.approx(result["log_odds"], abs=1e-9))


def case(row: int) -> str:
    return f"case-{DAY}-{row:09d}"


def test_case_is_explained_as_it_was_published(call: Caller, models: Path, tmp_path: Path) -> None:
    flags = ["--partition", DAY, "--source", SAMPLE, "--models", models, "--warehouse", tmp_path / "w.duckdb"]
    ran = call("run", *flags, "--review_band", 0.5, "--output", "json")
    rows = json.loads(
        call(
            *("tables", "query", "--warehouse", tmp_path / "w.duckdb", "--output", "json"),
            "FROM pcc_inference_output WHERE prediction_notes IS NOT NULL ORDER BY confidence LIMIT 2",
        ).out
    )
    for row in rows:
        result = call("explain", "--case", row["case_id"], *flags, "--output", "json").result

        assert (result["label"], result["subtype"]) == (row["predicted_label"], row["subtype_label"])
        assert result["confidence"] == pytest.approx(row["confidence"], abs=1e-5)
        assert is_sum(result)
        assert result["published"] == {
            "run_id": json.loads(ran.out)["run_id"],
            "label": row["predicted_label"],
            "confidence": row["confidence"],
            "notes": row["prediction_notes"],
        }
        numbers = [float(number) for number in re.findall(r"[+-]\d+\.\d\d\b", row["prediction_notes"])]
        parts = [result[name] for name in ("log_odds", "base", "embedding", "tfidf")]
        assert numbers == pytest.approx(parts, abs=0.021)


def test_version_that_published_the_case_explains_it(call: Caller, models: Path, tmp_path: Path) -> None:
    registry = forget(models, tmp_path, "sha256")
    (older,) = registry.glob("v*")
    flags = ["--partition", DAY, "--source", SAMPLE, "--models", registry, "--warehouse", tmp_path / "w.duckdb"]
    assert call("run", *flags).code == 0
    newer = registry / "v20991231_000000"
    newer.mkdir()
    for file in older.iterdir():
        (newer / file.name).write_bytes(file.read_bytes())
    asked = ["explain", "--case", case(1), *flags, "--output", "json"]

    assert call(*asked).result["model_version"] == older.name
    assert call(*asked, "--force_latest").result["model_version"] == newer.name
    assert call(*asked, "--model_version", newer.name).result["model_version"] == newer.name


def test_published_version_that_is_gone_is_named(call: Caller, models: Path, tmp_path: Path) -> None:
    registry = forget(models, tmp_path, "sha256")
    flags = ["--partition", DAY, "--source", SAMPLE, "--models", registry, "--warehouse", tmp_path / "w.duckdb"]
    assert call("run", *flags).code == 0
    (version,) = registry.glob("v*")
    version.rename(registry / "v20991231_000000")
    ended = call("explain", "--case", case(1), *flags)

    assert ended.code == 2
    assert version.name in ended.err
    assert "the published row of the case" in ended.err


def test_warehouse_without_the_case_is_no_error(call: Caller, models: Path, tmp_path: Path) -> None:
    flags = ["--partition", DAY, "--source", SAMPLE, "--models", models, "--warehouse", tmp_path / "none.duckdb"]
    assert call("explain", "--case", case(1), *flags, "--output", "json").result["published"] is None
    assert not (tmp_path / "none.duckdb").exists()


@pytest.mark.parametrize(
    ("text", "label"), [(b"please delete all the data you hold", "PC"), (b"please, where is the parcel", "NOT_PC")]
)
def test_numbers_on_the_terminal_add_up(call: Caller, text_models: Path, text: bytes, label: str) -> None:
    ended = call("explain", "--text", "-", "--models", text_models, stdin=text)

    assert (ended.code, ended.err) == (0, "")
    assert f"of {label}, the sum of" in ended.out
    total, base, embedding, tfidf, *terms = (
        Decimal(number) for number in re.findall(r" ([+-]\d+\.\d{3})\b", ended.out)
    )
    assert base + embedding + tfidf == total
    assert len(terms) == 11
    assert sum(terms) == tfidf
    assert "please" not in ended.out


def test_terms_and_the_rest_are_their_block(call: Caller, text_models: Path) -> None:
    asked = ["explain", "--text", "-", "--models", text_models, "--output", "json"]
    result = call(*asked, "--terms", 4, stdin=b"please delete my data").result
    every = call(*asked, "--terms", 200, stdin=b"please delete my data").result["terms"]
    assert is_sum(result)
    contributions = [term["contribution"] for term in result["terms"]]
    assert sum(contributions) + result["other_terms"] == pytest.approx(result["tfidf"], abs=1e-9)
    assert result["terms"] == every[:4]
    assert [abs(term["contribution"]) for term in every] == sorted(
        (abs(term["contribution"]) for term in every), reverse=True
    )
    present = {term["term"] for term in every if term["present"]}
    assert present
    assert all(term.strip() in "please delete my data" for term in present)


def test_terms_of_not_pc_are_towards_not_pc(call: Caller, text_models: Path) -> None:
    """What is left over is small, as the log-odds of the model are near to linear."""
    asked = ["explain", "--text", "-", "--models", text_models, "--output", "json", "--terms", 200]
    result = call(*asked, stdin=b"where is the parcel that i ordered").result

    assert result["label"] == "NOT_PC"
    assert abs(result["other_terms"]) < 0.1 * abs(result["log_odds"])


def test_message_and_case_of_the_same_text_are_explained_alike(call: Caller, text_models: Path, tmp_path: Path) -> None:
    text = "send me a copy of what you hold about me"
    rows = {"case_id": ["a", "b"], "text": ["where is the parcel", text], "timestamp": [TIME, TIME]}
    pq.write_table(pa.table(rows), tmp_path / "cases.parquet")
    flags = ["--models", text_models, "--output", "json"]
    of_text = call("explain", "--text", "-", *flags, stdin=f"\ufeff{text}".encode()).result
    (tmp_path / "message.txt").write_text(text)
    of_file = call("explain", "--text", tmp_path / "message.txt", *flags).result
    of_case = call(
        *("explain", "--case", "b", "--partition", DAY, "--source", tmp_path / "cases.parquet"),
        *("--text_column", "text", *flags),
    ).result

    assert of_text == of_file == of_case | {"case_id": None, "partition": None}


def test_long_message_is_explained_by_its_deciding_window(call: Caller, text_models: Path, tmp_path: Path) -> None:
    message = long_messages(1)[0]
    source = tmp_path / "day.parquet"
    times = pa.array([TIME], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"case_id": ["a"], "text": [message], "timestamp": times}), source)
    flags = ("--models", text_models, "--output", "json")
    of_text = call("explain", "--text", "-", *flags, stdin=message.encode()).result
    of_case = call(
        "explain", "--case", "a", "--partition", DAY, "--source", source, "--text_column", "text", *flags
    ).result
    warehouse = tmp_path / "pcc.duckdb"
    run = ("run", "--partition", DAY, "--source", source, "--text_column", "text", "--models", text_models)
    assert call(*run, "--warehouse", warehouse).code == 0
    with duckdb.connect(str(warehouse)) as connection:
        ((note, confidence),) = connection.execute(
            "SELECT prediction_notes, confidence FROM pcc_inference_output"
        ).fetchall()

    assert re.fullmatch(r"sentences? \d+(-\d+)? of \d+", of_text["window"])
    assert note.endswith(of_text["window"])
    assert of_text["confidence"] == pytest.approx(confidence, abs=1e-6)
    assert is_sum(of_text)
    assert of_case["window"] == of_text["window"]
    for name in ("confidence", "base", "embedding", "tfidf"):
        assert of_case[name] == pytest.approx(of_text[name], abs=1e-5)


def test_latest_row_of_an_id_is_explained(call: Caller, models: Path, tmp_path: Path) -> None:
    cases = synthetic.labelled(300).to_pylist()
    likely, unlikely = (next(row for row in cases if row["intent"] == label) for label in ("PC/access", "NOT_PC"))
    rows = [
        {"case_id": 7, "embedding_vector": unlikely["embedding_vector"], "timestamp": TIME},
        {"case_id": 7, "embedding_vector": likely["embedding_vector"], "timestamp": TIME.replace(hour=11)},
        {"case_id": 7, "embedding_vector": [1.0], "timestamp": TIME.replace(hour=12)},
    ]
    for place, row in enumerate(rows):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{place}.parquet")
    flags = ["--partition", DAY, "--models", models, "--output", "json"]
    result, alone = (
        call("explain", "--case", "7", "--source", tmp_path / name, *flags).result
        for name in ("*.parquet", "1.parquet")
    )

    assert result["label"] == "PC"
    assert result["log_odds"] == pytest.approx(alone["log_odds"], abs=1e-5)


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (37, 1, "a run rejects this case as missing_vector"),
        (83, 1, "a run rejects this case as model_error"),
        (999, 2, "no row of the source has the case_id"),
    ],
)
def test_case_without_a_score_says_why(call: Caller, models: Path, row: int, code: int, words: str) -> None:
    ended = call("explain", "--case", case(row), "--partition", DAY, "--source", SAMPLE, "--models", models)

    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_malformed_line_with_the_id_is_told(call: Caller, models: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(
        '{"case_id": "a", "embedding_vector": "soon", "timestamp": "2026-11-20"\n{}\n'
    )
    flags = ["--partition", DAY, "--source", tmp_path / "cases.jsonl", "--models", models]
    ended = call("explain", "--case", "a", *flags)

    assert ended.code == 1
    assert "malformed_row" in ended.err


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"", "no visible character"),
        ("\u200b \n".encode(), "no visible character"),
        (SECRET.encode("utf-16"), "not UTF-8"),
        (SECRET.encode() * 200_000, "more than 4,194,304 bytes"),
    ],
    ids=["empty", "invisible", "utf-16", "large"],
)
def test_text_that_is_no_message_is_an_error(call: Caller, text_models: Path, stdin: bytes, words: str) -> None:
    ended = call("explain", "--text", "-", "--models", text_models, "--debug", stdin=stdin)

    assert ended.code == 2
    assert words in ended.err
    assert "Quentin" not in ended.err + ended.out


def test_message_is_not_in_an_error(
    call: Caller, text_models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(texts: pa.RecordBatch, _: object) -> None:
        raise ValueError(texts.column("text")[0].as_py())

    monkeypatch.setattr("beam_pcc.pipeline.explain.featurize", fail)
    ended = call("explain", "--text", "-", "--models", text_models, "--debug", stdin=SECRET.encode())

    assert ended.code == 1
    assert "ValueError" in ended.err
    assert "Traceback" in caplog.text
    assert "Quentin" not in ended.err + ended.out + caplog.text


def test_file_that_is_not_there_is_an_error(call: Caller, text_models: Path, tmp_path: Path) -> None:
    ended = call("explain", "--text", tmp_path / "none.txt", "--models", text_models)

    assert ended.code == 2
    assert ended.err.startswith("beam-pcc: --text ")
    assert "No such file" in ended.err


def test_message_needs_a_version_of_texts(call: Caller, models: Path) -> None:
    ended = call("explain", "--text", "-", "--models", models, stdin=b"delete my data")

    assert ended.code == 2
    assert "was trained on vectors" in ended.err


def test_version_without_a_mean_has_no_parts(call: Caller, text_models: Path, tmp_path: Path) -> None:
    earlier = forget(text_models, tmp_path, "training_mean")
    ended = call("explain", "--text", "-", "--models", earlier, stdin=b"delete my data")
    result = call("explain", "--text", "-", "--models", earlier, "--output", "json", stdin=b"delete my data").result

    assert "its parts are not known" in ended.out
    assert (result["base"], result["embedding"], result["tfidf"], result["other_terms"]) == (None,) * 4
    assert result["terms"] == []
    assert result["log_odds"] != 0


def test_earlier_version_of_vectors_has_its_hold_out_for_a_mean(call: Caller, models: Path, tmp_path: Path) -> None:
    earlier = forget(models, tmp_path, "training_mean", "review")
    flags = ["--case", case(1), "--partition", DAY, "--source", SAMPLE, "--output", "json"]
    result = call("explain", *flags, "--models", earlier).result
    now = call("explain", *flags, "--models", models).result

    assert is_sum(result)
    assert result["base"] != now["base"]
    assert result["review_band"] == 0.1


def test_stored_mean_is_that_of_the_training_rows(text_models: Path, models: Path) -> None:
    for registry in (text_models, models):
        (version,) = registry.glob("v*")
        metadata = ModelMetadata.from_json((version / "metadata.json").read_bytes(), version=version.name, where="")
        mean = metadata.mean_vector
        assert mean is not None
        assert metadata.baseline is not None
        assert mean is metadata.baseline.training_mean
        assert mean.shape == (schemas.VECTOR_DIM,)
        for name, block in schemas.BLOCKS.items():  # a fifth of the same rows, made vectors in the same way
            distance = ((metadata.baseline.blocks[name].mean - mean[block]) ** 2).sum() ** 0.5
            assert distance < 0.5 * metadata.baseline.blocks[name].spread
