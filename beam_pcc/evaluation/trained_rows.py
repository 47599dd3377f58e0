"""Recognises labelled rows that a version was trained on, which must not judge it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beam_pcc.evaluation.labelled import Labelled, normalised
from beam_pcc.evaluation.metrics import Truth
from beam_pcc.features import cleaning
from beam_pcc.models.registry import Registry
from beam_pcc.models.training_rows import TrainingRows


@dataclass(frozen=True)
class Unseen:
    """Labelled rows without those that a version was trained on.

    Attributes:
        rows: The rest.
        left_out: How many were left out.
        notes: What could not be told, as phrases: a version without digests, or with those of other rows.
    """

    rows: Labelled
    left_out: int
    notes: tuple[str, ...]


def of(rows: Labelled) -> TrainingRows:
    """The digests of training rows.

    A message has two: as it is, and after the cleaning; both without case, digits, spaces and punctuation. So a message
    that differs in these or in a footer only is recognised too.
    """
    if rows.texts is None:
        return TrainingRows.of(_vector_keys(rows), "vectors")
    keys = [*_text_keys(rows.texts), *_text_keys(cleaning.clean(rows.texts))]
    return TrainingRows.of(keys, "texts", cleaning.VERSION)


def without(registry: Registry, versions: list[str], rows: Labelled) -> Unseen:
    """Leave out the rows that one of the versions was trained on. Raises ModelError for a malformed file of digests."""
    trained = np.zeros(len(rows.labels), dtype=bool)
    notes = []
    for version in dict.fromkeys(versions):
        digests = registry.training_rows(version)
        if digests is None:
            notes.append(f"{version} does not say which rows it was trained on")
        elif digests.rows != ("vectors" if rows.texts is None else "texts"):
            notes.append(f"{version} was trained on {digests.rows}, which cannot be compared with these rows")
        else:
            trained |= contained(digests, rows)
            if digests.left_out:
                notes.append(f"{version} knows only a part of its training rows")
    return Unseen(rows.take(np.flatnonzero(~trained)), int(trained.sum()), tuple(notes))


def contained(digests: TrainingRows, rows: Labelled) -> Truth:
    """Whether each row is one of the training rows; both are vectors, or both texts."""
    if rows.texts is None:
        return digests.contain(_vector_keys(rows))
    found = digests.contain(_text_keys(rows.texts))
    if 0 < digests.cleaning <= cleaning.VERSION:
        found |= digests.contain(_text_keys(cleaning.clean(rows.texts, digests.cleaning)))
    return found


def _vector_keys(rows: Labelled) -> list[bytes]:
    return [(vector + np.float32(0)).astype("<f4").tobytes() for vector in rows.vectors]  # -0.0 is 0.0


def _text_keys(texts: tuple[str, ...] | list[str]) -> list[bytes]:
    return [normalised(text).encode("utf-8", "surrogatepass") for text in texts]
