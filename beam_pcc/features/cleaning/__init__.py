"""What the customer wrote, without what mail systems, desks and shops put around it.

Training and scoring clean alike: a model's metadata names the version of the cleaning that it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

VERSION = 1
"""Of new models. 0 leaves texts as they are: models that are older than the cleaning."""


def clean(texts: Sequence[str], version: int = VERSION) -> list[str]:
    """Clean each text; a text that is not blank never becomes blank.

    Args:
        texts: Messages as the source holds them.
        version: Of the cleaning that the model was trained with.

    Raises:
        ValueError: The version is not known to this release.
    """
    check(version)
    if version == 0:
        return list(texts)
    return [text.strip() or text for text in texts]


def check(version: int) -> None:
    """Raises ValueError for a version that is not known to this release."""
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= VERSION:
        raise ValueError(f"cleaning {version!r} is not known to this release, which knows 0 to {VERSION}")
