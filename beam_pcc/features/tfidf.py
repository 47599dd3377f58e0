"""The TF-IDF half of a vector: 200 terms and their weights, stored as JSON and computed by scikit-learn.

Terms are selected on the training rows: those that best separate PC from NOT_PC, without several fragments of one word.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas

Analyzer = Literal["word", "char_wb"]
_ANALYZERS = ("word", "char_wb")
_MAX_NGRAM = 8
_CANDIDATES = 3_000  # the best terms, which are compared with each other
_MAX_OVERLAP = 0.5  # Jaccard index of the texts that contain two terms


@dataclass(frozen=True)
class Tfidf:
    """A fitted TF-IDF of exactly 200 terms. Other terms are ignored.

    Attributes:
        terms: The vocabulary, in the order of the vector's values.
        idf: Inverse document frequency of each term.
        analyzer: Whether terms consist of words, or of characters within words.
        ngrams: The smallest and the largest number of them in a term.
        sublinear: Whether n occurrences of a term count 1 + ln(n) instead of n.
    """

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    analyzer: Analyzer
    ngrams: tuple[int, int]
    sublinear: bool = True

    def __post_init__(self) -> None:
        if len(self.terms) != schemas.TFIDF_DIM or len(set(self.terms)) != len(self.terms):
            raise ValueError(f"tfidf must have {schemas.TFIDF_DIM} terms, each once")
        if len(self.idf) != len(self.terms) or not all(math.isfinite(value) and value > 0 for value in self.idf):
            raise ValueError("tfidf must have a positive idf for each term")
        if self.analyzer not in _ANALYZERS or not 1 <= self.ngrams[0] <= self.ngrams[1] <= _MAX_NGRAM:
            raise ValueError("tfidf has an analyzer or ngrams that are not known")

    def to_json(self) -> dict[str, Any]:
        """The value in metadata.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tfidf:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        first, last = value["ngrams"]
        terms = tuple(value["terms"])
        if not all(isinstance(term, str) for term in terms):
            raise TypeError("tfidf has a term that is no text")
        idf = tuple(float(number) for number in value["idf"])
        return cls(terms, idf, value["analyzer"], (int(first), int(last)), bool(value["sublinear"]))

    def vectorizer(self) -> Any:
        """scikit-learn's TfidfVectorizer with this vocabulary and these weights."""
        vectorizer = _vectorizer(self.analyzer, self.ngrams, self.sublinear, vocabulary=list(self.terms))
        vectorizer.idf_ = np.array(self.idf)
        return vectorizer


def fit(texts: Sequence[str], labels: Sequence[str], *, analyzer: Analyzer, ngrams: tuple[int, int]) -> Tfidf:
    """Select 200 terms by the chi-squared statistic of their weights for PC against NOT_PC, and fit their weights.

    Of terms that mostly occur in the same texts, such as the fragments of one word, it selects the best one. The others
    follow if there are too few terms without them.

    Args:
        texts: Of the training rows only.
        labels: Of the same rows.
        analyzer: See `Tfidf`.
        ngrams: See `Tfidf`.

    Raises:
        ValueError: The texts have fewer than 200 terms.
    """
    from sklearn.feature_selection import chi2

    vectorizer = _vectorizer(analyzer, ngrams, True, min_df=_min_document_frequency(len(texts)))
    weights = vectorizer.fit_transform(texts)
    names = vectorizer.get_feature_names_out()
    if len(names) < schemas.TFIDF_DIM:
        raise ValueError(
            f"the texts have {len(names)} terms that are there more than once, but {schemas.TFIDF_DIM} are needed"
        )
    scores = np.nan_to_num(chi2(weights, np.array(labels) != schemas.NOT_PC)[0])
    candidates = np.argsort(-scores, kind="stable")[:_CANDIDATES]
    best = np.sort(candidates[_without_overlap(weights[:, candidates])])
    return Tfidf(tuple(str(n) for n in names[best]), tuple(float(v) for v in vectorizer.idf_[best]), analyzer, ngrams)


def _without_overlap(weights: Any) -> npt.NDArray[np.int64]:
    """The first 200 columns of a sparse matrix; columns that overlap with an earlier one come last."""
    present = (weights > 0).astype(np.float32)
    both = (present.T @ present).toarray()
    counts = both.diagonal()
    overlap = both / (counts[:, None] + counts[None, :] - both)
    selected: list[int] = []
    for column in range(len(overlap)):
        if len(selected) == schemas.TFIDF_DIM:
            break
        if not selected or overlap[column, selected].max() <= _MAX_OVERLAP:
            selected.append(column)
    others = np.setdiff1d(np.arange(len(overlap)), selected)
    return np.concatenate([np.array(selected, dtype=np.int64), others])[: schemas.TFIDF_DIM]


def _min_document_frequency(texts: int) -> int:
    """How many texts must contain a term: a rare term identifies its writers, not the label."""
    return 2 if texts < 1_000 else 4


def _vectorizer(analyzer: str, ngrams: tuple[int, int], sublinear: bool, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=ngrams, sublinear_tf=sublinear, strip_accents="unicode", dtype=np.float64, **more
    )
