"""What the customer wrote, without what mail systems, desks and shops put around it.

Training and scoring clean alike: a model's metadata names the version of the cleaning that it was trained with. A
change of any rule is a new version, and the older one stays. In doubt a text is kept as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from beam_pcc.config.extras import extra
from beam_pcc.errors.machine import blames_no_row
from beam_pcc.features.cleaning import (
    encodings,
    fields,
    forms,
    furniture,
    greetings,
    markup,
    placeholders,
    signatures,
    threads,
    words,
)
from beam_pcc.terminal import logger

_log = logger(__name__)

VERSION = 1
"""Of new models. 0 leaves texts as they are: models that are older than the cleaning."""

MAX_RAW_CHARACTERS = 1_000_000
"""Of a text as the source holds it: markup may stand before the words. The rest is ignored."""

_BLANK_LINES = re.compile(r"\n{3,}")
_RUNS = re.compile(r" {2,}")


def clean(texts: Sequence[str], version: int = VERSION) -> list[str]:
    """Clean each text; a text that is not blank never becomes blank. A text that a step fails on stays as it is.

    Args:
        texts: Messages as the source holds them.
        version: Of the cleaning that the model was trained with.

    Raises:
        ConfigurationError: A library that the cleaning needs is not installed.
        ValueError: The version is not known to this release.
    """
    check(version)
    if version == 0:
        return list(texts)
    with extra("text", "cleaning messages"):
        import ftfy  # noqa: F401  # at launch, not at the first message that needs it
        import selectolax.lexbor  # noqa: F401
    failures: Counter[str] = Counter()
    cleaned = [_cleaned(text, failures) for text in texts]
    if failures:
        kinds = ", ".join(sorted(failures))
        _log.warning("%d messages could not be cleaned (%s); they are scored as they are", failures.total(), kinds)
    return cleaned


def check(version: int) -> None:
    """Raises ValueError for a version that is not known to this release."""
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= VERSION:
        raise ValueError(f"cleaning {version!r} is not known to this release, which knows 0 to {VERSION}")


def _cleaned(text: str, failures: Counter[str]) -> str:
    """The cleaned text; the text itself if a step raises, which is counted, so that it costs no other message."""
    try:
        return _clean(text)
    except Exception as error:  # a library may raise anything for a text
        if blames_no_row(error):
            raise
        failures[type(error).__name__] += 1
        return text


def _clean(raw: str) -> str:
    text = _plain(raw[:MAX_RAW_CHARACTERS])
    lines = text.split("\n")
    if len(lines) > 1:
        lines = forms.without_chat(lines) if ":" in text else lines
        if ">" in text or ":" in text or "--" in text or "##" in text:
            own, forwards = threads.without_history(lines, _says_something)
            if own != lines:
                cleaned = _finished(own)
                if words.count(cleaned, 3) >= 3 and (forwards or not words.points_to_thread(cleaned)):
                    return _visible(greetings.without_greetings(cleaned), raw)
                lines = threads.unquoted(lines)
    cleaned = _finished(lines)
    if words.count(cleaned, 2) >= 2 or words.count(cleaned, 1) == words.count(text, 2):
        return _visible(greetings.without_greetings(cleaned), raw)
    return _visible(_tidy("\n".join(lines)), raw)


def _plain(text: str) -> str:
    """The text without its transport: encodings, markup, targets of links; with one form for what was redacted."""
    if "<style" in text or "<!--" in text:  # before all else: they may be most of it
        text = markup.without_styles(text)
    text = encodings.decode(text)
    is_html = markup.is_html(text)
    text = placeholders.neutral_tags(markup.without_styles(text)) if is_html else placeholders.neutral(text)
    if is_html:
        text = placeholders.neutral(encodings.entities(markup.to_text(text)))
    elif "&" in text:
        if markup.is_escaped_html(text):
            text = markup.to_text(encodings.entities(text))
        text = placeholders.neutral(encodings.entities(text))
    return placeholders.without_tokens(text)


def _finished(lines: list[str]) -> str:
    """The customer's lines without signatures, fields of forms, prefixes and furniture."""
    lower = "\n".join(lines).lower()
    if signatures.has_trigger(lower):
        lines = signatures.without_signature(lines)
    if (len(lines) > 1 or "=" in lower) and fields.may_have_fields(lower):
        lines = fields.without_fields(lines)
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is not None and ("[" in lines[first] or ":" in lines[first]):
        lines = [*lines[:first], forms.without_prefix(lines[first]), *lines[first + 1 :]]
    return _tidy(placeholders.without_introductions(furniture.without_furniture("\n".join(lines))))


def _says_something(lines: list[str]) -> bool:
    return words.says_something(furniture.without_furniture("\n".join(lines[:200]), notices_too=False).split("\n"))


def _tidy(text: str) -> str:
    text = placeholders.final(text)
    if "  " in text:
        text = _RUNS.sub(" ", text)
    if "\n" in text:
        text = "\n".join([line.strip() for line in text.split("\n")])
        if "\n\n\n" in text:
            text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()


def _visible(text: str, raw: str) -> str:
    return text if text and not text.isspace() else raw
