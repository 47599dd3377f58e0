"""Copies of labelled messages as tickets have them: quoted, with a footer, as HTML, redacted, after a complaint.

Knows nothing of models. What is added asks for nothing, so a copy has the label of its message; and it is the same for
each label, so that it tells nothing of the label.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.training import furniture
from beam_pcc.training.furniture import Furniture

MAX_SHARE = 2.0
"""Copies per message."""
MAX_ADDED = 6_000
"""How many characters a copy may have more than its message; as HTML, than 6 times its message."""
_MAX_OTHERS = 4  # messages of other customers that stand in for the rest of a long letter
_MAX_OTHER = 300  # characters of one of them
_TWO_SHAPES = 0.4  # share of the copies that have two


class Copies(NamedTuple):
    """Augmented messages.

    Attributes:
        texts: n texts.
        sources: (n,) the number of the message that each is a copy of.
    """

    texts: tuple[str, ...]
    sources: npt.NDArray[np.int64]


class _Phrases(NamedTuple):
    """What a copy is made of: phrases of its language, other messages of it that are NOT_PC, and random numbers."""

    furniture: Furniture
    others: Sequence[str]
    random: np.random.Generator

    def one(self, phrases: Sequence[str]) -> str:
        return phrases[int(self.random.integers(len(phrases)))]

    def filled(self, phrases: Sequence[str]) -> str:
        """A phrase with a name, an address and a date."""
        return self.one(phrases).format(
            name=self.one(furniture.NAMES), address=self.one(furniture.ADDRESSES), date=self.one(furniture.DATES)
        )

    def redacted(self, template: str, **values: str) -> str:
        """A template with a placeholder in each {}."""
        return template.format(*(self.one(furniture.PLACEHOLDERS) for _ in range(template.count("{}"))), **values)

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)


Shape: TypeAlias = Callable[[str, _Phrases], str]


def _complaint(text: str, phrases: _Phrases) -> str:
    """A long letter: complaints and other matters before the request, after it, or around it."""
    others = min(len(phrases.others), int(phrases.random.integers(_MAX_OTHERS + 1)))
    parts = [phrases.one(phrases.others)[:_MAX_OTHER] for _ in range(others)]
    parts += [phrases.one(phrases.furniture.complaints) for _ in range(int(phrases.random.integers(1, 4)))]
    order = phrases.random.permutation(len(parts)).tolist()
    parts = [parts[place] for place in order]
    place = {0: 0, 1: len(parts)}.get(int(phrases.random.integers(3)), len(parts) // 2)
    return phrases.one((" ", "\n", "\n\n")).join([*parts[:place], text, *parts[place:]])


def _polite(text: str, phrases: _Phrases) -> str:
    return f"{phrases.one(phrases.furniture.greetings)}\n\n{text}\n\n{phrases.one(phrases.furniture.closings)}"


def _placeholders(text: str, phrases: _Phrases) -> str:
    """Sentences about the writer, whose names a redaction replaced."""
    first, last = (phrases.redacted(phrases.one(phrases.furniture.introductions)) for _ in range(2))
    signature = f"\n{phrases.one(phrases.furniture.closings)}\n{phrases.one(furniture.PLACEHOLDERS)}"
    return f"{first} {text}{f' {last}' if phrases.chance(0.5) else ''}{signature if phrases.chance(0.5) else ''}"


def _form(text: str, phrases: _Phrases) -> str:
    # A message may have braces of its own, so it is put in after the placeholders.
    before, after = phrases.one(phrases.furniture.forms).split("{message}")
    return f"{phrases.redacted(before)}{text}{phrases.redacted(after)}"


def _footer(text: str, phrases: _Phrases) -> str:
    footers = dict.fromkeys(
        phrases.filled(phrases.furniture.footers) for _ in range(int(phrases.random.integers(1, 3)))
    )
    return "\n\n".join([text, *footers])


def _quoted(phrases: _Phrases) -> str:
    """A reply of the support under its attribution, each line with a mark as mail clients do, or without."""
    mark = phrases.one(("> ", "> ", ">", "| ", ""))
    lines = phrases.filled(phrases.furniture.replies).replace(". ", ".\n").splitlines()
    attribution = phrases.filled(phrases.furniture.attributions)
    return "\n".join([attribution, *(f"{mark}{line}" for line in lines)])


def _reply_above(text: str, phrases: _Phrases) -> str:
    return f"{text}\n\n{_quoted(phrases)}"


def _reply_below(text: str, phrases: _Phrases) -> str:
    return f"{_quoted(phrases)}\n\n{text}"


def _forwarded(text: str, phrases: _Phrases) -> str:
    return f"{phrases.filled(phrases.furniture.forwards)}\n\n{text}"


def _banner(text: str, phrases: _Phrases) -> str:
    return f"{phrases.filled(phrases.furniture.banners)}\n\n{text}"


def _html(text: str, phrases: _Phrases) -> str:
    """The source of an HTML mail, with or without a style sheet."""
    lines = html.escape(text).splitlines()
    if phrases.chance(0.5):
        body = "".join(f"<p class='a{place % 3}'>{line}</p>" for place, line in enumerate(lines))
    else:
        body = "<br>\n".join(lines)
    rules = int(phrases.random.integers(20))
    style = "".join(
        f"p.a{rule}{{margin:{rule}pt;font:1{rule % 10}px Verdana;color:#11{rule:02}aa}}" for rule in range(rules)
    )
    head = f"<head><meta charset='utf-8'><style>{style}</style></head>" if phrases.chance(0.5) else ""
    return f"<html>{head}<body bgcolor='#ffffff'><div>{body}</div></body></html>"


# In the order in which a copy gets them: the writer's own words, then what the mail client and the gateway add.
SHAPES: dict[str, Shape] = {
    "complaint": _complaint,
    "polite": _polite,
    "placeholders": _placeholders,
    "form": _form,
    "footer": _footer,
    "reply_above": _reply_above,
    "reply_below": _reply_below,
    "forwarded": _forwarded,
    "banner": _banner,
    "html": _html,
}


def augment(texts: Sequence[str], labels: Labels, *, share: float, seed: int) -> Copies:
    """Make `share` copies of each message on average, of shapes that are equally frequent in each class.

    Copies hold parts of other messages of `texts`: call it for each side of a split apart.

    Args:
        texts: n messages.
        labels: (n,) PC, NOT_PC or PC/<subtype>.
        share: From 0 to MAX_SHARE.
        seed: The same seed and messages give the same copies.
    """
    if not 0 <= share <= MAX_SHARE:
        raise ValueError(f"share must be between 0 and {MAX_SHARE:g}")
    generator = np.random.default_rng(seed)
    languages = [language(text) for text in texts]
    negative = np.flatnonzero(labels == schemas.NOT_PC).tolist()
    others = {name: [texts[row] for row in negative if languages[row] == name] for name in furniture.LANGUAGES}
    sources, first, second = [], [], []
    for rows in (np.flatnonzero(labels == schemas.NOT_PC), np.flatnonzero(labels != schemas.NOT_PC)):
        copied = np.tile(generator.permutation(rows), int(MAX_SHARE))[: round(share * len(rows))]
        # Dealt in turn, from a random one on: the shapes of a class differ by one copy at most.
        shapes = (np.arange(len(copied)) + generator.integers(len(SHAPES))) % len(SHAPES)
        sources.append(copied)
        first.append(shapes)
        second.append((shapes + generator.integers(1, len(SHAPES), len(copied))) % len(SHAPES))
    rows = np.concatenate(sources).astype(np.int64)
    names = list(SHAPES)
    both = generator.random(len(rows)) < _TWO_SHAPES
    made = []
    for row, one, other, two in zip(
        rows.tolist(), np.concatenate(first).tolist(), np.concatenate(second).tolist(), both.tolist(), strict=True
    ):
        phrases = _Phrases(furniture.LANGUAGES[languages[row]], others[languages[row]], generator)
        text = texts[row]
        for shape in sorted({one, other} if two else {one}):
            text = SHAPES[names[shape]](text, phrases)
        made.append(text)
    return Copies(tuple(made), rows)


_FREQUENT = {name: frozenset(one.words.split()) for name, one in furniture.LANGUAGES.items()}
_WORD = re.compile(r"[^\W\d_]+")


def language(text: str) -> str:
    """Which of the languages of `furniture` a text is in, by its frequent words; English if none is."""
    words = [word.casefold() for word in _WORD.findall(text[:2_000])]
    counts = {name: sum(word in frequent for word in words) for name, frequent in _FREQUENT.items()}
    return max(counts, key=lambda name: counts[name])
