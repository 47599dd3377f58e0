"""Loads and checks a version: its metadata, model file, digest and golden rows.

The bytes are read once and hashed, then checked in a separate process (`checking`). Workers load only bytes with the
same digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ModelError
from beam_pcc.models import artifact, checking, documents, folding, scoring
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.models.signing import Snapshot
from beam_pcc.models.versions import MODEL_FILES
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Content, Store
from beam_pcc.terminal import logger

_log = logger(__name__)
METADATA = "metadata.json"
FileFormat = Literal["joblib", "skops", "onnx"]
Files: TypeAlias = Store | Snapshot
"""Where a version is read from: the registry, or a snapshot with a verified signature."""


@dataclass(frozen=True)
class ModelFile:
    """The path of a version's model file, the required digest of its bytes, and what scores it.

    Small and picklable: workers use it to read and check the same bytes as the launcher.
    """

    path: str
    file_format: FileFormat
    sha256: str
    scorer: folding.Scorer = "estimator"
    classes: tuple[str, ...] | None = None

    def load(self) -> Any:
        """Read the bytes, check their digest and load them through the allow-list. Raises ModelError."""
        folder, _, name = self.path.rpartition("/")
        return self.build(_content(open_store(folder), name).data, "the launcher")

    def build(self, data: bytes, named_by: str) -> Any:
        """What scores vectors, of the bytes of the file; `named_by` says in errors where their digest is from."""
        model = artifact.load(
            data,
            file_format=self.file_format,
            where=self.path,
            pins={named_by: self.sha256},
            classes=self.classes,
        )
        return folding.apply(self.scorer, model)


@dataclass(frozen=True)
class ModelVersion:
    """A checked version: its file, metadata, classes in the model's order, and why it is scored as it is."""

    file: ModelFile
    metadata: ModelMetadata
    classes: tuple[str, ...]
    scorer_reason: str = ""

    @property
    def name(self) -> str:
        """The version, such as v20261120_020000."""
        return self.metadata.version


class CheckedBytes(NamedTuple):
    """A checked version, the scores of its golden rows (None without golden rows), and the bytes of its file."""

    version: ModelVersion
    golden_scores: scoring.Floats | None
    data: bytes

    def load(self) -> Any:
        """Load the same bytes into this process."""
        return self.version.file.build(self.data, "the check")


def read_metadata(files: Files, version: str) -> ModelMetadata:
    """Read metadata.json of a version; if it is missing, warn and use the defaults."""
    path = files.path(f"{version}/{METADATA}")
    content = files.read(f"{version}/{METADATA}", documents.MAX_BYTES)
    if content is None:
        _log.warning("%s is missing: going on with the defaults (threshold 0.5, no drift baseline)", path)
        return ModelMetadata(version)
    return ModelMetadata.from_json(content.data, version=version, where=path)


@progress.task("checking the model")
def check(files: Files, version: str, sha256: str | None = None) -> CheckedBytes:
    """Load and check a version in a separate process.

    Args:
        files: Of the registry.
        version: An existing version.
        sha256: A required digest, in addition to the one in metadata.json.

    Raises:
        ModelError: The version cannot be trusted or used.
    """
    metadata = read_metadata(files, version)
    name, file_format = _model_file(files, version)
    path, data = files.path(name), _content(files, name).data
    digest = artifact.require_digest(data, {"--model_sha256": sha256, METADATA: metadata.sha256}, where=path)
    if metadata.feature_count != schemas.VECTOR_DIM:
        raise ModelError(
            f"{path} expects {metadata.feature_count} features as {METADATA} says, but a case has "
            f"{schemas.VECTOR_DIM}; use another version"
        )
    checked = checking.check(
        data,
        file_format=file_format,
        where=path,
        sha256=digest,
        classes=metadata.classes,
        vectors=metadata.golden.vectors if metadata.golden else None,
        threshold=metadata.threshold,
    )
    file = ModelFile(path, file_format, digest, checked.decision.scorer, checked.classes)
    model = ModelVersion(file, metadata, checked.classes, checked.decision.reason)
    return CheckedBytes(model, checked.probabilities, data)


def verify(files: Files, version: str, sha256: str | None = None) -> ModelVersion:
    """`check`, and require that the model scores its golden rows as when it was trained."""
    checked = check(files, version, sha256)
    golden, scores = checked.version.metadata.golden, checked.golden_scores
    if golden is not None:
        difference = 1.0 if scores is None else scoring.difference(scores, golden.probabilities)
        if difference > scoring.GOLDEN_TOLERANCE:
            raise ModelError(
                f"{checked.version.file.path} scores its golden rows otherwise than when it was trained "
                f"(largest difference {difference:.3g}); do not use it, train again"
            )
    return checked.version


def _model_file(files: Files, version: str) -> tuple[str, FileFormat]:
    """The name of the model file of a version, relative to the registry, and its format."""
    names = files.files(version)
    present = [name for name in MODEL_FILES if name in names]
    if len(present) != 1:
        state = f"both {' and '.join(present)}" if present else f"neither {' nor '.join(MODEL_FILES)}"
        raise ModelError(f"{files.path(version)} holds {state}; a version has exactly one of them")
    return f"{version}/{present[0]}", cast(FileFormat, present[0].partition(".")[2])


def _content(files: Files, name: str) -> Content:
    content = files.read(name, artifact.MAX_MODEL_BYTES)
    if content is None:
        raise ModelError(f"{files.path(name)} cannot be read: it is not there; check the path and the rights")
    return content
