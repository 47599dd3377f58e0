"""Replays inputs of the fuzzers, with a high coverage of the readers: each is built and scored, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import fuzz_models

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_input_raises_only_expected_errors(path: Path) -> None:
    fuzz_models.TARGETS[path.name.split("-")[0]](path.read_bytes())


@pytest.mark.parametrize("model", fuzz_models.models(), ids=lambda model: type(model).__name__)
def test_seed_models_are_valid(model: object) -> None:
    """If they were refused, mutations of them would reach nothing."""
    import pickle

    assert fuzz_models.load(pickle.dumps(model), "pickle") is not None


def test_corpus_is_small() -> None:
    assert len(CORPUS) >= 20
    assert sum(path.stat().st_size for path in CORPUS) < 64 * 2**10
