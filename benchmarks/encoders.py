"""Texts per second of each encoder against sentence-transformers' default call: same texts, same threads, in turns.

usage: encoders.py [--texts N] [--repeat N] [--threads N] [--output benchmarks]

Needs `make encoders`. The reference runs in its own environment; each side is a process of its own that has loaded its
model and computed once before it is measured, and waits while another one computes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import encoding
import results
from encoding import LIBRARIES, ROOT
from results import Figure

BARS = {"onnx": 2.5, "openvino": 3.5}


def texts(number: int) -> list[str]:
    """Messages of the project, in their order, repeated if there are too few."""
    found = encoding.messages()
    step = max(1, len(found) // number)
    return (found[::step] * (number // len(found[::step]) + 1))[:number]


def serve(backend: str, encoder: str, threads: int) -> None:
    """The measured process: for each line on stdin, encode all texts once and print the seconds."""
    given = json.loads(sys.stdin.readline())
    if backend == "reference":
        from beam_pcc.features.encoders import reference

        model = reference.load(encoder, threads)

        def encode() -> object:
            return reference.encode(model, given)
    else:
        from beam_pcc.features.encoders import package, serving
        from beam_pcc.features.encoders.package import EncoderRef

        made = serving.open_encoder(EncoderRef(encoder, package.read(encoder).sha256), backend, threads)  # type: ignore[arg-type]

        def encode() -> object:
            return made.encode(given)

    encode()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        encode()
        print(time.perf_counter() - started, flush=True)


def start(python: Path | str, backend: str, encoder: Path, threads: int, given: list[str]) -> subprocess.Popen[str]:
    """A measured process, ready."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        environment.pop(name, None)
    command = [python, __file__, "--serve", backend, "--encoder", encoder, "--threads", str(threads)]
    started = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert started.stdin
    assert started.stdout
    started.stdin.write(json.dumps(given) + "\n")
    started.stdin.flush()
    assert started.stdout.readline() == "ready\n"
    return started


def once(process: subprocess.Popen[str]) -> float:
    """Seconds for all texts."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = encoding.parser(__doc__)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--encoder", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        serve(flags.serve, flags.encoder, flags.threads)
        return
    sys.path.insert(0, str(ROOT))
    from beam_pcc.features.encoders.openvino import precision
    from tests.encoders import environment

    (encoder,) = (path for path in environment.encoders().iterdir() if path.is_dir())
    given, load = texts(flags.texts), os.getloadavg()[0]
    running = {"reference": start(environment.reference(), "reference", environment.weights(), flags.threads, given)}
    running |= {name: start(sys.executable, name, encoder, flags.threads, given) for name in BARS}
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(flags.repeat):
        for name, process in running.items():
            seconds[name].append(once(process))
    for process in running.values():
        process.kill()
    measured = results.conditions(
        flags.repeat,
        load,
        LIBRARIES,
        threads=flags.threads,
        texts=len(given),
        mean_characters=round(sum(map(len, given)) / len(given)),
    )
    with tempfile.TemporaryDirectory() as aside:
        output = flags.output or Path(aside)
        output.mkdir(parents=True, exist_ok=True)
        results.write(output, "encoders", list(figures(seconds, len(given), precision())), measured)
        print(f"\n{results.table(output)}")
    if flags.output and (flags.output / "README.md").exists():
        results.update(flags.output / "README.md")


def figures(seconds: dict[str, list[float]], number: int, precision: str) -> Iterator[Figure]:
    """A figure for each of our encoders, from the seconds of each repetition."""
    reference = seconds["reference"]
    for name, bar in BARS.items():
        ratios = [peer / own for peer, own in zip(reference, seconds[name], strict=True)]
        has_bar = name != "openvino" or precision == "bf16"
        shown = f"openvino ({precision})" if name == "openvino" else name
        yield Figure(
            f"encoder {shown} against sentence-transformers, default call",
            f"{number / statistics.median(seconds[name]):,.0f} texts/s",
            f"{number / statistics.median(reference):,.0f} texts/s",
            ratios,
            f">= {bar:g}" if has_bar else "none",
            statistics.median(ratios) >= bar if has_bar else None,
            {f"{name}, seconds": seconds[name], "reference, seconds": reference},
        )


if __name__ == "__main__":
    main()
