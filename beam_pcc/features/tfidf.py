"""The TF-IDF half of a vector: 200 terms and their weights, kept as JSON; its numbers are scikit-learn's own.

Terms are chosen for how well they part PC from NOT_PC, on the training rows alone, and so that no two of them are
fragments of the same words.
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
_CANDIDATES = 3_000  # of the terms that tell most: as many as are compared with each other
_MAX_OVERLAP = 0.5  # Jaccard index of the texts that two terms are in


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
    """Choose 200 terms by chi-squared of their weights against PC or NOT_PC, and weigh them.

    Of terms that are mostly in the same texts, such as the fragments of one word, only the one that tells most is
    taken; the others come in where there are too few without them.

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
    told = np.nan_to_num(chi2(weights, np.array(labels) != schemas.NOT_PC)[0])
    candidates = np.argsort(-told, kind="stable")[:_CANDIDATES]
    best = np.sort(candidates[_apart(weights[:, candidates])])
    return Tfidf(tuple(str(n) for n in names[best]), tuple(float(v) for v in found.idf_[best]), analyzer, ngrams)


def _apart(weights: Any) -> npt.NDArray[np.int64]:
    """200 columns of a sparse matrix, the first ones first, but such as overlap with one before them last."""
    present = (weights > 0).astype(np.float32)
    together = (present.T @ present).toarray()
    alone = together.diagonal()
    overlap = together / (alone[:, None] + alone[None, :] - together)
    taken: list[int] = []
    for column in range(len(overlap)):
        if len(taken) == schemas.TFIDF_DIM:
            break
        if not taken or overlap[column, taken].max() <= _MAX_OVERLAP:
            taken.append(column)
    others = np.setdiff1d(np.arange(len(overlap)), taken)
    return np.concatenate([np.array(taken, dtype=np.int64), others])[: schemas.TFIDF_DIM]


def _least(texts: int) -> int:
    """In how many texts a term must be: one that a few writers use tells of them, not of the label."""
    return 2 if texts < 1_000 else 4


def _vectorizer(analyzer: str, ngrams: tuple[int, int], sublinear: bool, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=ngrams, sublinear_tf=sublinear, strip_accents="unicode", dtype=np.float64, **more
    )
