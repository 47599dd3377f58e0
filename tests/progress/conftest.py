"""The progress of a test, recorded."""

from collections.abc import Iterator

import pytest

from beam_pcc import progress
from beam_pcc.progress import tasks
from beam_pcc.progress.views import Mode
from tests.progress.recording import Shown


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Shows the tasks of the test, also those of a command that it calls."""
    view = Shown()
    monkeypatch.setattr(tasks, "view_of", lambda mode: view)
    with progress.shown(Mode.BAR):
        yield view
