"""Labelled rows that a version was trained on are recognised, however they are written."""

from pathlib import Path

import numpy as np
import pytest

from beam_pcc.cases import schemas
from beam_pcc.evaluation import trained_rows
from beam_pcc.evaluation.labelled import Labelled
from beam_pcc.models.registry import Registry
from beam_pcc.models.training_rows import TrainingRows

VERSION = "v20261120_020000"
KNOWN = "Please delete all the data you hold about me."


def texts(*messages: str) -> Labelled:
    return Labelled(np.array(["PC"] * len(messages)), texts=messages)


def vectors(*values: float) -> Labelled:
    rows = np.array([[value] * schemas.VECTOR_DIM for value in values], np.float32)
    return Labelled(np.array(["PC"] * len(values)), vectors=rows)


def registry(folder: Path, rows: Labelled | TrainingRows | None, version: str = VERSION) -> Registry:
    """A registry whose version was trained on these rows."""
    (folder / version).mkdir()
    if rows is not None:
        digests = trained_rows.of(rows) if isinstance(rows, Labelled) else rows
        (folder / version / "training_rows.bin").write_bytes(digests.to_bytes())
    return Registry(str(folder))


@pytest.mark.parametrize(
    "again",
    [
        KNOWN,
        "  please DELETE all the data, you hold about me!!",
        f"{KNOWN}\n\nOn Monday, 3 May 2026, Support wrote:\n> How can we help you with your order?",
        f"<html><body><p>{KNOWN}</p></body></html>",
    ],
)
def test_message_is_recognised_in_other_forms(tmp_path: Path, again: str) -> None:
    unseen = trained_rows.without(registry(tmp_path, texts(KNOWN)), [VERSION], texts(again, "where is my parcel"))
    assert (unseen.rows.texts, unseen.left_out, unseen.notes) == (("where is my parcel",), 1, ())


def test_trained_message_with_a_footer_is_recognised_without(tmp_path: Path) -> None:
    quoted = f"{KNOWN}\n\nOn Monday, 3 May 2026, Support wrote:\n> How can we help you with your order?"
    assert trained_rows.without(registry(tmp_path, texts(quoted)), [VERSION], texts(KNOWN)).left_out == 1


def test_vectors_are_recognised_by_their_values(tmp_path: Path) -> None:
    unseen = trained_rows.without(registry(tmp_path, vectors(0.0, 1.0)), [VERSION], vectors(-0.0, 1.0, 2.0))
    assert (unseen.rows.vectors[:, 0].tolist(), unseen.left_out) == ([2.0], 2)


def test_rows_of_either_version_are_left_out(tmp_path: Path) -> None:
    registry(tmp_path, vectors(1.0))
    both = registry(tmp_path, vectors(2.0), "v20261121_020000")
    unseen = trained_rows.without(both, [VERSION, "v20261121_020000"], vectors(1.0, 2.0, 3.0))
    assert (unseen.rows.vectors[:, 0].tolist(), unseen.left_out) == ([3.0], 2)


@pytest.mark.parametrize(
    ("known", "note"),
    [
        (None, "does not say which rows it was trained on"),
        (vectors(1.0), "was trained on vectors, which cannot be compared with these rows"),
    ],
)
def test_what_cannot_be_told_is_noted(tmp_path: Path, known: Labelled | None, note: str) -> None:
    unseen = trained_rows.without(registry(tmp_path, known), [VERSION], texts(KNOWN))
    assert (unseen.left_out, unseen.notes) == (0, (f"{VERSION} {note}",))


def test_incomplete_digests_are_noted(tmp_path: Path) -> None:
    whole = trained_rows.of(texts(KNOWN))
    part = TrainingRows("texts", whole.cleaning, whole.salt, whole.digests, left_out=5)
    unseen = trained_rows.without(registry(tmp_path, part), [VERSION], texts(KNOWN, "other"))
    assert (unseen.left_out, unseen.notes) == (1, (f"{VERSION} knows only a part of its training rows",))


def test_digests_of_a_later_cleaning_are_used_in_part(tmp_path: Path) -> None:
    whole = trained_rows.of(texts(KNOWN))
    later = TrainingRows("texts", 999, whole.salt, whole.digests)
    assert trained_rows.without(registry(tmp_path, later), [VERSION], texts(KNOWN)).left_out == 1
