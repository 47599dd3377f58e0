"""`beam-pcc encoder export`: exports the serving encoder from the published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.features.encoders import graph, package, published


class Exported(NamedTuple):
    """An exported encoder and its size in bytes; `is_new` is False if it existed already."""

    address: str
    sha256: str
    size: int
    is_new: bool
    name: str
    pooling: str
    is_normalised: bool
    input: package.Input


def export(
    weights: str, to: str, *, prefix: str | None = None, name: str | None = None, is_int8: bool = False
) -> Exported:
    """Export the encoder of the weights in a folder, and add it to a folder of encoders.

    Args:
        weights: Folder of a BERT-family sentence encoder in the layout of Hugging Face, see `published`.
        to: A path or gs://BUCKET/FOLDER; the encoder gets its own folder below it.
        prefix: Of each text, instead of the one in its files.
        name: Of the encoder, instead of the folder's.
        is_int8: Whether it multiplies integers of 8 bits: faster with ONNX Runtime, and less exact.

    Raises:
        ConfigurationError: The folder does not hold such an encoder.
        ModelError: It cannot be written.
    """
    with extra("export", "beam-pcc encoder export"):
        import onnx
        from safetensors import SafetensorError
    try:
        encoder = published.read(Path(weights), prefix=prefix, name=name)
        with progress.task("building the graph"):
            model = graph.build(
                encoder.config,
                encoder.weights,
                name=_graph_name(encoder),
                pooling=encoder.pooling,
                is_normalised=encoder.is_normalised,
                first_position=encoder.first_position,
                is_int8=is_int8,
            )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"--from {weights} cannot be made an encoder ({one_line(why, 160)}); it must hold a sentence encoder of "
            f"the BERT family with {schemas.EMBEDDING_DIM} values as published: {published.CONFIG}, "
            f"{published.WEIGHTS}, {package.TOKENIZER}"
        ) from None
    files = package.EncoderFiles(model, encoder.tokenizer, encoder.input.to_json())
    shown = f"{encoder.name}-int8" if is_int8 and name is None else encoder.name
    metadata: dict[str, Any] = {
        "name": shown,
        "dimensions": schemas.EMBEDDING_DIM,
        "weights_sha256": encoder.weights_sha256,
        "opset": graph.OPSET,
        "precision": "int8" if is_int8 else "float32",
        "made_with": {"onnx": onnx.__version__},
    }
    with progress.task("writing the encoder"):
        address, is_new = package.add(to, files, metadata)
    return Exported(
        address=address,
        sha256=files.sha256,
        size=len(model) + len(encoder.tokenizer),
        is_new=is_new,
        name=shown,
        pooling=encoder.pooling,
        is_normalised=encoder.is_normalised,
        input=encoder.input,
    )


def _graph_name(encoder: published.Published) -> str:
    """Of the weights alone, so that the same weights give the same bytes in any folder."""
    if encoder.name == published.DEFAULT_NAME:
        return encoder.name
    return f"{encoder.config['model_type']}-{encoder.weights_sha256[:8]}"
