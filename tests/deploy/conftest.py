from pathlib import Path

import pytest

from tests.deploy.fakes import Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment.make(tmp_path)
