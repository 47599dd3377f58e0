"""What is left of messages in the shapes of mail programs, desks and shops: shapes.toml is the table."""

import pytest

from beam_pcc.features import cleaning
from tests.cleaning import phrases

SHAPES = phrases.read("shapes")["shape"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["name"])
def test_shape_is_cleaned(shape: dict[str, str]) -> None:
    assert cleaning.clean([shape["text"]]) == [shape["cleaned"].strip()]
