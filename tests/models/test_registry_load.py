"""A version must match its metadata before it is used; the errors of versions that do not."""

import dataclasses
import json
import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from beam_pcc.errors import ModelError
from beam_pcc.models.artifact import digest
from beam_pcc.models.metadata import Golden
from beam_pcc.models.registry import Registry

VERSION = "v20261120_020000"


@pytest.fixture
def folder(tmp_path: Path, registry: Path) -> Path:
    """The folder of a trained version, to be changed."""
    (trained,) = Registry(str(registry)).versions()
    shutil.copytree(registry / trained, tmp_path / VERSION)
    return tmp_path / VERSION


def load(folder: Path, **pin: Any) -> Any:
    return Registry(str(folder.parent)).load(folder.name, **pin)


def change(folder: Path, **values: Any) -> None:
    """Set keys of metadata.json; None removes one."""
    path = folder / "metadata.json"
    changed = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))


def test_loaded_version_has_name_classes_and_digest(folder: Path) -> None:
    version, model = load(folder)

    assert version.name == VERSION
    assert version.classes == tuple(model.classes_) == ("NOT_PC", "PC/access", "PC/deletion", "PC/opt_out")
    assert version.file.path == str(folder / "model.joblib")
    assert version.file.sha256 == digest((folder / "model.joblib").read_bytes())


def test_version_with_two_model_files_is_an_error(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"")
    with pytest.raises(ModelError, match=rf"^{folder} holds both "):
        load(folder)


def test_version_without_model_file_is_an_error(folder: Path) -> None:
    (folder / "model.joblib").unlink()
    with pytest.raises(ModelError, match=rf"^{folder} holds neither "):
        load(folder)


def test_digest_is_accepted_in_either_case(folder: Path) -> None:
    right = digest((folder / "model.joblib").read_bytes())
    assert load(folder, sha256=right.upper())[0].file.sha256 == right


def test_digest_mismatch_with_flag_names_the_flag(folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"not {'0' * 64} as --model_sha256 says"):
        load(folder, sha256="0" * 64)


def test_digest_mismatch_with_metadata_names_metadata(folder: Path) -> None:
    change(folder, sha256="1" * 64)
    with pytest.raises(ModelError, match=rf"not {'1' * 64} as metadata\.json says"):
        load(folder)


def test_digest_flag_does_not_override_metadata(folder: Path) -> None:
    change(folder, sha256="1" * 64)
    with pytest.raises(ModelError, match=r"as metadata\.json says"):
        load(folder, sha256=digest((folder / "model.joblib").read_bytes()))


def test_version_without_metadata_uses_defaults(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "metadata.json").unlink()
    with caplog.at_level(logging.WARNING, logger="beam_pcc"):
        version, _ = load(folder)

    assert (version.metadata.threshold, version.metadata.baseline) == (0.5, None)
    assert version.classes == ("NOT_PC", "PC/access", "PC/deletion", "PC/opt_out")
    assert [record.message.split(":")[0] for record in caplog.records] == [f"{folder / 'metadata.json'} is missing"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"v1"', "null", "\xff", '{"threshold": NaN}', '{"feature_count": 1e999}']
)
def test_malformed_metadata_error_names_the_file(folder: Path, text: str) -> None:
    (folder / "metadata.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=rf"^{folder / 'metadata.json'} is not a model's metadata\.json: "):
        load(folder)


WRONG_VALUES = {
    "threshold out of range": {"threshold": 1.0},
    "threshold of no number": {"threshold": "high"},
    "too few bins": {"baseline": {"score_histogram": [1, 2]}},
    "empty histogram": {"baseline": {"score_histogram": [0] * 10}},
    "negative count": {"baseline": {"score_histogram": [-5, *[10] * 9]}},
    "golden rows cut off": {"golden": {"vectors": "AAAA", "probabilities": [[0.5, 0.5]]}},
    "golden rows not base64": {"golden": {"vectors": "?", "probabilities": [[0.5, 0.5]]}},
    "digest of no text": {"sha256": 7},
    "classes of no list": {"classes": 7},
    "classes of one text": {"classes": "PC"},
    "embedding model of no text": {"embedding_model": 5},
    "trained on of no object": {"trained_on": "x"},
}


@pytest.mark.parametrize("values", WRONG_VALUES.values(), ids=WRONG_VALUES.keys())
def test_invalid_metadata_value_error_names_the_file(folder: Path, values: dict[str, Any]) -> None:
    change(folder, **values)
    with pytest.raises(ModelError, match=rf"^{folder / 'metadata.json'} is not a model's metadata\.json: "):
        load(folder)


def test_unknown_keys_of_metadata_are_ignored(folder: Path) -> None:
    change(folder, approved_by="a later version of this package")
    assert load(folder)[0].name == VERSION


def test_model_of_other_vector_width_is_an_error(folder: Path) -> None:
    change(folder, feature_count=384)
    with pytest.raises(ModelError, match=r"expects 384 features .* 584"):
        load(folder)


def test_classes_that_differ_from_metadata_are_an_error(folder: Path) -> None:
    change(folder, classes=["NOT_PC", "PC"])
    with pytest.raises(ModelError, match="metadata"):
        load(folder)


def test_worker_refuses_file_changed_since_launch(folder: Path) -> None:
    file = pickle.loads(pickle.dumps(load(folder)[0].file))
    with (folder / "model.joblib").open("ab") as model:
        model.write(b"\0")

    with pytest.raises(ModelError, match="SHA-256"):
        file.load()


def test_worker_loads_the_checked_model(folder: Path) -> None:
    version, model = load(folder)
    sent = pickle.loads(pickle.dumps(version.file))

    golden = version.metadata.golden
    assert golden is not None
    assert (sent.load().predict_proba(golden.vectors) == model.predict_proba(golden.vectors)).all()


def verify(folder: Path) -> Any:
    return Registry(str(folder.parent)).verify(folder.name)


def test_valid_version_reproduces_golden_rows(folder: Path) -> None:
    golden = verify(folder).metadata.golden
    assert golden is not None
    assert len(golden.vectors) == 8


def change_golden(folder: Path, **values: Any) -> None:
    golden = Golden.from_json(json.loads((folder / "metadata.json").read_text())["golden"])
    change(folder, golden=dataclasses.replace(golden, **values).to_json())


def test_golden_rows_with_other_scores_are_an_error(folder: Path) -> None:
    scores = load(folder)[0].metadata.golden.probabilities.copy()
    scores[3, 0] += 1e-3
    change_golden(folder, probabilities=scores)

    with pytest.raises(ModelError, match=r"scores its golden rows otherwise .*largest difference 0\.001"):
        verify(folder)


def test_golden_rows_of_other_vectors_are_an_error(folder: Path) -> None:
    change_golden(folder, vectors=load(folder)[0].metadata.golden.vectors[::-1])
    with pytest.raises(ModelError, match="scores its golden rows otherwise"):
        verify(folder)


def test_version_without_golden_rows_is_checked(folder: Path) -> None:
    change(folder, golden=None)
    assert verify(folder).metadata.golden is None
