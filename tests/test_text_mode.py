"""What a run needs for messages is checked at launch, not at the first message."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beam_pcc.errors import ConfigurationError
from beam_pcc.features import cleaning
from beam_pcc.features.featurizer import Features
from beam_pcc.features.tfidf import Tfidf
from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.pipeline import text_mode

CONFIG = cast(
    Any,
    SimpleNamespace(
        encoder=SimpleNamespace(text_column="text", address="encoders/toy", backend="onnx", threads=1),
        model=SimpleNamespace(registry="models"),
    ),
)
TERMS = cast(Tfidf, None)


def model(version: int) -> ModelMetadata:
    return ModelMetadata("v1", features=Features("0" * 64, TERMS, version))


@pytest.fixture(autouse=True)
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_mode, "open_encoder", lambda *_: None)
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)


def test_missing_library_of_the_cleaning_stops_the_launch() -> None:
    with pytest.raises(ConfigurationError, match="needs the extra text"):
        text_mode.text_mode(CONFIG, model(cleaning.VERSION))


def test_missing_library_of_a_shadows_cleaning_stops_the_launch() -> None:
    with pytest.raises(ConfigurationError, match="needs the extra text"):
        text_mode.text_mode(CONFIG, model(0), model(cleaning.VERSION))


def test_model_without_cleaning_needs_no_library() -> None:
    assert text_mode.text_mode(CONFIG, model(0)) is not None
