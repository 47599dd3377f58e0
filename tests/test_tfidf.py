"""The TF-IDF half: scikit-learn's own numbers, through JSON and back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from beam_pcc.cases import schemas
from beam_pcc.features import tfidf
from tests.messages import labelled_messages

TEXTS, LABELS = labelled_messages(120)


@pytest.fixture(scope="module", params=["word", "char_wb"])
def fitted(request: pytest.FixtureRequest) -> tfidf.Tfidf:
    return tfidf.fit(TEXTS, LABELS, analyzer=request.param, ngrams=(1, 2) if request.param == "word" else (3, 5))


def through_json(terms: tfidf.Tfidf) -> tfidf.Tfidf:
    return tfidf.Tfidf.from_json(json.loads(json.dumps(terms.to_json())))


@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
def test_numbers_are_those_of_scikit_learns_own_class(texts: list[str]) -> None:
    found = through_json(CHARS).vectorizer().transform([*texts, *TEXTS[:3]]).toarray()
    np.testing.assert_array_equal(found, OWN.transform([*texts, *TEXTS[:3]]).toarray())


CHARS = tfidf.fit(TEXTS, LABELS, analyzer="char_wb", ngrams=(3, 5))
OWN = TfidfVectorizer(
    analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, strip_accents="unicode", vocabulary=CHARS.terms
).fit(TEXTS)


def test_two_hundred_terms_are_chosen(fitted: tfidf.Tfidf) -> None:
    assert len(set(fitted.terms)) == schemas.TFIDF_DIM


def test_json_keeps_every_number(fitted: tfidf.Tfidf) -> None:
    assert through_json(fitted) == fitted


def test_terms_depend_on_the_labels_and_on_nothing_else(fitted: tfidf.Tfidf) -> None:
    alone = tfidf.fit(TEXTS, LABELS, analyzer=fitted.analyzer, ngrams=fitted.ngrams)
    assert alone == fitted
    swapped = tfidf.fit(
        TEXTS, np.random.default_rng(0).permutation(LABELS), analyzer=fitted.analyzer, ngrams=fitted.ngrams
    )
    assert swapped.terms != fitted.terms


def test_fragments_of_one_word_are_taken_once() -> None:
    rng = np.random.default_rng(0)
    words = [str(number) for number in range(100, 500)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(300)]
    texts = [f"{text} erasure" if row % 2 else text for row, text in enumerate(texts)]
    labels = ["PC/deletion" if row % 2 else schemas.NOT_PC for row in range(300)]
    terms = tfidf.fit(texts, labels, analyzer="char_wb", ngrams=(3, 5)).terms

    assert sum(term.strip() in "erasure" for term in terms) == 1


def test_too_few_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="200 are needed"):
        tfidf.fit(["one two three"] * 10, ["PC"] * 5 + ["NOT_PC"] * 5, analyzer="word", ngrams=(1, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"terms": ["a"] * 200},
        {"terms": [str(n) for n in range(199)]},
        {"terms": list(range(200))},
        {"idf": [1.0] * 199},
        {"idf": [float("nan")] * 200},
        {"idf": [-1.0] * 200},
        {"idf": ["x"] * 200},
        {"analyzer": "lambda"},
        {"ngrams": [0, 1]},
        {"ngrams": [3, 99]},
        {"ngrams": 3},
    ],
)
def test_what_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        tfidf.Tfidf.from_json({**CHARS.to_json(), **wrong})
