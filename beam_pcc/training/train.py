"""Train a calibrated logistic regression on vectors or on text, and add it to a registry as a new version."""

from __future__ import annotations

import datetime as dt
import io
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import threadpoolctl

from beam_pcc.cases import drift, schemas
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation import review_bands
from beam_pcc.evaluation.labelled import Labelled, Labels, read_labelled, require_trainable
from beam_pcc.features import cleaning, languages, tfidf
from beam_pcc.features.encoders import package
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.serving import open_encoder
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Features, Runtime, cut, join
from beam_pcc.models import artifact, scoring
from beam_pcc.models.metadata import SCORE_BINS, Baseline, Golden, ModelMetadata
from beam_pcc.models.registry import METADATA, new_version
from beam_pcc.reporting import model_card
from beam_pcc.storage import open_store
from beam_pcc.storage.base import Store
from beam_pcc.training.fitting import Hyperparameters, calibrated, choose_hyperparameters, choose_threshold

HOLDOUT = 0.2
GOLDEN_ROWS = 8
_ANALYZER: tfidf.Analyzer = "char_wb"
_NGRAMS = (3, 5)


Rows: TypeAlias = "npt.NDArray[np.int64]"
FeaturesAndVectors: TypeAlias = "tuple[Features | None, schemas.Vectors]"


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        seed: Of the hold-out split, which shuffles the rows.
        threshold: Of P(PC) at which a case is PC.
        min_precision: If set, use the lowest threshold that reaches this precision instead.
        text_column: Train on the messages of this column, not on vectors.
        encoder: The folder of the encoder; by default the only one in the registry.
        runtime: How the encoder is computed.
    """

    seed: int = 0
    threshold: float = 0.5
    min_precision: float | None = None
    text_column: str | None = None
    encoder: str | None = None
    runtime: Runtime = DEFAULT_RUNTIME


def train(data: str, models: str, recipe: Recipe | None = None, **given: Any) -> ModelMetadata:
    """Train, measure on a hold-out, and write a new version; the same data and seed give the same model file.

    Args:
        data: Labelled Parquet or JSONL file, see `read_labelled`.
        models: The registry: a folder, made if missing, or gs://BUCKET/FOLDER.
        recipe: How to train.
        **given: The fields of a recipe, instead of `recipe`.

    Returns:
        The metadata written beside the model.

    Raises:
        ConfigurationError: The data cannot train a classifier, or the registry cannot be written.
        ModelError: The encoder is missing, or cannot be used.
    """
    recipe = recipe or Recipe(**given)
    store = open_store(models)
    rows = read_labelled(data, recipe.text_column)
    require_trainable(rows, data)
    store.prepare()  # fails before the training if the registry cannot be written
    train_rows, holdout_rows = _split(rows.labels, recipe.seed)
    featurize = _featurize_function(rows, data, models, recipe)
    features, vectors = featurize(train_rows)
    x, y = vectors[train_rows], rows.labels[train_rows]
    holdout = vectors[holdout_rows], rows.labels[holdout_rows]
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # the last bits depend on the number of threads
        hyperparameters = choose_hyperparameters(x, y, recipe.seed, scaled=features is None)
        measured = calibrated(hyperparameters, y).fit(x, y)
        threshold = _threshold(recipe, hyperparameters, x, y, data)
        # The metrics are of `measured`; the published model is trained on all rows.
        all_rows = np.concatenate([train_rows, holdout_rows])
        features, vectors = featurize(all_rows)
        model = calibrated(hyperparameters, rows.labels).fit(vectors[all_rows], rows.labels[all_rows])
    classes = tuple(str(c) for c in model.classes_)
    golden = vectors[holdout_rows[:GOLDEN_ROWS]]
    probability = scoring.privacy_probability(scoring.score(measured, holdout[0]).probabilities, classes)
    truth = holdout[1] != schemas.NOT_PC
    return _write(
        model,
        store,
        plots=model_card.plots(truth, probability, threshold),
        threshold=threshold,
        classes=classes,
        seed=recipe.seed,
        trained_on={
            "data": one_line(Path(data).name, 200),
            "rows": len(rows.labels),
            "holdout": len(holdout_rows),
            "dropped": rows.dropped,
            "duplicates": rows.duplicates,
            "contradicting": rows.contradicting,
            "labels": _counts(rows.labels),
            "settings": {**hyperparameters._asdict(), "min_precision": recipe.min_precision},
        },
        metrics=evaluation.metrics(truth, probability, threshold),
        intervals=evaluation.intervals(truth, probability, threshold),
        golden=Golden(golden, scoring.score(model, golden).probabilities),
        baseline=_baseline(vectors[holdout_rows], holdout[1], probability, classes),
        features=features,
        embedding_model=_embedding_model(models, recipe),
        training_mean=vectors[all_rows].mean(axis=0, dtype=np.float64).astype(np.float32),
        review=review_bands.review(truth, probability, threshold),
    )


def _split(labels: Labels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    first, second = train_test_split(rows, test_size=HOLDOUT, random_state=seed, stratify=labels)
    return first, second


def _featurize_function(rows: Labelled, data: str, models: str, recipe: Recipe) -> Callable[[Rows], FeaturesAndVectors]:
    """A function that fits the features on training rows, and returns them with the vectors of all rows.

    Encodes each text once. For vectors there is nothing to fit.
    """
    if rows.texts is None:
        return lambda _: (None, rows.vectors)
    texts = cleaning.clean(rows.texts)
    address = package.absolute(recipe.encoder or package.only_one(models))
    encoder = EncoderRef(address, package.read(address).sha256)
    spoken = languages.shares(languages.detect(texts))
    encoded = open_encoder(encoder, recipe.runtime.backend, recipe.runtime.threads).encode(cut(texts))

    def featurize(train_rows: Rows) -> FeaturesAndVectors:
        train_texts, labels = [texts[row] for row in train_rows], rows.labels[train_rows].tolist()
        try:
            terms = tfidf.fit(train_texts, labels, analyzer=_ANALYZER, ngrams=_NGRAMS)
        except ValueError as error:
            raise ConfigurationError(f"--data {data} cannot train on text: {error}; label more messages") from None
        return Features(encoder.sha256, terms, cleaning.VERSION, spoken), join(encoded, terms, texts)

    return featurize


def _embedding_model(models: str, recipe: Recipe) -> str:
    """What makes the vectors: the encoder by its name, and the terms."""
    if recipe.text_column is None:
        return schemas.EMBEDDING_MODEL
    encoder = package.name_of(recipe.encoder or package.only_one(models))
    return f"{encoder}+tfidf{schemas.TFIDF_DIM}" if encoder else schemas.EMBEDDING_MODEL


def _threshold(recipe: Recipe, hyperparameters: Hyperparameters, x: schemas.Vectors, y: Labels, data: str) -> float:
    """The threshold, chosen on the training rows without the hold-out."""
    if recipe.min_precision is None:
        return recipe.threshold
    threshold = choose_threshold(hyperparameters, x, y, recipe.min_precision)
    if threshold is None:
        raise ConfigurationError(
            f"--data {data}: no threshold reaches --min_precision {recipe.min_precision:g}; ask for less, or label "
            "more rows"
        )
    return threshold


def _baseline(x: schemas.Vectors, y: Labels, probability: scoring.Floats, classes: tuple[str, ...]) -> Baseline:
    """Of the hold-out: its vectors as the published version makes them, its scores by the model that did not see it."""
    histogram = np.histogram(probability, bins=SCORE_BINS, range=(0.0, 1.0))[0]
    lengths = {name: drift.norm(x[:, block]) for name, block in schemas.BLOCKS.items()}
    return Baseline(
        score_histogram=tuple(histogram.tolist()),
        class_shares={c: float((y == c).mean()) for c in classes},
        norms={name: {"mean": float(n.mean()), "std": float(n.std())} for name, n in lengths.items()},
        blocks=drift.baseline(x),
    )


def _counts(labels: Labels) -> dict[str, int]:
    names, counts = np.unique(labels, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _write(model: Any, store: Store, *, plots: Mapping[str, str], **fields: Any) -> ModelMetadata:
    """Add the version to the registry, named by the current second or the next free one."""
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
            **fields,
        )
        # Write the model last. In a bucket a reader may see part of the files: a version without a model is ignored,
        # but one without metadata.json would be read with the defaults.
        card = {"model_card.md": model_card.card(metadata), **plots}
        files = {name: text.encode() for name, text in card.items()}
        if store.add_folder(metadata.version, {**files, METADATA: metadata.to_json().encode(), "model.joblib": data}):
            return metadata
        time.sleep(1.0)  # a version of this second exists


def metrics_line(metadata: ModelMetadata) -> str:
    """The hold-out metrics in one line."""
    numbers = {name: value for name, value in metadata.metrics.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
