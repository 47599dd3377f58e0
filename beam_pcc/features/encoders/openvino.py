"""The encoder on OpenVINO: in bfloat16 if the CPU supports it natively, else in float32."""

from __future__ import annotations

import queue

import numpy as np
import openvino as ov

from beam_pcc.features.encoders.base import Compute, Embeddings, Ids
from beam_pcc.features.encoders.graph import IDS, MASK


def precision() -> str:
    """`bf16` if this CPU supports it, else `f32`."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


def compute(model: bytes, threads: int) -> Compute:
    """A function that runs the model in one of `threads` streams of one thread; more calls than these wait."""
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(model, b""),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision(),
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,
        },
    )
    idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
    for _ in range(threads):
        idle.put(compiled.create_infer_request())

    def run(ids: Ids, mask: Ids) -> Embeddings:
        request = idle.get()
        try:
            embeddings: Embeddings = request.infer({IDS: ids, MASK: mask})[compiled.output(0)].copy()
        finally:
            idle.put(request)
        return embeddings

    # Its binding prepares itself at the first call, and two first calls at the same moment can wait for each other for
    # ever (OpenVINO 2026.4.1: one holds the GIL and waits for a static of C++, which the other prepares without it).
    one = np.ones((1, 1), dtype=np.int64)
    run(one, one)
    return run
