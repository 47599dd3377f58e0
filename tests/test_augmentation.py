"""Augmented copies of messages: what is in them, how many there are, and that they tell nothing of the label."""

import html
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.training import augmentation, furniture
from beam_pcc.training.augmentation import MAX_ADDED, SHAPES, augment, language

MESSAGES = [f"Where is the parcel number {n} that I bought from you?" for n in range(40)]
LABELS = np.array(["NOT_PC", "NOT_PC", "NOT_PC", "PC/access"] * 10)


def squeezed(text: str) -> str:
    """Without markup, quoting of HTML, and spaces."""
    return "".join(html.unescape(re.sub(r"</?[a-z][^>]*>", "", text)).split())


@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=12), st.integers(0, 2**31), st.floats(0, 2))
def test_each_copy_has_its_whole_message(texts: list[str], seed: int, share: float) -> None:
    labels = np.array(["PC" if row % 2 else "NOT_PC" for row in range(len(texts))])
    copies = augment(texts, labels, share=share, seed=seed)

    assert len(copies.texts) == len(copies.sources) <= 2 * len(texts) + 2
    for copy, source in zip(copies.texts, copies.sources.tolist(), strict=True):
        assert len(copy) <= 6 * len(texts[source]) + MAX_ADDED
        if not re.search(r"[<&]", texts[source]):  # which `squeezed` takes for markup
            assert squeezed(texts[source]) in squeezed(copy)


def test_the_same_seed_gives_the_same_copies() -> None:
    first, second = (augment(MESSAGES, LABELS, share=1.5, seed=3) for _ in range(2))
    other = augment(MESSAGES, LABELS, share=1.5, seed=4)

    assert first.texts == second.texts
    assert first.sources.tolist() == second.sources.tolist()
    assert first.texts != other.texts


@pytest.mark.parametrize(("share", "counts"), [(0.0, {}), (0.5, {1: 20}), (1.0, {1: 40}), (1.5, {1: 20, 2: 20})])
def test_share_is_the_number_of_copies(share: float, counts: dict[int, int]) -> None:
    copies = augment(MESSAGES, LABELS, share=share, seed=0)
    assert Counter(Counter(copies.sources.tolist()).values()) == counts


@pytest.mark.parametrize("share", [-0.1, 2.1])
def test_a_share_beyond_the_limits_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 2"):
        augment(MESSAGES, LABELS, share=share, seed=0)


def test_each_class_has_the_same_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of each shape, so that a footer or a form is no sign of a class."""
    for name in SHAPES:
        monkeypatch.setitem(SHAPES, name, lambda text, _, name=name: f"{text} +{name}")
    monkeypatch.setattr(augmentation, "_TWO_SHAPES", 0.0)
    copies = augment(MESSAGES, LABELS, share=2.0, seed=0)
    shapes: dict[str, Counter[str]] = {"NOT_PC": Counter(), "PC/access": Counter()}
    for copy, source in zip(copies.texts, copies.sources.tolist(), strict=True):
        shapes[str(LABELS[source])][copy.rpartition("+")[2]] += 1

    assert shapes["NOT_PC"] == dict.fromkeys(SHAPES, 6)
    assert shapes["PC/access"] == dict.fromkeys(SHAPES, 2)


def test_a_letter_holds_other_messages_of_no_request() -> None:
    texts = [f"{word}{n} is what I write to you about" for word in ("delete", "parcel") for n in range(20)]
    labels = np.array(["PC"] * 20 + ["NOT_PC"] * 20)
    copies = augment(texts, labels, share=2.0, seed=0)
    others = [
        len(re.findall(r"delete\d", copy)) - (source < 20)
        for copy, source in zip(copies.texts, copies.sources.tolist(), strict=True)
    ]

    assert set(others) == {0}
    assert any(len(set(re.findall(r"parcel\d+", copy))) > 1 for copy in copies.texts)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Please tell me what you have of mine", "en"),
        ("Bitte sagen Sie mir, was Sie über mich haben", "de"),
        ("Dites-moi ce que vous avez sur moi, je vous prie", "fr"),
        ("Díganme qué tienen sobre mí, por favor, y para qué lo usan", "es"),
        ("荷物がまだ届きません", "en"),
        ("", "en"),
    ],
)
def test_language_is_that_of_the_frequent_words(text: str, name: str) -> None:
    assert language(text) == name


@pytest.mark.parametrize("name", furniture.LANGUAGES)
def test_furniture_is_of_its_language(name: str) -> None:
    of_language = furniture.LANGUAGES[name]
    for phrase in [*of_language.complaints, *of_language.replies]:
        assert language(phrase) == name, phrase
    assert all(form.count("{message}") == 1 for form in of_language.forms)
