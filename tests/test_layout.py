"""The rooms of the package, and who may know whom: an import goes down this list, never up."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "beam_pcc"
# A room may import those above it. What is in one line does not know the others of the line.
ORDER = (
    ("errors",),
    ("addresses", "terminal", "private_files", "shielding"),
    ("progress",),
    ("cases", "gcp"),
    ("config", "storage"),
    ("sources", "features"),
    ("models",),
    ("publishing",),
    ("flink",),
    ("pipeline", "evaluation"),
    ("feedback",),
    ("reporting",),
    ("training", "kubernetes", "deploy"),
    ("doctor",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room(module: Path | str) -> str:
    return Path(module).with_suffix("").parts[0]


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Every module of the package that a file imports, also inside functions and for types only."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            parts = node.module.split(".")[1:]
            for name in node.names:
                there = PACKAGE.joinpath(*parts, name.name)
                yield "/".join([*parts, name.name] if there.is_dir() or there.with_suffix(".py").exists() else parts)
        elif isinstance(node, ast.Import):
            yield from (name.name.replace(".", "/")[9:] for name in node.names if name.name.startswith("beam_pcc."))


def test_the_root_holds_no_more_than_six_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in MODULES} - {"__init__"}
    assert rooms == set(RANK)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down(module: Path) -> None:
    if module.name == "__init__.py" and len(module.parts) == 1:
        return  # the public API, which nothing of the package imports but its version
    own = RANK[room(module)]
    wrong = {
        name for name in imported(PACKAGE / module) if name and room(name) != room(module) and RANK[room(name)] >= own
    }
    assert not wrong


def test_files_do_not_import_each_other_in_a_circle() -> None:
    """Among all files, those of one room included."""
    known = {str(module.with_suffix("")).removesuffix("/__init__") for module in MODULES}
    graph = {
        str(module.with_suffix("")).removesuffix("/__init__"): {
            name for name in imported(PACKAGE / module) if name in known
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())
