"""`beam-pcc encoder export`: exports the serving encoder from the published weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.features.encoders import graph, package

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


class Exported(NamedTuple):
    """An exported encoder and its size in bytes; `is_new` is False if it existed already."""

    address: str
    sha256: str
    size: int
    is_new: bool


def export(weights: str, to: str) -> Exported:
    """Export the encoder of the weights in a folder, and add it to a folder of encoders.

    Args:
        weights: Folder with config.json, model.safetensors and tokenizer.json in the layout of Hugging Face.
        to: A path or gs://BUCKET/FOLDER; the encoder gets its own folder below it.

    Raises:
        ConfigurationError: The folder does not hold such an encoder.
        ModelError: It cannot be written.
    """
    folder = Path(weights)
    with extra("export", "beam-pcc encoder export"):
        import onnx
        from safetensors import SafetensorError
        from safetensors.numpy import load
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        raw = (folder / _WEIGHTS).read_bytes()
        tokenizer = (folder / package.TOKENIZER).read_bytes()
        if config["hidden_size"] != schemas.EMBEDDING_DIM:
            raise graph.GraphError(f"its vectors have {config['hidden_size']} values, not {schemas.EMBEDDING_DIM}")
        with progress.task("building the graph"):
            model = graph.build(config, load(raw))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"--from {weights} cannot be made an encoder ({one_line(why, 160)}); it must hold all-MiniLM-L6-v2 as "
            f"published: {_CONFIG}, {_WEIGHTS}, {package.TOKENIZER}"
        ) from None
    files = package.EncoderFiles(model, tokenizer)
    metadata: dict[str, Any] = {
        "name": "all-MiniLM-L6-v2",
        "dimensions": schemas.EMBEDDING_DIM,
        "weights_sha256": hashlib.sha256(raw).hexdigest(),
        "opset": graph.OPSET,
        "made_with": {"onnx": onnx.__version__},
    }
    with progress.task("writing the encoder"):
        address, is_new = package.add(to, files, metadata)
    return Exported(address, files.sha256, len(model) + len(tokenizer), is_new)
