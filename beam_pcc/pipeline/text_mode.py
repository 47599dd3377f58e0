"""What a run needs to make vectors of messages, found and checked at launch: the encoder and the models' features."""

from __future__ import annotations

from beam_pcc.config.settings import RunConfig
from beam_pcc.errors import ModelError
from beam_pcc.features.encoders import package
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.serving import open_encoder
from beam_pcc.features.featurizer import Features, Featurizer, Runtime, TextMode
from beam_pcc.models.metadata import ModelMetadata


def text_mode(config: RunConfig, model: ModelMetadata, shadow: ModelMetadata | None = None) -> TextMode | None:
    """How a run makes its vectors; None if it reads them.

    The encoder is loaded here, so that a run that could not be does not start.

    Raises:
        ModelError: A model was not trained on text, or its encoder is not there.
        ConfigurationError: The runtime of the encoder, or a library of the cleaning, is not installed.
    """
    if config.encoder.text_column is None:
        return None
    own, others = _features(model), _features(shadow) if shadow else None
    second = None
    if others is not None and others != own:
        second = _featurizer(config, others, explicit=others.encoder_sha256 == own.encoder_sha256)
    featurizer = _featurizer(config, own, shadow=second)
    for one in (featurizer, second):
        if one is not None:
            open_encoder(one.encoder, one.runtime.backend, one.runtime.threads)
            one.clean([])  # a library that is missing is told here
    return TextMode(config.encoder.text_column, featurizer)


def _features(model: ModelMetadata) -> Features:
    if model.features is None:
        raise ModelError(
            f"{model.version} was trained on vectors and does not say how to make them of text; use a version that was "
            "trained with --text_column"
        )
    return model.features


def _featurizer(
    config: RunConfig, features: Features, *, explicit: bool = True, shadow: Featurizer | None = None
) -> Featurizer:
    given = config.encoder.address if explicit else None
    address = given or package.address_of(config.model.registry, features.encoder_sha256)
    ref = EncoderRef(package.absolute(address), features.encoder_sha256)
    return Featurizer(ref, features, Runtime(config.encoder.backend, config.encoder.threads), shadow)
