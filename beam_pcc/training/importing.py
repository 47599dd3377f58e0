"""Adds a model that was trained elsewhere to a registry, as ONNX, after comparing the two on given rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation import review_bands, trained_rows
from beam_pcc.evaluation.labelled import read_labelled
from beam_pcc.models import artifact, checking, scoring
from beam_pcc.models.metadata import Golden, ModelMetadata
from beam_pcc.models.scoring import Floats
from beam_pcc.reporting import model_card
from beam_pcc.storage import open_store
from beam_pcc.training import converters, versions
from beam_pcc.training.converters import Kind

PARITY = 1e-5
"""The largest difference of a probability between a model and its conversion."""


@dataclass(frozen=True)
class Imported:
    """A version that was made of a file: its metadata, what the file was, and how far the two differ on the rows.

    `difference` is None for a file that was ONNX already; `left_out` are rows that it was trained on.
    """

    metadata: ModelMetadata
    kind: Kind
    rows: int
    difference: float | None
    left_out: int = 0


def import_model(
    file: str,
    models: str,
    data: str,
    *,
    training_data: str | None = None,
    kind: Kind | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = 0.5,
    trusted: bool = False,
) -> Imported:
    """Convert a model file, compare, measure on the rows, and write a new version.

    Args:
        file: A scikit-learn, LightGBM, XGBoost or ONNX file.
        models: The registry: a folder, made if missing, or gs://BUCKET/FOLDER.
        data: Labelled rows of vectors that it was not trained on, see `read_labelled`.
        training_data: The rows that it was trained on, if they are known: those among `data` are left out, and the
            version names them by their digests, as one of `train` does.
        kind: What the file is; by default its ending says so.
        classes: In the order of its probabilities, if it does not name them.
        threshold: Of P(PC) at which a case is PC.
        trusted: See `converters.convert`.

    Raises:
        ConfigurationError: The rows or the file cannot be read, or a converter is missing.
        ModelError: The model cannot be converted, or the conversion scores otherwise.
    """
    kind = kind or converters.kind_of(file)
    store = open_store(models)
    rows, training_rows, seen = read_labelled(data), None, 0
    if training_data is not None:
        training_rows = trained_rows.of(read_labelled(training_data))
        unseen = np.flatnonzero(~trained_rows.contained(training_rows, rows))
        seen = len(rows.labels) - len(unseen)
        rows = rows.take(unseen)
    truth = rows.labels != schemas.NOT_PC
    if min(truth.sum(), (~truth).sum()) < evaluation.MIN_ROWS_OF_CLASS:
        raise ConfigurationError(
            f"--data {data} must hold rows of PC and of NOT_PC to measure the model on, at least "
            f"{evaluation.MIN_ROWS_OF_CLASS} of each"
            + (f", without the {seen:,} that are in --training_data too" if seen else "")
        )
    store.prepare()
    with progress.task("converting"):
        converted = converters.convert(file, kind, trusted=trusted)
    names = converters.named(converted.classes, classes, file)
    checked = checking.check(
        converted.data,
        file_format="onnx",
        where=file,
        sha256=artifact.digest(converted.data),
        classes=names,
        threshold=threshold,
    )
    model = artifact.load(converted.data, file_format="onnx", where=file, classes=checked.classes)
    with progress.task("scoring the rows"):
        scores = scoring.score(model, rows.vectors)
    if scores.errors:
        raise ModelError(
            f"{file} fails on {len(scores.errors):,} of {len(rows.labels):,} rows of --data: "
            f"{next(iter(scores.errors.values()))}; do not use it"
        )
    difference = None
    if converted.score is not None:
        difference = _parity(scores.probabilities, converted.score(rows.vectors), names, threshold, file)
    probability = scoring.privacy_probability(scores.probabilities, names)
    golden = _golden(rows.vectors, probability)
    trained_on = {
        "data": one_line(Path(data).name, 200),
        "dropped": rows.dropped,
        "duplicates": rows.duplicates,
        "contradicting": rows.contradicting,
        "labels": versions.counts(rows.labels),
        "settings": {"min_precision": None},
        "imported": {
            "file": one_line(Path(file).name, 200),
            "format": kind,
            "difference": difference,
            "rows": len(rows.labels),
        },
    }
    metadata = versions.write(
        converted.data,
        "model.onnx",
        store,
        plots=model_card.plots(truth, probability, threshold),
        libraries=dict(converted.libraries),
        training_rows=training_rows,
        threshold=threshold,
        classes=names,
        trained_on=trained_on,
        metrics=evaluation.metrics(truth, probability, threshold),
        intervals=evaluation.intervals(truth, probability, threshold),
        golden=Golden(golden, scoring.score(model, golden).probabilities),
        baseline=versions.baseline(rows.vectors, rows.labels, probability, names, rows.vectors),
        review=review_bands.review(truth, probability, threshold),
    )
    return Imported(metadata, kind, len(rows.labels), difference, seen)


def _parity(actual: Floats, expected: Floats, classes: Sequence[str], threshold: float, file: str) -> float:
    """The largest difference. Raises ModelError if it is above PARITY, or a label differs.

    A row within PARITY of the threshold may fall on either side of it.
    """
    if expected.shape != actual.shape:
        raise ModelError(
            f"{file} gives {expected.shape[-1]} probabilities of a row, but has {len(classes)} classes; name all of "
            "them with --classes"
        )
    difference = scoring.difference(actual, expected)
    ours, theirs = (scoring.privacy_probability(one, classes) for one in (actual, expected))
    flipped = ((ours >= threshold) != (theirs >= threshold)) & (np.abs(theirs - threshold) > PARITY)
    if difference > PARITY or flipped.any():
        wrong = int((np.abs(actual - expected).max(axis=1) > PARITY).sum())
        raise ModelError(
            f"{file} scores {wrong:,} of {len(actual):,} rows otherwise when it is converted (largest difference "
            f"{difference:.2g}): the converter does not know this kind of model; export it to ONNX yourself, or use "
            "another kind"
        )
    return difference


def _golden(vectors: schemas.Vectors, probability: Floats) -> schemas.Vectors:
    """Rows over the whole range of P(PC), the same each time."""
    order = np.argsort(probability, kind="stable")
    return vectors[order[np.linspace(0, len(order) - 1, versions.GOLDEN_ROWS).astype(np.int64)]]
