"""Train, import as ONNX, promote, run, feedback, reports and rollback, with a DuckDB file."""

from pathlib import Path

import pytest

from tests.end_to_end import full_circle
from tests.end_to_end.conftest import Workspace

pytestmark = pytest.mark.end_to_end


def test_imported_model_goes_the_full_circle(workspace: Workspace, tmp_path: Path) -> None:
    full_circle.go(workspace, str(workspace.warehouse), tmp_path)
