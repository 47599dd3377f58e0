"""The encoder against the way it worked before: mixed batches, each on all threads. And int8 against float32.

usage: encoder_threads.py [--texts N] [--repeat N] [--threads N] [--output benchmarks]

Needs `make encoders`. Same process, same windows of messages, in turns; seconds on the clock and seconds of CPU.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import encoding
import numpy as np
import results
from encoding import LIBRARIES, ROOT
from results import Figure

_BATCH_TOKENS, _PAD_TO, _MAX_TOKENS = 512, 8, 256  # as they were
Encode = Callable[[Sequence[str]], np.ndarray]


def windows(number: int) -> list[str]:
    """Windows of the project's messages, as scoring makes them, from all files alike."""
    from beam_pcc.features import cleaning
    from beam_pcc.features.featurizer import split_texts
    from beam_pcc.features.windows import WindowLimits

    texts = encoding.messages()
    chosen = np.random.default_rng(0).permutation(len(texts))[:number]
    return split_texts(cleaning.clean([texts[row] for row in chosen]), WindowLimits()).texts[:number]


def before(model: bytes, tokenizer: bytes, backend: str, threads: int) -> Encode:
    """One batch after the other, all threads on each, texts padded to the longest of their batch."""
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(tokenizer.decode("utf-8"))
    own.enable_truncation(_MAX_TOKENS)
    own.no_padding()
    run = {"onnx": _onnx_on_all_threads, "openvino": _openvino_on_all_threads}[backend](model, threads)

    def encode(texts: Sequence[str]) -> np.ndarray:
        tokens = [encoded.ids for encoded in own.encode_batch_fast(list(texts))]
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for rows in mixed([len(ids) for ids in tokens]):
            width = min(-(-len(tokens[rows[0]]) // _PAD_TO) * _PAD_TO, _MAX_TOKENS)
            ids = np.zeros((len(rows), width), dtype=np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, : len(tokens[row])] = tokens[row]
                mask[place, : len(tokens[row])] = 1
            vectors[rows] = run({"input_ids": ids, "attention_mask": mask})
        return vectors

    return encode


def mixed(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Batches by descending length, as they were."""
    order = np.argsort(np.negative(lengths), kind="stable").tolist()
    start = 0
    while start < len(order):
        rows = max(1, _BATCH_TOKENS // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def _onnx_on_all_threads(model: bytes, threads: int) -> Callable[[Any], np.ndarray]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["embedding"], inputs)[0]


def _openvino_on_all_threads(model: bytes, threads: int) -> Callable[[Any], np.ndarray]:
    import openvino as ov

    from beam_pcc.features.encoders.openvino import precision

    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": precision(),
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda inputs: request.infer(inputs)[compiled.output(0)].copy()


def seconds(encode: Encode, texts: Sequence[str]) -> tuple[float, float]:
    """On the clock, and of CPU by all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    encode(texts)
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(pairs: dict[str, tuple[Encode, Encode]], texts: Sequence[str], repeat: int) -> Iterator[Figure]:
    """Two figures for each pair of an encoder and its peer."""
    for ours, peer in pairs.values():
        ours(texts), peer(texts)  # loads, and compiles what runtimes compile for each length
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in pairs}
    for _ in range(repeat):
        for name, (ours, peer) in pairs.items():
            measured[name].append((*seconds(ours, texts), *seconds(peer, texts)))
    for name, runs in measured.items():
        wall, cpu, peer_wall, peer_cpu = ([run[column] for run in runs] for column in range(4))
        for what, own, other in (("seconds", wall, peer_wall), ("CPU seconds", cpu, peer_cpu)):
            yield Figure(
                f"{name}, {what}",
                f"{statistics.median(own):.2f} s",
                f"{statistics.median(other):.2f} s",
                [b / a for a, b in zip(own, other, strict=True)],
                raw={f"ours, {what}": own, f"peer, {what}": other},
            )


def main() -> None:
    flags = encoding.parser(__doc__).parse_args()
    sys.path.insert(0, str(ROOT))
    from beam_pcc.features.encoders import package, serving
    from beam_pcc.features.encoders.export import export
    from beam_pcc.features.encoders.openvino import precision
    from tests.encoders import environment

    (folder,) = (path for path in environment.encoders().iterdir() if path.is_dir())
    files, texts, load = package.read(str(folder)), windows(flags.texts), os.getloadavg()[0]

    def encode(address: str, backend: str) -> Encode:
        ref = serving.find_encoder(address, backend)  # type: ignore[arg-type]
        return serving.open_encoder(ref, backend, flags.threads).encode  # type: ignore[arg-type]

    def peer(backend: str) -> Encode:
        return before(files.model, files.tokenizer, backend, flags.threads)

    with tempfile.TemporaryDirectory() as aside:
        int8 = export(str(environment.weights()), aside, is_int8=True).address
        onnx = encode(str(folder), "onnx")
        pairs = {
            "encoder onnx, a batch on each thread against all on one": (onnx, peer("onnx")),
            f"encoder openvino ({precision()}), the same": (encode(str(folder), "openvino"), peer("openvino")),
            "encoder onnx in int8 against float32": (encode(int8, "onnx"), onnx),
        }
        found = list(in_turns(pairs, texts, flags.repeat))
        conditions = results.conditions(flags.repeat, load, LIBRARIES, threads=flags.threads, texts=len(texts))
        output = flags.output or Path(aside)
        output.mkdir(parents=True, exist_ok=True)
        results.write(output, "encoder-threads", found, conditions)
        print(f"\n{results.table(output)}")
    if flags.output and (flags.output / "README.md").exists():
        results.update(flags.output / "README.md")


if __name__ == "__main__":
    main()
