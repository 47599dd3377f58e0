"""The encoder on OpenVINO: in bfloat16 if the CPU supports it natively, else in float32."""

from __future__ import annotations

import threading

import openvino as ov

from beam_pcc.features.encoders.base import Compute, Embeddings, Ids
from beam_pcc.features.encoders.graph import IDS, MASK


def precision() -> str:
    """`bf16` if this CPU supports it, else `f32`."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


def compute(model: bytes, threads: int) -> Compute:
    """A function that runs the model with `threads` threads; concurrent calls run one after the other."""
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(model, b""),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision(),
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        },
    )
    request, lock = compiled.create_infer_request(), threading.Lock()

    def run(ids: Ids, mask: Ids) -> Embeddings:
        with lock:
            embeddings: Embeddings = request.infer({IDS: ids, MASK: mask})[compiled.output(0)].copy()
        return embeddings

    return run
