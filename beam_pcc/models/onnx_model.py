"""A classifier of an ONNX file, scored by ONNX Runtime on one thread.

It has the parts of a scikit-learn estimator that scoring uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.models.safe_loading import onnx_files
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.scoring import Floats


class OnnxClassifier:
    """Scores (n, features) float32 vectors.

    Args:
        data: The file.
        classes: In the order of the output's columns; a file does not have to name them.
        features: Width of the vectors.

    Attributes:
        classes_: The classes.
        n_features_in_: Width of the vectors.
        description: The runtime and the opset.

    Raises:
        RefusedError: The file is not allowed, or the runtime cannot load it.
        ConfigurationError: ONNX Runtime is missing.
    """

    def __init__(self, data: bytes, classes: Sequence[str], features: int = schemas.VECTOR_DIM) -> None:
        checked = onnx_files.check(data, features=features, classes=len(classes))
        with extra("onnx", "a model.onnx"):
            import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the cores read and decode meanwhile
        options.log_severity_level = 4  # what fails is raised
        try:
            self._session: Any = ort.InferenceSession(checked.data, options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as error:  # the runtime has a class of its own for each kind, below Exception
            # Its messages may repeat any text of the file.
            raise RefusedError(
                f"cannot be loaded by ONNX Runtime ({type(error).__name__})", "export it again"
            ) from None
        self._input, self._output = checked.input, checked.output
        self.classes_ = np.array(list(classes), dtype=object)
        self.n_features_in_ = features
        opset = f", opset {checked.opset}" if checked.opset else ""
        self.description = f"ONNX Runtime {ort.__version__}{opset}"

    def predict_proba(self, vectors: schemas.Vectors) -> Floats:
        """(n, classes) of (n, features) vectors. Raises ValueError if the model gives another shape."""
        if not len(vectors):
            return np.empty((0, len(self.classes_)))
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        probabilities = np.asarray(self._session.run([self._output], {self._input: rows})[0])
        if probabilities.shape != (len(vectors), len(self.classes_)):
            raise ValueError("the model gives probabilities of another shape")
        return probabilities.astype(np.float64)
