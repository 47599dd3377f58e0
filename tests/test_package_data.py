"""What is no module but belongs into the wheel: declared, so that an installed package has it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_every_data_file_is_declared_in_pyproject() -> None:
    tomllib = pytest.importorskip("tomllib")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    covered = {
        path
        for package, patterns in declared.items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    ours = {path for path in (ROOT / "beam_pcc").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert ours - covered == set()
