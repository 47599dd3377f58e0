"""The audit log of a registry: a line for every change of current.json, in `<models>/promotions.jsonl`.

It is only ever added to. A pointer holds its own entry, so that one whose writer died before the log was written is
found and added by whoever comes next.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
from collections.abc import Sequence
from typing import Any, TypeAlias

from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import documents
from beam_pcc.storage.base import Store

HISTORY = "promotions.jsonl"
_ROOM = 64 * 2**10  # an entry has 300 to 1,000 bytes
_TRIES = 20
Entry: TypeAlias = dict[str, Any]
"""id, at (UTC), by (the system's user), action, version, before; of a promotion its checks, and if it was forced."""


def new_entry(action: str, version: str, before: str | None, at: str, **more: Any) -> Entry:
    """An entry that is in no log yet."""
    return {
        "id": secrets.token_hex(8),
        "at": at,
        "by": _user(),
        "action": action,
        "version": version,
        "before": before,
        **{name: value for name, value in more.items() if value is not None},
    }


def read(store: Store) -> list[Entry]:
    """All entries, oldest first. Raises ModelError if the log is broken: it is for people to mend."""
    content = store.read(HISTORY, documents.MAX_BYTES)
    return _parsed(content.data, store.path(HISTORY)) if content else []


def append(store: Store, entry: Entry) -> None:
    """Add the entry, unless it is there. Others may add theirs at the same time; none is lost."""
    for _ in range(_TRIES):
        content = store.read(HISTORY, documents.MAX_BYTES)
        data, generation = content or (b"", 0)
        if any(known.get("id") == entry["id"] for known in _parsed(data, store.path(HISTORY))):
            return
        if store.replace(HISTORY, data + json.dumps(entry).encode() + b"\n", generation):
            return
    raise ModelError(f"{store.path(HISTORY)} is changed by others all the time; run again")


def require_room(store: Store) -> None:
    """Raise ModelError if the log is broken, or too large for another entry: before anything is changed."""
    content = store.read(HISTORY, documents.MAX_BYTES)
    where = store.path(HISTORY)
    if content and len(content.data) > documents.MAX_BYTES - _ROOM:
        raise ModelError(f"{where} is full: move it away, under a name with the date, and run again")
    if content:
        _parsed(content.data, where)


def previous(entries: Sequence[Entry], current: str) -> str | None:
    """The version that was promoted before `current` was, going back over what was rolled back already."""
    stack: list[str] = []
    for entry in entries:
        if entry["action"] == "rollback" and len(stack) > 1 and stack[-2] == entry["version"]:
            stack.pop()
        elif entry["action"] in ("promote", "rollback"):
            before = entry.get("before")
            if before and stack[-1:] != [before]:
                stack.append(before)  # current.json was changed by hand in between
            stack.append(entry["version"])
    while stack and stack[-1] == current:
        stack.pop()
    return stack[-1] if stack else None


def _parsed(data: bytes, where: str) -> list[Entry]:
    try:
        entries = [documents.parse(line) for line in data.splitlines()]
        for number, entry in enumerate(entries):
            documents.ENTRY(entry, f"line {number + 1}")
    except ValueError as error:
        raise ModelError(
            f"{where} is not the log that models promote writes ({one_line(error, 120)}); mend it, or move it"
        ) from None
    return entries


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need have no name
        return str(os.getuid())
