"""The schemas of the JSON files beside a model accept only values that are safe for a run."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cli import main as cli
from beam_pcc.errors import ModelError
from beam_pcc.models import documents
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.registry import Registry
from tests.models.refusals import refusal
from tests.models.versions import copies

VERSION = "v20261120_020000"
WHERE = "models/v20261120_020000/metadata.json"


def read(data: bytes) -> ModelMetadata:
    return ModelMetadata.from_json(data, version=VERSION, where=WHERE)


def error_of(data: bytes) -> str:
    return refusal(f"{WHERE} is not a model's metadata.json: ", read, data)


@pytest.fixture(scope="module")
def honest(registry: Path) -> dict[str, Any]:
    """metadata.json as train writes it."""
    (trained,) = Registry(str(registry)).versions()
    return json.loads((registry / trained / "metadata.json").read_text())


HISTOGRAM = [1] * 10
GOLDEN = base64.b64encode(np.zeros(584, "<f4").tobytes()).decode()
NOT_FINITE = base64.b64encode(np.full(584, np.nan, "<f4").tobytes()).decode()
WRONG: dict[str, dict[str, Any]] = {
    "threshold_of_truth": {"threshold": True},
    "threshold_at_the_end": {"threshold": 1.0},
    "feature_count_of_half": {"feature_count": 584.5},
    "feature_count_below_zero": {"feature_count": -1},
    "huge_count_in_the_histogram": {"baseline": {"score_histogram": [2**53 + 1, *HISTOGRAM[1:]]}},
    "endless_number_in_the_histogram": {"baseline": {"score_histogram": [10**400, *HISTOGRAM[1:]]}},
    "half_a_count": {"baseline": {"score_histogram": [0.5, *HISTOGRAM[1:]]}},
    "count_as_text": {"baseline": {"score_histogram": ["1", *HISTOGRAM[1:]]}},
    "count_of_truth": {"baseline": {"score_histogram": [True, *HISTOGRAM[1:]]}},
    "share_above_one": {"baseline": {"score_histogram": HISTOGRAM, "class_shares": {"PC": 7}}},
    "norm_of_text": {"baseline": {"score_histogram": HISTOGRAM, "norms": {"embedding": {"mean": "1"}}}},
    "mean_that_is_not_base64": {"baseline": {"score_histogram": HISTOGRAM, "training_mean": "no mean!"}},
    "mean_of_few_numbers": {"baseline": {"score_histogram": HISTOGRAM, "training_mean": "AAAA"}},
    "mean_as_numbers": {"baseline": {"score_histogram": HISTOGRAM, "training_mean": [0.0] * 584}},
    "mean_that_is_not_finite": {"baseline": {"score_histogram": HISTOGRAM, "training_mean": NOT_FINITE}},
    "review_without_bands": {"review": {"recommended": 0.1}},
    "review_band_above_a_half": {"review": {"bands": [], "recommended": 0.6}},
    "review_share_above_one": {"review": {"bands": [{"band": 0.1, "cases": 2, "errors": 0}]}},
    "review_band_without_errors": {"review": {"bands": [{"band": 0.1, "cases": 0.1}]}},
    "review_band_of_text": {"review": {"bands": [], "recommended": "0.1"}},
    "unknown_block": {"baseline": {"score_histogram": HISTOGRAM, "blocks": {"x": {}}}},
    "block_of_other_length": {
        "baseline": {"score_histogram": HISTOGRAM, "blocks": {"tfidf": {"norm_mean": 1, "spread": 1, "mean": "AAAA"}}}
    },
    "surrogate": {"embedding_model": "a\ud800"},
    "surrogate_in_an_unknown_key": {"approved_by": ["a\ud800"]},
    "newline": {"embedding_model": "a\nb"},
    "escape_sequence": {"embedding_model": "\x1b[2J"},
    "long_text": {"embedding_model": "a" * 201},
    "blank_text": {"embedding_model": "  "},
    "digest_that_is_none": {"sha256": "7" * 63},
    "class_that_is_no_text": {"classes": ["NOT_PC", 1]},
    "one_class": {"classes": ["NOT_PC"]},
    "class_with_a_newline": {"classes": ["NOT_PC", "PC\n"]},
    "metric_of_text": {"metrics": {"roc_auc": "0.9"}},
    "trained_on_a_list": {"trained_on": []},
    "library_of_a_number": {"libraries": {"numpy": 2}},
    "seed_of_half": {"seed": 0.5},
    "golden_probability_above_one": {"golden": {"vectors": GOLDEN, "probabilities": [[2.0, -1.0]]}},
    "golden_vectors_not_finite": {"golden": {"vectors": NOT_FINITE, "probabilities": [[0.5, 0.5]]}},
    "golden_vectors_in_another_alphabet": {"golden": {"vectors": "__-_", "probabilities": [[0.5, 0.5]]}},
    "golden_rows_of_several_lengths": {"golden": {"vectors": GOLDEN * 2, "probabilities": [[0.5, 0.5], [1, 0, 0]]}},
    "golden_rows_none": {"golden": {"vectors": "", "probabilities": []}},
    "terms_too_few": {"features": {"encoder_sha256": "0" * 64, "tfidf": {"terms": ["a"]}}},
    "deep": {"trained_on": json.loads("[" * 20 + "]" * 20)},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_value_is_refused(wrong: dict[str, Any], honest: dict[str, Any]) -> None:
    error_of(json.dumps({**honest, **wrong}).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe{}",
        b'{"seed": 1, "seed": 2}',
        b'{"threshold": Infinity}',
        b'{"threshold": 1e999}',
        b'{"threshold": NaN}',
        b'{"seed": ' + b"9" * 100_000 + b"}",
        b'{"seed": -' + b"9" * 17 + b"}",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"a": "' + b"a" * 2**20 + b'"}',
        b"{} {}",
        b'{"a": "\x00"}',
    ],
    ids=range(12),
)
def test_non_strict_json_is_refused(text: bytes) -> None:
    error_of(text)


def test_valid_metadata_is_read(honest: dict[str, Any]) -> None:
    assert read(json.dumps(honest).encode()).golden is not None


def test_metadata_round_trip(honest: dict[str, Any]) -> None:
    metadata = read(json.dumps(honest).encode())
    assert json.loads(read(metadata.to_json().encode()).to_json()) == json.loads(metadata.to_json())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["classes", "threshold", "embedding_model", "metrics", "golden", "baseline", "features", "trained_on", "seed"]


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
def test_any_values_are_read_or_refused(values: dict[str, Any]) -> None:
    try:
        metadata = read(json.dumps(values).encode())
    except ModelError:
        return
    json.dumps(json.loads(metadata.to_json()), allow_nan=False).encode()


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        value = documents.parse(data)
    except ValueError:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


# The other files


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    return copies(registry, tmp_path / "models", VERSION)


@pytest.mark.parametrize(
    "pointer",
    [
        '{"version": "v20261120_020000", "shadow": 7}',
        '{"version": "v20261120_020000\\n"}',
        '{"version": "../../etc"}',
        '{"version": ["v20261120_020000"]}',
        '{"version": "v20261120_020000", "change": "x"}',
        '{"version": "v20261120_020000", "change": {"id": 1, "action": "promote", "version": "v20261120_020000"}}',
        '{"version": "v20261120_020000", "a": "' + "x" * 2**20 + '"}',
        "[" * 50_000,
        '{"version": "\\ud800"}',
        "",
    ],
    ids=range(10),
)
def test_wrong_pointer_is_refused(pointer: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "current.json").write_text(pointer)
    assert cli.main(["models", "verify", "--models", str(models)]) == 2
    message = capsys.readouterr().err.strip()
    assert "current.json" in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "7",
        '{"action": "promote"}',
        '{"action": "promote", "version": "x"}',
        '{"action": "a b", "version": "v20261120_020000"}',
        '{"action": "promote", "version": "v20261120_020000", "by": "\\u001b[2J"}',
        '{"action": "promote", "version": "v20261120_020000", "at": ' + "9" * 5_000 + "}",
        "x" * 2**21,
    ],
    ids=range(8),
)
def test_wrong_line_of_the_log_is_refused(line: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "promotions.jsonl").write_text(line + "\n")
    assert cli.main(["models", "history", "--models", str(models)]) == 2
    message = capsys.readouterr().err.strip()
    assert "promotions.jsonl" in message
    assert message.isprintable()


def test_full_log_fails_before_pointer_changes(models: Path) -> None:
    entry = json.dumps({"action": "promote", "version": VERSION, "checks": {"a": "x" * 900}}) + "\n"
    (models / "promotions.jsonl").write_text(entry * (2**20 // len(entry) - 1))
    with pytest.raises(ModelError, match="is full: move it away"):
        Registry(str(models)).promote(VERSION)
    assert not (models / "current.json").exists()
