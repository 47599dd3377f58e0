"""Train a calibrated classifier on vectors or on text, and add it to a registry as a new version."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import threadpoolctl

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation import review_bands, trained_rows
from beam_pcc.evaluation.labelled import Labelled, Labels, read_labelled, require_trainable
from beam_pcc.features import cleaning, languages, tfidf
from beam_pcc.features.encoders import package, serving
from beam_pcc.features.featurizer import DEFAULT_RUNTIME, Features, Runtime, join, split_texts
from beam_pcc.features.windows import WindowLimits
from beam_pcc.models import scoring
from beam_pcc.models.metadata import Golden, ModelMetadata
from beam_pcc.models.versions import remove_incomplete
from beam_pcc.reporting import model_card
from beam_pcc.storage import open_store
from beam_pcc.terminal import logger
from beam_pcc.training import versions
from beam_pcc.training.augmentation import MAX_SHARE, augment
from beam_pcc.training.fitting import (
    Classifier,
    Hyperparameters,
    choose_discount_held_out,
    choose_hyperparameters,
    choose_threshold,
    deciding_rows,
    fit,
)
from beam_pcc.training.windowed import Messages, privacy_probability

_log = logger(__name__)
HOLDOUT = 0.2
MAX_INTERVAL = 0.2
"""A wider interval of precision or recall (Wilson, 95 %) is worth a warning: it hardly tells 0.8 from 0.9."""
_ANALYZER: tfidf.Analyzer = "char_wb"
_NGRAMS = (3, 5)


Rows: TypeAlias = "npt.NDArray[np.int64]"
FeaturesAndMessages: TypeAlias = "tuple[Features | None, Messages]"


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
        classifier: What is fitted and calibrated.
        augment: How many augmented copies of each message to learn from as well, on average; at most MAX_SHARE.
    """

    seed: int = 0
    threshold: float = 0.5
    min_precision: float | None = None
    text_column: str | None = None
    encoder: str | None = None
    runtime: Runtime = DEFAULT_RUNTIME
    augment: float = 0.0
    classifier: Classifier = "logistic"


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
    _check_augment(recipe)
    store = open_store(models)
    rows = read_labelled(data, recipe.text_column)
    require_trainable(rows, data)
    store.prepare()  # fails before the training if the registry cannot be written
    for version in remove_incomplete(store):
        _log.info("removed the incomplete version %s, whose training was killed", version)
    train_rows, holdout_rows = _split(rows.labels, recipe.seed)
    learnt = _with_copies(rows, train_rows, holdout_rows, recipe)
    featurize = _featurize_function(learnt, data, models, recipe)
    known_rows = np.concatenate([train_rows, learnt.train_copies])
    features, messages = featurize(known_rows)
    known, holdout = messages.take(known_rows), messages.take(holdout_rows)
    holdout_copies = messages.take(learnt.holdout_copies)
    scaled = features is None
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # the last bits depend on the number of threads
        training = deciding_rows(known, scaled=scaled)
        hyperparameters = choose_hyperparameters(training, recipe.seed, scaled=scaled, classifier=recipe.classifier)
        with progress.task("fitting on the training rows"):
            measured = fit(hyperparameters, training)
        discount = 0.0 if scaled else choose_discount_held_out(hyperparameters, known, recipe.seed)
        threshold = _threshold(recipe, hyperparameters, known, discount, data)
        # The metrics are of `measured`; the published model is trained on all rows.
        all_rows = np.concatenate([train_rows, holdout_rows, learnt.train_copies, learnt.holdout_copies])
        features, messages = featurize(all_rows)
        with progress.task("fitting on all rows"):
            training = deciding_rows(messages.take(all_rows), scaled=scaled)
            model = fit(hyperparameters, training)
    if features is not None and features.windows is not None:
        features = replace(features, windows=replace(features.windows, discount=discount))
    classes = tuple(str(c) for c in model.classes_)
    probability = privacy_probability(measured, holdout, discount)[1]
    published = privacy_probability(model, messages.take(holdout_rows), discount)[0]
    golden = published[: versions.GOLDEN_ROWS]
    truth = holdout.labels != schemas.NOT_PC
    require_findings(truth, probability, threshold, data)
    return versions.write(
        _dump(model),
        "model.joblib",
        store,
        libraries=_libraries(),
        training_rows=trained_rows.of(learnt.rows),
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
            "labels": versions.counts(rows.labels),
            "settings": {**hyperparameters._asdict(), "min_precision": recipe.min_precision, "augment": recipe.augment},
            **_augmented_part(measured, holdout_copies, len(learnt.sources) - len(rows.labels), discount, threshold),
        },
        metrics=evaluation.metrics(truth, probability, threshold),
        intervals=evaluation.intervals(truth, probability, threshold),
        golden=Golden(golden, scoring.score(model, golden).probabilities),
        baseline=versions.baseline(published, holdout.labels, probability, classes, training.x[training.decides]),
        features=features,
        embedding_model=_embedding_model(models, recipe),
        review=review_bands.review(truth, probability, threshold),
    )


def _check_augment(recipe: Recipe) -> None:
    if not 0 <= recipe.augment <= MAX_SHARE:
        raise ConfigurationError(
            f"--augment {recipe.augment:g}: copies per message must be between 0 and {MAX_SHARE:g}"
        )
    if recipe.augment and recipe.text_column is None:
        raise ConfigurationError("--augment makes copies of messages; name their column with --text_column")


def _split(labels: Labels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    first, second = train_test_split(rows, test_size=HOLDOUT, random_state=seed, stratify=labels)
    return first, second


@dataclass(frozen=True)
class _Learnt:
    """The labelled rows, and after them the augmented copies of both sides of the split.

    Attributes:
        rows: All of them.
        sources: The number of the row that each is, or is a copy of.
        train_copies: The numbers of the copies of training rows; they hold nothing of the hold-out.
        holdout_copies: The numbers of the copies of the hold-out.
    """

    rows: Labelled
    sources: Rows
    train_copies: Rows
    holdout_copies: Rows


def _with_copies(rows: Labelled, train_rows: Rows, holdout_rows: Rows, recipe: Recipe) -> _Learnt:
    if not recipe.augment:
        none = np.empty(0, dtype=np.int64)
        return _Learnt(rows, np.arange(len(rows.labels)), none, none)
    texts, sources, copied = list(rows.texts or ()), [np.arange(len(rows.labels))], []
    for number, side in enumerate((train_rows, holdout_rows)):
        messages = rows.take(side)
        copies = augment(messages.texts or (), messages.labels, share=recipe.augment, seed=2 * recipe.seed + number)
        copied.append(np.arange(len(copies.texts)) + len(texts))
        texts += copies.texts
        sources.append(side[copies.sources])
    source = np.concatenate(sources)
    return _Learnt(replace(rows, texts=tuple(texts), labels=rows.labels[source]), source, *copied)


def _augmented_part(model: Any, holdout: Messages, copies: int, discount: float, threshold: float) -> dict[str, Any]:
    """What `trained_on` says of the copies: how many there are, and the metrics of those of the hold-out."""
    truth = holdout.labels != schemas.NOT_PC
    if not copies or min(truth.sum(), (~truth).sum()) < evaluation.MIN_ROWS_OF_CLASS:
        return {"copies": copies} if copies else {}
    probability = privacy_probability(model, holdout, discount)[1]
    return {
        "copies": copies,
        "augmented_holdout": {
            "rows": len(truth),
            "metrics": evaluation.metrics(truth, probability, threshold),
            "intervals": evaluation.intervals(truth, probability, threshold),
        },
    }


def _featurize_function(
    learnt: _Learnt, data: str, models: str, recipe: Recipe
) -> Callable[[Rows], FeaturesAndMessages]:
    """A function that fits the features on training rows, and returns them with the windows of all rows.

    Encodes each window once. For vectors there is nothing to fit.
    """
    rows = learnt.rows
    if rows.texts is None:
        whole = Messages.whole(rows.vectors, rows.labels)
        return lambda _: (None, whole)
    texts = cleaning.clean(rows.texts)
    encoder = serving.find_encoder(recipe.encoder or package.only_one(models), recipe.runtime.backend)
    sources = learnt.sources if recipe.augment else None
    spoken = languages.shares(languages.detect(texts))
    limits = WindowLimits()
    split = split_texts(texts, limits)
    opened = serving.open_encoder(encoder, recipe.runtime.backend, recipe.runtime.threads)
    with progress.task("encoding", total=len(split.windows), unit="windows") as step:
        encoded = opened.encode(split.texts, step.advance)

    @progress.task("choosing TF-IDF terms")
    def featurize(train_rows: Rows) -> FeaturesAndMessages:
        train_texts, labels = [texts[row] for row in train_rows], rows.labels[train_rows].tolist()
        try:
            terms = tfidf.fit(train_texts, labels, analyzer=_ANALYZER, ngrams=_NGRAMS)
        except ValueError as error:
            raise ConfigurationError(f"--data {data} cannot train on text: {error}; label more messages") from None
        messages = Messages(join(encoded, terms, split.texts), split.counts, rows.labels, sources)
        return Features(encoder.sha256, terms, cleaning.VERSION, limits, spoken), messages

    return featurize


def _embedding_model(models: str, recipe: Recipe) -> str:
    """What makes the vectors: the encoder by its name, and the terms."""
    if recipe.text_column is None:
        return schemas.EMBEDDING_MODEL
    encoder = serving.name_of(recipe.encoder or package.only_one(models), recipe.runtime.backend)
    return f"{encoder}+tfidf{schemas.TFIDF_DIM}" if encoder else schemas.EMBEDDING_MODEL


def _threshold(
    recipe: Recipe, hyperparameters: Hyperparameters, messages: Messages, discount: float, data: str
) -> float:
    """The threshold, chosen on the training rows without the hold-out."""
    if recipe.min_precision is None:
        return recipe.threshold
    threshold = choose_threshold(hyperparameters, messages, recipe.min_precision, discount)
    if threshold is None:
        raise ConfigurationError(
            f"--data {data}: no threshold reaches --min_precision {recipe.min_precision:g}; ask for less, or label "
            "more rows"
        )
    return threshold


def require_findings(truth: evaluation.Truth, probability: scoring.Floats, threshold: float, data: str) -> None:
    """Raise ConfigurationError if no PC row of the hold-out reaches the threshold; warn if the hold-out is small."""
    found, positive, rows = int((probability[truth] >= threshold).sum()), probability >= threshold, int(truth.sum())
    if not found:
        raise ConfigurationError(
            f"--data {data}: at the threshold {threshold:g} the model finds none of the {rows:,} PC rows of the "
            f"hold-out (highest P(PC) {probability[truth].max():.3f}), so no version is written; label more rows of "
            "PC, or lower --threshold"
        )
    for name, whole in (("recall", rows), ("precision", int(positive.sum()))):
        low, high = evaluation.wilson(found, whole)
        if high - low > MAX_INTERVAL:
            _log.warning(
                "the hold-out is too small to tell how good the version is: its %s of %.2f may be %.2f to %.2f (%d of "
                "%d rows); label about %d times as many rows",
                *(name, found / whole, low, high, found, whole),
                math.ceil(evaluation.rows_for(found / whole, MAX_INTERVAL) / whole),
            )


def _dump(model: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


def _libraries() -> dict[str, str]:
    import joblib
    import sklearn

    return {"scikit-learn": sklearn.__version__, "joblib": joblib.__version__}


def metrics_line(metrics: Mapping[str, Any]) -> str:
    """The metrics of a hold-out in one line."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
