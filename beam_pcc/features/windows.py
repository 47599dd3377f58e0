"""Splits a long text into windows of whole sentences, so that a request in it is not averaged away. Pure functions.

The rules are part of a model, which was trained with them: a change of them needs a new VERSION.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

VERSION = 1
MAX_WINDOWS = 64
"""The highest limit that a model may have."""
NOT_SCORED = "of them not scored"
"""In the place of a window whose text has sentences that are in no window."""

_GROWTH = 3  # windows of a text that is too long for the limit grow to this many times their size
_OVERLONG = 2  # a sentence of more than this many sizes is cut
_WRAPPED = range(50, 100)  # a line of this length without a full stop goes on in the next: mail is wrapped at 60 to 80
# A full stop, with what closes after it; a CJK one, which needs no space after it; the end of a line. No part of it can
# backtrack over another, so that it takes linear time.
_END = re.compile(
    r"(?P<stop>[.!?\u2026\u061f\u0964]+[\"'\u201d\u2019\u00bb)\]]*)"
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\u201d\u2019\uff09)]*"
    r"|(?P<line>[\n\r\v\f\x85\u2028\u2029]+)"
)
_ABBREVIATIONS = re.compile(
    r"\w|e\.g|i\.e|z\.b|d\.h|u\.a|p\.ex|p\.ej|dr|mr|mrs|ms|mme|prof|sr|sra|bzw|ca|vs|inkl|tel|pp", re.IGNORECASE
)
_BEFORE_NUMBERS = re.compile(r"art|abs|nos?|nr|num|p|s|st", re.IGNORECASE)
_LAST_WORD = re.compile(r"[\w.]{1,8}\Z")
_VISIBLE = re.compile(r"\w")
_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class WindowLimits:
    """How a model's texts are split.

    Attributes:
        characters: The size of a window, about 20 words. A CJK character counts three.
        whole: A text of at most this many characters is one window.
        most: Of one text. A longer text has larger windows; if these are not enough, windows are left out.
        discount: What P(PC) loses in log-odds for each ln(windows): the maximum over more windows is higher by chance.
        version: Of the rules.
    """

    characters: int = 120
    whole: int = 200
    most: int = 32
    discount: float = 0.5
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"windows of version {self.version} are not known to this release, which knows {VERSION}")
        if not 20 <= self.characters <= self.whole <= 10_000 or not 2 <= self.most <= MAX_WINDOWS:
            raise ValueError("windows have limits that are out of range")
        if not 0.0 <= self.discount <= 10.0:
            raise ValueError("windows have a discount that is out of range")

    def to_json(self) -> dict[str, Any]:
        """The value in metadata.json."""
        return {
            "characters": self.characters,
            "whole": self.whole,
            "most": self.most,
            "discount": self.discount,
            "version": self.version,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WindowLimits:
        """Inverse of `to_json`. Raises ValueError, TypeError or KeyError on anything else."""
        characters, whole, most, version = (int(value[key]) for key in ("characters", "whole", "most", "version"))
        return cls(characters, whole, most, float(value["discount"]), version)


class Window(NamedTuple):
    """A part of a text: sentences `first` to `last` of `sentences`, counted from 1.

    `left_out` sentences of the text are in no window.
    """

    text: str
    first: int
    last: int
    sentences: int
    left_out: int = 0


def split(text: str, limits: WindowLimits | None) -> list[Window]:
    """The windows of a text, in its order; at least one. They do not overlap, and are about equally long.

    A text that is short, or has one sentence, is one window, as it is. Takes time in proportion to the text.
    """
    if limits is None or len(text) * 3 <= limits.whole:  # no character counts more than three
        return [Window(text, 1, 1, 1)]
    total = _size(text)
    if total <= limits.whole:
        return [Window(text, 1, 1, 1)]
    spans = _sentences(text, limits.characters)
    if len(spans) == 1:
        return [Window(text, 1, 1, 1)]
    sizes = [_size(text[start:end]) for start, end in spans]
    size = min(max(limits.characters, -(-total // limits.most)), _GROWTH * limits.characters)
    groups = list(_balanced(sizes, size))
    windows = [
        Window(text[spans[first][0] : spans[last][1]].strip(), first + 1, last + 1, len(spans))
        for first, last in groups
    ]
    if len(windows) > limits.most:
        step = (len(windows) - 1) / (limits.most - 1)
        windows = [windows[round(place * step)] for place in range(limits.most)]
        left_out = len(spans) - sum(window.last - window.first + 1 for window in windows)
        windows = [window._replace(left_out=left_out) for window in windows]
    return windows


def sentences(text: str, characters: int = WindowLimits.characters) -> list[str]:
    """The sentences of a text. A line's end also ends one, and an overlong one is cut between words."""
    return [text[start:end].strip() for start, end in _sentences(text, characters)]


def place(window: Window) -> str | None:
    """Which part of its text a window is, such as "sentences 7-9 of 20"; None if it is the whole."""
    if window.last - window.first + 1 == window.sentences:
        return None
    which = f"sentence {window.first}" if window.first == window.last else f"sentences {window.first}-{window.last}"
    unread = f", {window.left_out} {NOT_SCORED}" if window.left_out else ""
    return f"{which} of {window.sentences}{unread}"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text) + 2 * len(_WIDE.findall(text))


def _sentences(text: str, characters: int) -> list[tuple[int, int]]:
    """Start and end of each sentence. Together they are the text; each has a letter or digit, if the text has."""
    spans: list[tuple[int, int]] = []
    start = looked = 0
    for end in _ends(text):
        if not _VISIBLE.search(text, looked, end):
            looked = end
            if spans:  # a line of dashes belongs to what is before it
                spans[-1] = spans[-1][0], end
                start = end
            continue
        spans += _pieces(text, start, end, characters)
        start = looked = end
    return spans or [(0, len(text))]


def _ends(text: str) -> Iterator[int]:
    line = 0
    for match in _END.finditer(text):
        if match["line"] is not None:
            wrapped = len(match["line"]) == 1 and match.start() - line in _WRAPPED
            line = match.end()
            if wrapped:
                continue
        elif match["stop"] is not None:
            after = text[match.end() : match.end() + 2]
            if after and not after[0].isspace():  # such as "3.5" and "example.com"
                continue
            if match["stop"] == "." and _is_abbreviation(text, match.start(), after.strip()):
                continue
        yield match.end()
    yield len(text)


def _is_abbreviation(text: str, stop: int, after: str) -> bool:
    """Whether the full stop at this place belongs to an abbreviation, an initial, or a number such as "Art. 15"."""
    word = _LAST_WORD.search(text, max(0, stop - 8), stop)
    if word is None:
        return False
    if _BEFORE_NUMBERS.fullmatch(word[0]) and after.isdecimal():
        return True
    return _ABBREVIATIONS.fullmatch(word[0]) is not None and not word[0].isdecimal()


def _pieces(text: str, start: int, end: int, characters: int) -> Iterator[tuple[int, int]]:
    """Cut text[start:end] between words if it is overlong, or anywhere if it has no spaces."""
    size = _size(text[start:end])
    if size > characters * _OVERLONG:
        width = max(1, characters * (end - start) // size)
        while (visible := _VISIBLE.search(text, start, end)) is not None:
            middle, most = visible.start() + width // 2, visible.start() + width
            cut = text.rfind(" ", middle, most) + 1 or most
            if cut >= end or not _VISIBLE.search(text, cut, end):
                break
            yield start, cut
            start = cut
    yield start, end


def _balanced(sizes: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """First and last number of each group of neighbours, whose sums are near to each other and to `size`."""
    left = sum(sizes)
    groups = -(-left // size)
    first = current = 0
    target = left / groups
    for number, own in enumerate(sizes):
        if number > first and current + own / 2 > target:
            yield first, number - 1
            left, groups = left - current, max(1, groups - 1)
            first, current, target = number, 0, left / groups
        current += own
    yield first, len(sizes) - 1
