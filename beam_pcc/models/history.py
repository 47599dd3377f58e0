"""The audit log of a registry: a line for every change of current.json, in `<models>/promotions.jsonl`.

The log is append-only. current.json contains its own entry: if the writer died before it wrote the log, the next
command adds the missing entry.
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
_RESERVED_BYTES = 64 * 2**10  # for the next entry, which has 300 to 1,000 bytes
_ATTEMPTS = 20
Entry: TypeAlias = dict[str, Any]
"""id, at (UTC), by (the system's user), action, version, before; for a promotion also checks and forced."""


def new_entry(action: str, version: str, before: str | None, at: str, **more: Any) -> Entry:
    """Create an entry; does not write it."""
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
    """All entries, oldest first. Raises ModelError if the log is malformed, which a person must repair."""
    content = store.read(HISTORY, documents.MAX_BYTES)
    return _parsed(content.data, store.path(HISTORY)) if content else []


def append(store: Store, entry: Entry) -> None:
    """Add the entry unless it exists. Safe with concurrent writers."""
    for _ in range(_ATTEMPTS):
        content = store.read(HISTORY, documents.MAX_BYTES)
        data, generation = content or (b"", 0)
        if any(known.get("id") == entry["id"] for known in _parsed(data, store.path(HISTORY))):
            return
        if store.replace(HISTORY, data + json.dumps(entry).encode() + b"\n", generation):
            return
    raise ModelError(f"{store.path(HISTORY)} is changed by others all the time; run again")


def require_room(store: Store) -> None:
    """Raise ModelError if the log is malformed or too large for another entry. Call this before a change."""
    content = store.read(HISTORY, documents.MAX_BYTES)
    where = store.path(HISTORY)
    if content and len(content.data) > documents.MAX_BYTES - _RESERVED_BYTES:
        raise ModelError(f"{where} is full: move it away, under a name with the date, and run again")
    if content:
        _parsed(content.data, where)


def previous(entries: Sequence[Entry], current: str) -> str | None:
    """The version that was current before `current`, without versions that were rolled back."""
    stack: list[str] = []
    for entry in entries:
        if entry["action"] == "rollback" and len(stack) > 1 and stack[-2] == entry["version"]:
            stack.pop()
        elif entry["action"] in ("promote", "rollback"):
            before = entry.get("before")
            if before and stack[-1:] != [before]:
                stack.append(before)  # somebody changed current.json by hand
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
    except KeyError:  # the user of a container may have no name
        return str(os.getuid())
