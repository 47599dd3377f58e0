"""The audit log of a registry: a line for every change of current.json, in `<models>/promotions.jsonl`.

The log is append-only. current.json contains its own entry: if the writer died before it wrote the log, the next
command adds the missing entry.

The lines are a chain: each has the SHA-256 of the one before (`previous`; null of the first), and current.json has the
last line. So nobody can change, add or remove a line without changing all that follow and current.json. Who can write
all of these can write another chain.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import documents
from beam_pcc.storage.base import Store

HISTORY = "promotions.jsonl"
_RESERVED_BYTES = 64 * 2**10  # for the next entry, which has 300 to 1,000 bytes
_ATTEMPTS = 20
Entry: TypeAlias = dict[str, Any]
"""id, at (UTC), by (the system's user), action, version, before, previous; for a promotion also checks, forced and
overridden. Entries of earlier releases have no `previous`."""
CHAINED = "previous"


class Chain(NamedTuple):
    """A log whose chain is whole.

    Attributes:
        lines: How many there are.
        unchained: How many at the beginning are of an earlier release and have no chain: only the last of them, if
            others follow, is known to be unchanged.
        sha256: Of the last line; None if there is none.
        pending: Whether the last change is in current.json only; the next command adds it.
        by_hand: The version in current.json, if no line made it current: a person wrote it there.
    """

    lines: int
    unchained: int
    sha256: str | None
    pending: bool = False
    by_hand: str | None = None


def new_entry(
    action: str, version: str, before: str | None, at: str, *, previous: str | None = None, **more: Any
) -> Entry:
    """Create an entry that follows the line with the digest `previous`; does not write it."""
    return {
        "id": secrets.token_hex(8),
        "at": at,
        "by": _user(),
        "action": action,
        "version": version,
        "before": before,
        CHAINED: previous,
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
        whole = data if not data or data.endswith(b"\n") else data + b"\n"  # somebody edited it
        if store.replace(HISTORY, whole + _line(entry) + b"\n", generation):
            return
    raise ModelError(f"{store.path(HISTORY)} is changed by others all the time; run again")


def last_digest(store: Store) -> str | None:
    """The digest of the last line, which the next entry has; None if there is none. Call this before a change.

    Raises:
        ModelError: The log is malformed, or too large for another entry.
    """
    content = store.read(HISTORY, documents.MAX_BYTES)
    where = store.path(HISTORY)
    if content and len(content.data) > documents.MAX_BYTES - _RESERVED_BYTES:
        raise ModelError(f"{where} is full: move it away, under a name with the date, and run again")
    if content is None:
        return None
    _parsed(content.data, where)
    return _digest(_lines(content.data)[-1]) if content.data else None


def verify(store: Store, change: Entry | None, earlier: bytes = b"") -> Chain:
    """Check that each line follows the one before, and that the last one is `change`, that of current.json.

    Args:
        store: The registry's files.
        change: The entry in current.json; None if it has none, as of an earlier release or if a person wrote it.
        earlier: The lines of a log that was moved away, which this one continues.

    Raises:
        ModelError: Names the first line that was changed, added or removed.
    """
    content = store.read(HISTORY, documents.MAX_BYTES)
    where = store.path(HISTORY)
    old, own = _lines(earlier), _lines(content.data if content else b"")
    places = [f"line {number + 1} of the earlier log" for number in range(len(old))]
    places += [f"line {number + 1}" for number in range(len(own) + 1)]
    digest, unchained = None, 0
    ends: dict[str | None, tuple[str, bytes]] = {}
    for number, line in enumerate([*old, *own]):
        entry = _checked(line, where, places[number])
        if CHAINED not in entry and unchained == number:
            unchained += 1
        elif CHAINED not in entry:
            raise _broken(where, places[number], "it has no SHA-256 of the line before, as an earlier release wrote it")
        elif entry[CHAINED] != digest:
            raise _broken(where, places[number], _misfit(places[:number], entry[CHAINED]))
        digest = _digest(line)
        ends[entry.get("id")] = (places[number], line)
    if change is None or CHAINED not in change:
        return Chain(len(places) - 1, unchained, digest)
    if change["id"] in ends:
        place, line = ends[change["id"]]
        if line != _line(change):
            raise _broken(where, place, "it differs from the entry in current.json: one of them was changed")
        return Chain(len(places) - 1, unchained, digest)
    if change[CHAINED] != digest:
        raise _broken(
            where, places[-1], "it is missing, or the line before it was changed; current.json has a later one"
        )
    return Chain(len(places) - 1, unchained, digest, pending=True)


def _checked(line: bytes, where: str, place: str) -> Entry:
    try:
        entry: Entry = documents.parse(line)
        documents.ENTRY(entry, "it")
    except ValueError as error:
        raise _broken(where, place, f"it is no entry ({one_line(error, 120)})") from None
    return entry


def _misfit(places_before: Sequence[str], previous: str | None) -> str:
    """Why a line does not follow the one before."""
    if places_before:
        return (
            f"it does not follow {places_before[-1]}: that one was changed, one between them removed, or this one added"
        )
    return f"it continues a log whose last line has the SHA-256 {previous}: name that file with --earlier"


def _broken(where: str, place: str, reason: str) -> ModelError:
    return ModelError(f"{where}: the chain is broken at {place}: {reason}; find out who writes the registry")


def _line(entry: Entry) -> bytes:
    return json.dumps(entry).encode()


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n") if data else []


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


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
