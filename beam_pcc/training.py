"""Train a calibrated logistic regression on ready vectors and add it to a registry as a new version."""

from __future__ import annotations

import datetime as dt
import io
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import threadpoolctl

from beam_pcc import schemas
from beam_pcc.errors import ConfigurationError, SourceError, one_line
from beam_pcc.models import artifact, scoring
from beam_pcc.models.metadata import SCORE_BINS, Baseline, Golden, ModelMetadata
from beam_pcc.models.registry import METADATA, new_version
from beam_pcc.models.store import Store, open_store
from beam_pcc.validation import check_input, validate

Labels = npt.NDArray[np.str_]
HOLDOUT = 0.2
GOLDEN_ROWS = 8
MIN_ROWS_OF_CLASS = 10
_CALIBRATION_FOLDS = 5
_REGULARIZATION = 0.01  # C of the logistic regression on standardised features: 584 of them want strong shrinkage


class TrainingSet(NamedTuple):
    """(n, 584) float32 vectors and their n labels; `dropped` rows were not fit to train on."""

    vectors: schemas.Vectors
    labels: Labels
    dropped: int


def read_labelled(path: str) -> TrainingSet:
    """Read a Parquet file with INPUT_COLUMNS (timestamp may be absent) and `intent`: PC, NOT_PC or PC/<subtype>.

    Raises:
        ConfigurationError: The file cannot be read, or what it holds cannot train a classifier.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"--data {path} cannot be read as Parquet: {one_line(error, 160)}") from None
    if "intent" not in table.column_names:
        raise ConfigurationError(f"--data {path} has no column intent (PC, NOT_PC or PC/<subtype>); add it")
    if "timestamp" not in table.column_names:
        epoch = dt.datetime.fromtimestamp(0, dt.timezone.utc)
        table = table.append_column("timestamp", pa.array([epoch] * len(table), pa.timestamp("us", "UTC")))
    try:
        check_input(table.schema, f"--data {path}")
    except SourceError as error:
        raise ConfigurationError(str(error)) from None
    # A row number for an id, so that the labels of the valid rows are found again.
    table = table.set_column(
        table.column_names.index("case_id"), "case_id", pa.array(np.arange(len(table)).astype(str))
    )
    vectors, rows = [], []
    for batch in table.select(list(schemas.INPUT_COLUMNS)).to_batches(max_chunksize=schemas.BATCH_ROWS):
        cases, _ = validate(batch)
        vectors.append(schemas.vectors_of(cases))
        rows.append(cases.column("case_id").to_numpy(zero_copy_only=False).astype(np.int64))
    kept = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    labels = np.array([str(label) for label in table["intent"].to_pylist()])[kept]
    _check_labels(labels, path)
    return TrainingSet(np.vstack(vectors), labels, len(table) - len(kept))


def _check_labels(labels: Labels, path: str) -> None:
    names, counts = np.unique(labels, return_counts=True)
    for name in names:
        if name not in (schemas.PC, schemas.NOT_PC) and not (
            name.startswith(schemas.SUBTYPE_PREFIX) and len(name) > len(schemas.SUBTYPE_PREFIX)
        ):
            raise ConfigurationError(
                f"--data {path}: intent '{one_line(name, 40)}' is none of PC, NOT_PC, PC/<subtype>; correct it"
            )
    if schemas.NOT_PC not in names or len(names) < 2:
        raise ConfigurationError(f"--data {path} needs rows of NOT_PC and of PC; it has: {', '.join(names) or 'none'}")
    if counts.min() < MIN_ROWS_OF_CLASS:
        few = names[counts.argmin()]
        raise ConfigurationError(
            f"--data {path} has {counts.min()} rows of {few}; at least {MIN_ROWS_OF_CLASS} of each class are needed"
        )


def train(data: str, models: str, *, seed: int = 0, threshold: float = 0.5) -> ModelMetadata:
    """Train, measure on a hold-out, and write a new version; the same data and seed give the same model file.

    Args:
        data: Labelled Parquet file, see `read_labelled`.
        models: The registry: a folder, made if missing, or gs://BUCKET/FOLDER.
        seed: Of the hold-out split, which shuffles the rows.
        threshold: Of P(PC) at which a case is PC.

    Returns:
        The metadata written beside the model.

    Raises:
        ConfigurationError: The data cannot train a classifier, or the registry cannot be written.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    store = open_store(models)
    rows = read_labelled(data)
    store.prepare()
    x, x_holdout, y, y_holdout = train_test_split(
        rows.vectors, rows.labels, test_size=HOLDOUT, random_state=seed, stratify=rows.labels
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARIZATION, max_iter=1_000))
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # the last bits depend on how many share the sums
        model = CalibratedClassifierCV(linear, method="sigmoid", cv=_CALIBRATION_FOLDS, ensemble=False).fit(x, y)

    classes = tuple(str(c) for c in model.classes_)
    metrics, baseline = _measure(model, classes, x_holdout, y_holdout, threshold)
    golden = x_holdout[:GOLDEN_ROWS]
    trained_on = {
        "data": Path(data).name,
        "rows": len(rows.labels),
        "holdout": len(y_holdout),
        "dropped": rows.dropped,
    }
    return _write(
        model,
        store,
        threshold=threshold,
        classes=classes,
        seed=seed,
        trained_on=trained_on,
        metrics=metrics,
        golden=Golden(golden, scoring.score(model, golden).probabilities),
        baseline=baseline,
    )


def _measure(
    model: Any, classes: tuple[str, ...], x: schemas.Vectors, y: Labels, threshold: float
) -> tuple[dict[str, float], Baseline]:
    """Hold-out metrics of PC against NOT_PC, and the baseline for drift."""
    from sklearn import metrics

    probability = scoring.privacy_probability(scoring.score(model, x).probabilities, classes)
    truth, said = y != schemas.NOT_PC, probability >= threshold
    measured = {
        "roc_auc": metrics.roc_auc_score(truth, probability),
        "pr_auc": metrics.average_precision_score(truth, probability),
        "brier": metrics.brier_score_loss(truth, probability),
        "precision": metrics.precision_score(truth, said, zero_division=0.0),
        "recall": metrics.recall_score(truth, said, zero_division=0.0),
    }
    histogram = np.histogram(probability, bins=SCORE_BINS, range=(0.0, 1.0))[0]
    lengths = {name: np.linalg.norm(x[:, block], axis=1) for name, block in schemas.BLOCKS.items()}
    baseline = Baseline(
        score_histogram=tuple(histogram.tolist()),
        class_shares={c: float((y == c).mean()) for c in classes},
        norms={name: {"mean": float(n.mean()), "std": float(n.std())} for name, n in lengths.items()},
    )
    return {name: round(float(value), 6) for name, value in measured.items()}, baseline


def _write(model: Any, store: Store, **described: Any) -> ModelMetadata:
    """Add the version to the registry under the name of this second, or of the first one that is free."""
    import joblib
    import sklearn

    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    data = buffer.getvalue()
    while True:
        now = dt.datetime.now(dt.timezone.utc)
        metadata = ModelMetadata(
            version=new_version(now),
            sha256=artifact.digest(data),
            trained_at=now.isoformat(timespec="seconds"),
            libraries={
                "python": platform.python_version(),
                "scikit-learn": sklearn.__version__,
                "numpy": np.__version__,
                "joblib": joblib.__version__,
            },
            **described,
        )
        # The model last: a version without metadata.json is read with the defaults, and in a bucket a reader could come
        # between the two; but one without a model does not count there yet.
        files = {METADATA: metadata.to_json().encode(), "model.joblib": data}
        if store.add_folder(metadata.version, files):
            return metadata
        time.sleep(1.0)  # there is another version of this very second


def metrics_line(metadata: ModelMetadata) -> str:
    """The hold-out metrics in one line."""
    numbers = {name: value for name, value in metadata.metrics.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
