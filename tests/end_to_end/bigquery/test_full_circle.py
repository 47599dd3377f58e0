"""Train, import as ONNX, promote, run, feedback, reports and rollback, with BigQuery."""

from pathlib import Path

import pytest

from tests.end_to_end import full_circle
from tests.end_to_end.bigquery.conftest import Cloud, sample

pytestmark = pytest.mark.end_to_end


def test_imported_model_goes_the_full_circle(cloud: Cloud, tmp_path: Path) -> None:
    cloud.seed(sample(500))
    full_circle.go(cloud, f"bq://{cloud.output}", tmp_path)
