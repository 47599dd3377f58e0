"""The file current.json, which names the current version and its shadow. Each change is logged (`history`).

A change replaces only the generation that was read, so that one of two concurrent changes fails.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, NamedTuple

from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import documents, history
from beam_pcc.storage.base import Store

ALIAS = "current.json"


class Pointer(NamedTuple):
    """The content of current.json, and the generation of the file. All defaults if the file is missing."""

    version: str | None = None
    shadow: str | None = None
    change: history.Entry | None = None
    generation: int = 0


def read(store: Store) -> Pointer:
    """Read current.json. Raises ModelError if it is malformed."""
    content = store.read(ALIAS, documents.MAX_BYTES)
    if content is None:
        return Pointer()
    try:
        document = documents.parse(content.data)
        documents.POINTER(document, "")
    except ValueError as error:
        raise ModelError(
            f'{store.path(ALIAS)} is not {{"version": "v..."}}: {one_line(error, 120)}; mend or remove it'
        ) from None
    return Pointer(document["version"], document.get("shadow"), document.get("change"), content.generation)


def complete_log(store: Store, pointer: Pointer) -> None:
    """Add the pointer's entry to the log if its writer died before that."""
    if pointer.change is not None and "id" in pointer.change:
        history.append(store, pointer.change)


def verify_log(store: Store, earlier: bytes = b"") -> history.Chain:
    """See `history.verify`. Writes nothing."""
    before = read(store)
    while True:
        # A writer changes current.json before the log: read in this order, the log has all that current.json follows.
        chain, last = history.verify(store, before.change, earlier), history.read(store)[-1:]
        after = read(store)
        if after.generation == before.generation:
            break
        before = after  # somebody promoted meanwhile
    entry = before.change if chain.pending else next(iter(last), None)
    return chain if entry is None or entry["version"] == before.version else chain._replace(by_hand=before.version)


def changed(store: Store, now: Pointer) -> ModelError:
    """The error of a change that another one forestalled."""
    return ModelError(
        f"{store.path(ALIAS)} was changed by somebody else meanwhile (now {now.version or 'removed'}): look, and "
        "promote again"
    )


def replace(store: Store, pointer: Pointer, version: str, shadow: str | None, action: str, **details: Any) -> None:
    """Replace current.json, and add the change to the log.

    Args:
        store: The registry's files.
        pointer: The content that was read.
        version: The new current version.
        shadow: The new shadow, or None.
        action: The name of the change in the log: promote, rollback or shadow.
        details: More values for the log, except those that are None.

    Raises:
        ModelError: Somebody else changed current.json since `pointer` was read, or the log is full or malformed.
    """
    complete_log(store, pointer)
    # No other line can follow the last one before current.json is replaced: each writer completes the log first.
    previous = history.last_digest(store)
    at = dt.datetime.now(dt.timezone.utc).isoformat()
    entry = history.new_entry(action, version, pointer.version, at, previous=previous, shadow=shadow, **details)
    document = {"version": version, "promoted_at": at, **({"shadow": shadow} if shadow else {}), "change": entry}
    if not store.replace(ALIAS, (json.dumps(document) + "\n").encode(), pointer.generation):
        raise changed(store, read(store))
    history.append(store, entry)
