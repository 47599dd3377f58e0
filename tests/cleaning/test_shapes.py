"""What is left of messages in the shapes of mail programs, desks and shops: shapes.toml is the table."""

import sys
from pathlib import Path

import pytest

from beam_pcc.features import cleaning

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHAPES = tomllib.loads((Path(__file__).parent / "shapes.toml").read_text(encoding="utf-8"))["shape"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["name"])
def test_shape_is_cleaned(shape: dict[str, str]) -> None:
    assert cleaning.clean([shape["text"]]) == [shape["cleaned"].strip()]
