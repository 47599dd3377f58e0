"""The TF-IDF half of a vector: 200 terms and their weights, kept as JSON; its numbers are scikit-learn's own.

Terms are chosen for how well they part the labels, on the training rows alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from beam_pcc import schemas

Analyzer = Literal["word", "char_wb"]
_ANALYZERS = ("word", "char_wb")
_MAX_NGRAM = 8


@dataclass(frozen=True)
class Tfidf:
    """A fitted TF-IDF of exactly 200 terms; terms that were never seen weigh as if they were in no text.

    Attributes:
        terms: The vocabulary, in the order of the vector's values.
        idf: Inverse document frequency of each term.
        analyzer: Whether a term is of words, or of characters within words.
        ngrams: How many of them a term has, from and to.
        sublinear: Whether a term that is there n times counts 1 + ln(n) instead of n.
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
        """For metadata.json."""
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
        made = _vectorizer(self.analyzer, self.ngrams, self.sublinear, vocabulary=list(self.terms))
        made.idf_ = np.array(self.idf)
        return made


def fit(texts: Sequence[str], labels: Sequence[str], *, analyzer: Analyzer, ngrams: tuple[int, int]) -> Tfidf:
    """Choose 200 terms by chi-squared of their weights against the labels, and weigh them.

    Args:
        texts: Of the training rows only.
        labels: Of the same rows.
        analyzer: See `Tfidf`.
        ngrams: See `Tfidf`.

    Raises:
        ValueError: The texts have fewer than 200 terms.
    """
    from sklearn.feature_selection import chi2

    found = _vectorizer(analyzer, ngrams, True, min_df=_least(len(texts)))
    weights = found.fit_transform(texts)
    names = found.get_feature_names_out()
    if len(names) < schemas.TFIDF_DIM:
        raise ValueError(
            f"the texts have {len(names)} terms that are there more than once, but {schemas.TFIDF_DIM} are needed"
        )
    told = np.nan_to_num(chi2(weights, labels)[0])
    best: npt.NDArray[np.int64] = np.sort(np.argsort(-told, kind="stable")[: schemas.TFIDF_DIM])
    return Tfidf(tuple(str(n) for n in names[best]), tuple(float(v) for v in found.idf_[best]), analyzer, ngrams)


def _least(texts: int) -> int:
    """In how many texts a term must be: one that a few writers use tells of them, not of the label."""
    return 2 if texts < 1_000 else 4


def _vectorizer(analyzer: str, ngrams: tuple[int, int], sublinear: bool, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=ngrams, sublinear_tf=sublinear, strip_accents="unicode", dtype=np.float64, **more
    )
