"""Reading a skops file that may build nothing but what `allowed` lists.

A skops file is a zip of arrays and of schema.json, a tree of nodes that each name a type and a loader. skops audits
the types, but by a generous list of its own; so every node is checked here first, and skops is then given an
archive of just the members that were checked. What the finished object holds is for `contents` to judge.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from typing import Any

import numpy as np

from beam_pcc.models import allowed, trees
from beam_pcc.models.allowed import RefusedError

MAX_MEMBERS = 200_000
MAX_SCHEMA_BYTES = 128 * 2**20
MAX_DEPTH = 200
PROTOCOL = 2  # the locked skops writes it; an older number would choose older loaders
_MEMBER = re.compile(r"schema\.json|\d{1,20}\.npy")
_NODE_KEYS = frozenset({"__loader__", "__module__", "__class__", "__id__", "__reduce__"})


def load(data: bytes, limit: int) -> Any:
    """The object in the skops file `data`, of `limit` bytes at most when unpacked.

    Raises RefusedError, or whatever exception a damaged file brings out.
    """
    members = _members(data, limit)
    schema = json.loads(members["schema.json"])
    types = _check_schema(schema, members, limit)
    members["schema.json"] = json.dumps(schema).encode()
    checked = io.BytesIO()
    with zipfile.ZipFile(checked, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    import skops.io

    return skops.io.loads(checked.getvalue(), trusted=sorted(types))


def _members(data: bytes, limit: int) -> dict[str, bytes]:
    """The checked members by name. A size in the file is a claim: no more than it is ever unpacked."""
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        _require(len(entries) <= MAX_MEMBERS, "has too many members")
        _require(sum(entry.file_size for entry in entries) <= limit, f"unpacks to more than {limit:,} bytes")
        for entry in entries:
            name = entry.filename
            _require(bool(_MEMBER.fullmatch(name)) and name not in members, f"has an odd member {name!r}")
            _require(entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), "is packed in an odd way")
            with archive.open(entry) as member:
                members[name] = member.read(entry.file_size + 1)  # read() alone would unpack it all
            _require(len(members[name]) == entry.file_size, "has a member of another size than it says")
            if name.endswith(".npy"):
                _check_array(members[name])
    _require(len(members.get("schema.json", b"")) <= MAX_SCHEMA_BYTES, "has too large a schema.json")
    return members


def _check_array(content: bytes) -> None:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    _require(version in ((1, 0), (2, 0)), "has an odd array")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    _require(dtype.kind in "biufU" or dtype in trees.record_dtypes(), "has an array of an odd type")
    _require(
        math.prod(shape) * dtype.itemsize == len(content) - stream.tell(),
        "has an array of another size than it says",
    )


def _check_schema(schema: Any, members: dict[str, bytes], limit: int) -> set[str]:
    """Check every node, and make each stand for itself. Returns the types to trust, as skops spells them."""
    if type(schema) is not dict or schema.get("protocol") != PROTOCOL:
        raise RefusedError(f"is not of skops protocol {PROTOCOL}", "save it with the skops of this package")
    types: set[str] = set()
    unpacked = 0
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        item, depth = waiting.pop()
        _require(depth <= MAX_DEPTH, "is too deep")
        if type(item) is list:
            waiting += [(value, depth + 1) for value in item]
        elif type(item) is dict:
            waiting += [(value, depth + 1) for value in item.values()]
            if _NODE_KEYS & item.keys():
                _check_node(item)
                types.add(f"{item['__module__']}.{item['__class__']}")
                # By this number skops would take an earlier node instead, one that was checked for another place.
                item.pop("__id__", None)
                if "file" in item:
                    unpacked += len(members[item["file"]])
                    _require(unpacked <= limit, f"unpacks to more than {limit:,} bytes")
    return types


def _check_node(node: dict[str, Any]) -> None:
    loader, module, name = (str(node.get(key)) for key in ("__loader__", "__module__", "__class__"))
    if (loader, *allowed.canonical(module, name)) not in allowed.SKOPS_NODES:
        raise RefusedError(f"asks for {module}.{name} by {loader}, which is not an allowed model type")
    if loader == "RandomGeneratorNode":
        bits, seeds = node["content"]["bit_generator"]["content"], node["content"]["seed_seq"]["content"]
        # skops calls what numpy.random has by this name, and numpy works through a pool of this size.
        _require(bits["bit_generator"]["content"] == '"PCG64"', "has an odd random generator")
        _require(seeds["pool_size"]["content"] == "4", "has an odd random generator")


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RefusedError(f"is no skops model: it {reason}")
