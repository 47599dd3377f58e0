"""Runs that fail by the machine or the model: the line names the cause, and the published day stands."""

import errno
from typing import Any

import numpy as np
import pytest

from beam_pcc.errors.bisecting import FAILURES
from beam_pcc.models.loading import ModelFile
from tests.end_to_end.conftest import Workspace
from tests.end_to_end.test_failures import assert_failed

pytestmark = pytest.mark.end_to_end


def fail_in_workers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Let the model raise in the workers; a process of its own checked it at launch. Returns the rows of each call."""
    sizes: list[int] = []
    load = ModelFile.load

    def load_broken(file: ModelFile) -> Any:
        def predict_proba(vectors: np.ndarray) -> np.ndarray:
            sizes.append(len(vectors))
            raise error

        model = load(file)
        model.predict_proba = predict_proba
        return model

    monkeypatch.setattr(ModelFile, "load", load_broken)
    return sizes


def test_model_that_fails_on_every_row_is_the_cause(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.run()
    before = workspace.published()
    fail_in_workers(monkeypatch, TypeError("a secret"))
    ended = workspace.run("sample://2000")

    (version,) = (path.name for path in workspace.models.iterdir())
    assert_failed(workspace, ended, 1, f"the model {version} fails on every row (TypeError)")
    assert "secret" not in ended.err
    assert workspace.published() == before


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 8 GiB"), "out of memory (Unable to allocate 8 GiB); give the process more"),
        (OSError(errno.EMFILE, "Too many open files"), "a limit of the system is reached (Too many open files)"),
    ],
    ids=["memory", "files"],
)
def test_fault_of_the_machine_is_the_cause(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    sizes = fail_in_workers(monkeypatch, error)
    ended = workspace.run("sample://2000")

    assert_failed(workspace, ended, 1, words)
    assert len(sizes) < FAILURES
