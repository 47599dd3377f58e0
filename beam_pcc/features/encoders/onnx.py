"""The encoder on ONNX Runtime: float32, every CPU."""

from __future__ import annotations

import onnxruntime as ort

from beam_pcc.features.encoders.base import Compute, Embeddings, Ids
from beam_pcc.features.encoders.graph import EMBEDDING, IDS, MASK


def compute(model: bytes, threads: int) -> Compute:  # noqa: ARG001 - a session takes any number of calls at once
    """A function that runs the model on the thread that calls it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a batch on each thread is faster than all threads on one batch
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: warnings describe the machine and would repeat in every worker
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(ids: Ids, mask: Ids) -> Embeddings:
        embeddings: Embeddings = session.run([EMBEDDING], {IDS: ids, MASK: mask})[0]
        return embeddings

    return run
