"""Writes a version to a registry: the model file, metadata.json, the card and its plots."""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import drift, schemas
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import artifact, scoring
from beam_pcc.models.metadata import SCORE_BINS, Baseline, ModelMetadata
from beam_pcc.models.registry import METADATA, new_version
from beam_pcc.models.training_rows import FILE as TRAINING_ROWS
from beam_pcc.models.training_rows import TrainingRows
from beam_pcc.reporting import model_card
from beam_pcc.storage.base import Store

GOLDEN_ROWS = 8


def baseline(
    x: schemas.Vectors, y: Labels, probability: scoring.Floats, classes: tuple[str, ...], learnt: schemas.Vectors
) -> Baseline:
    """What later scores and vectors are compared with.

    Args:
        x: (n, 584), of the hold-out, as the published version makes them.
        y: (n,) their labels.
        probability: (n,) their P(PC), by a model that did not see them.
        classes: Of the model.
        learnt: (m, 584), which the model was trained on; scores are explained against their mean.
    """
    histogram = np.histogram(probability, bins=SCORE_BINS, range=(0.0, 1.0))[0]
    lengths = {name: drift.norm(x[:, block]) for name, block in schemas.BLOCKS.items()}
    return Baseline(
        score_histogram=tuple(histogram.tolist()),
        class_shares={c: float((y == c).mean()) for c in classes},
        norms={name: {"mean": float(n.mean()), "std": float(n.std())} for name, n in lengths.items()},
        blocks=drift.baseline(x),
        training_mean=learnt.mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def counts(labels: Labels) -> dict[str, int]:
    """Label to rows."""
    names, numbers = np.unique(labels, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, numbers, strict=True)}


@progress.task("writing the version")
def write(
    data: bytes,
    file: str,
    store: Store,
    *,
    plots: Mapping[str, str],
    libraries: Mapping[str, str],
    training_rows: TrainingRows | None = None,
    **fields: Any,
) -> ModelMetadata:
    """Add a version to the registry, named by the current second or the next free one.

    Args:
        data: The model file.
        file: Its name.
        store: The registry.
        plots: Of the card, by file name.
        libraries: That made the model, besides Python and NumPy.
        training_rows: What it was trained on, if that is known.
        **fields: Of the metadata.
    """
    while True:
        now = dt.datetime.now(dt.timezone.utc)
        metadata = ModelMetadata(
            version=new_version(now),
            sha256=artifact.digest(data),
            trained_at=now.isoformat(timespec="seconds"),
            libraries={"python": platform.python_version(), "numpy": np.__version__, **libraries},
            **fields,
        )
        # Write the model last. In a bucket a reader may see part of the files: a version without a model is ignored,
        # but one without metadata.json would be read with the defaults.
        card = {"model_card.md": model_card.card(metadata), **plots}
        files = {name: text.encode() for name, text in card.items()}
        if training_rows is not None:
            files[TRAINING_ROWS] = training_rows.to_bytes()
        if store.add_folder(metadata.version, {**files, METADATA: metadata.to_json().encode(), file: data}):
            return metadata
        time.sleep(1.0)  # a version of this second exists
