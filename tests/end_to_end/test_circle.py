"""The life of a model with a DuckDB file."""

from pathlib import Path

import pytest

from tests.end_to_end.circle import full_circle
from tests.end_to_end.conftest import Workspace

pytestmark = pytest.mark.end_to_end


def test_a_model_goes_full_circle(workspace: Workspace, tmp_path: Path) -> None:
    full_circle(workspace, str(workspace.warehouse), tmp_path)
