"""What the tests of gates and of the lifecycle compare versions on."""

from pathlib import Path

import pytest

from tests.inputs import DAY


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 labelled rows that no version of these tests was trained on. Shared: copy it before changing it."""
    from beam_pcc.sources import synthetic

    path = tmp_path_factory.mktemp("evaluation") / "evaluation.parquet"
    synthetic.write(path, 400, DAY, seed=7, with_intent=True)
    return path
