"""Schemas of the JSON files beside a model, with limits on their size and depth.

Anybody with write access to a registry can write these files, and a run copies values of them into tables and logs.
Values that pass are safe everywhere: numbers are finite and within the range of BigQuery and DuckDB, texts are
printable and short.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from beam_pcc.cases import schemas

MAX_BYTES = 2**20
MAX_DEPTH = 12
MAX_INTEGER = 2**53
MAX_TEXT = 200
_SCORE_BINS = 10

Check: TypeAlias = Callable[[Any, str], None]
"""Raises ValueError that names the place in the file and the error."""


def parse(data: bytes) -> Any:
    """The value in a JSON file. Raises ValueError if it is too large or deep, or not strict JSON."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    try:
        value = json.loads(
            str(data, "utf-8"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_number,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("it is too deep") from None
    _check_texts(value)
    return value


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise ValueError("a number is too large")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits.replace("Infinity", "inf"))
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values


def _check_texts(value: Any) -> None:
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError("it is too deep")
        if type(item) is str:
            item.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
        elif type(item) is list:
            waiting += [(one, depth + 1) for one in item]
        elif type(item) is dict:
            waiting += [(one, depth + 1) for pair in item.items() for one in pair]


def _wrong(at: str, reason: str) -> ValueError:
    return ValueError(f"{at or 'it'} {reason}")


def text(limit: int = MAX_TEXT, *, pattern: str = r".*", printable: bool = True) -> Check:
    """A text of at most `limit` characters on one line."""
    compiled = re.compile(pattern, re.ASCII | re.DOTALL)

    def check(value: Any, at: str) -> None:
        if type(value) is not str:
            raise _wrong(at, f"is {_kind(value)}, not text")
        if len(value) > limit or (printable and not value.isprintable()) or not compiled.fullmatch(value):
            raise _wrong(at, f"is no text of that kind, or has more than {limit} characters")

    return check


def number(low: float = -1e15, high: float = 1e15, *, within: bool = True) -> Check:
    """A finite number from `low` to `high`; `within` includes both."""

    def check(value: Any, at: str) -> None:
        if type(value) not in (int, float):
            raise _wrong(at, f"is {_kind(value)}, not a number")
        if not low <= value <= high or (not within and value in (low, high)):
            raise _wrong(at, f"is not between {low:g} and {high:g}")

    return check


def integer(low: int = -MAX_INTEGER, high: int = MAX_INTEGER) -> Check:
    """A whole number."""

    def check(value: Any, at: str) -> None:
        if type(value) is not int:
            raise _wrong(at, f"is {_kind(value)}, not a whole number")
        if not low <= value <= high:
            raise _wrong(at, f"is not between {low} and {high}")

    return check


def boolean(value: Any, at: str) -> None:
    """True or false."""
    if type(value) is not bool:
        raise _wrong(at, f"is {_kind(value)}, not true or false")


def optional(inner: Check) -> Check:
    """Null, or a value that passes `inner`."""

    def check(value: Any, at: str) -> None:
        if value is not None:
            inner(value, at)

    return check


def many(inner: Check, low: int = 0, high: int = 100_000) -> Check:
    """A list of values that pass `inner`."""

    def check(value: Any, at: str) -> None:
        if type(value) is not list:
            raise _wrong(at, f"is {_kind(value)}, not a list")
        if not low <= len(value) <= high:
            raise _wrong(at, f"has {len(value):,} values, not {low:,} to {high:,}")
        for position, one in enumerate(value):
            inner(one, f"{at}[{position}]")

    return check


def mapping(inner: Check, keys: Check | None = None, high: int = 1_000) -> Check:
    """An object with any keys that pass `keys`, and values that pass `inner`."""
    check_key = keys or text()

    def check(value: Any, at: str) -> None:
        if type(value) is not dict:
            raise _wrong(at, f"is {_kind(value)}, not an object")
        if len(value) > high:
            raise _wrong(at, f"has more than {high:,} keys")
        for key, one in value.items():
            check_key(key, f"a key of {at or 'it'}")
            inner(one, f"{at}.{key}" if at else key)

    return check


def record(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, others: Check | None = None
) -> Check:
    """An object with known keys. Values of other keys must pass `others`; without it they may be any strict JSON."""
    known = {**required, **(optional or {})}

    def check(value: Any, at: str) -> None:
        mapping(lambda *_: None, text())(value, at)
        for key in required:
            if key not in value:
                raise _wrong(at, f"has no {key}")
        for key, one in value.items():
            inner = known.get(key, others)
            if inner is not None:
                inner(one, f"{at}.{key}" if at else key)

    return check


def plain(value: Any, at: str) -> None:
    """A number, a short text, or a small collection of them."""
    if type(value) is dict:
        mapping(plain)(value, at)
    elif type(value) is list:
        many(plain, 0, 1_000)(value, at)
    elif type(value) is str:
        text(1_000)(value, at)


def _kind(value: Any) -> str:
    return type(value).__name__


_DIGEST = text(64, pattern=r"[0-9a-fA-F]{64}")
_VERSION = text(20, pattern=r"v\d{8}_?\d{6}")
_SHARE = number(0.0, 1.0)
_BASE64 = text(MAX_BYTES, pattern=r"[A-Za-z0-9+/]*={0,2}")
_BLOCK = text(20, pattern="|".join(schemas.BLOCKS))
_METRICS = ("roc_auc", "pr_auc", "brier", "precision", "recall")

_TFIDF = record(
    {
        "terms": many(text(100, printable=False), schemas.TFIDF_DIM, schemas.TFIDF_DIM),
        "idf": many(number(0.0, 1e6), schemas.TFIDF_DIM, schemas.TFIDF_DIM),
        "analyzer": text(20),
        "ngrams": many(integer(1, 100), 2, 2),
        "sublinear": boolean,
    }
)
_WINDOWS = record(
    {
        "characters": integer(1, 10_000),
        "whole": integer(1, 10_000),
        "most": integer(1, 1_000),
        "discount": number(0.0, 10.0),
        "version": integer(1, 1_000),
    }
)
_BASELINE = record(
    {"score_histogram": many(integer(0), _SCORE_BINS, _SCORE_BINS)},
    {
        "class_shares": mapping(_SHARE),
        "norms": mapping(mapping(number())),
        "training_mean": optional(_BASE64),
        "blocks": mapping(record({"norm_mean": number(0.0), "spread": number(0.0), "mean": _BASE64}), _BLOCK),
    },
)
_REVIEW = record(
    {"bands": many(record({"band": number(0.0, 0.5), "cases": _SHARE, "errors": _SHARE}), 0, 100)},
    {"recommended": optional(number(0.0, 0.5))},
)
_FEATURES = {
    "cleaning": integer(0, 1_000),
    "windows": optional(_WINDOWS),
    "languages": optional(mapping(_SHARE)),
}
METADATA = record(
    {},
    {
        "format": integer(1, 1_000),
        "version": text(),
        "classes": optional(many(text(), 2, 1_000)),
        "threshold": optional(number(0.0, 1.0, within=False)),
        "feature_count": optional(integer(1, 100_000)),
        "embedding_model": optional(text(pattern=r".*\S.*")),
        "sha256": optional(_DIGEST),
        "trained_at": optional(text()),
        "trained_on": optional(mapping(plain)),
        "seed": optional(integer()),
        "libraries": optional(mapping(text())),
        "metrics": optional(record({}, dict.fromkeys(_METRICS, optional(number())), plain)),
        "intervals": optional(mapping(plain)),
        "golden": optional(record({"vectors": _BASE64, "probabilities": many(many(_SHARE, 2, 1_000), 1, 10_000)})),
        "baseline": optional(_BASELINE),
        "review": optional(_REVIEW),
        "features": optional(record({"encoder_sha256": _DIGEST, "tfidf": _TFIDF}, _FEATURES)),
    },
    plain,
)
"""metadata.json. Accepts unknown keys, which a later version of this package may write."""

ENTRY = record(
    {"action": text(40, pattern=r"\S+"), "version": _VERSION},
    {
        "id": text(64),
        "at": text(),
        "by": text(),
        "before": optional(_VERSION),
        "shadow": optional(_VERSION),
        "checks": optional(mapping(text(1_000))),
        "forced": optional(boolean),
        "overridden": optional(mapping(text(1_000))),
        "previous": optional(_DIGEST),
    },
    plain,
)
"""A line of promotions.jsonl, and `change` in current.json."""

POINTER = record(
    {"version": _VERSION}, {"shadow": optional(_VERSION), "promoted_at": text(), "change": optional(ENTRY)}, plain
)
"""current.json."""
