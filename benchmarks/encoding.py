"""What the benchmarks of encoders share: their flags and the messages that are encoded.

Nothing else of the project is imported: the reference's environment lacks the libraries.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARIES = ("onnxruntime", "openvino", "tokenizers", "numpy")


def messages() -> list[str]:
    """All messages of the project, in their order."""
    texts = []
    for path in sorted((ROOT / "data/messages").glob("*.jsonl")):
        texts += [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    return texts


def parser(description: str | None) -> argparse.ArgumentParser:
    """How many texts, how often, on how many threads, and where the figures go."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--texts", type=int, default=500)
    made.add_argument("--repeat", type=int, default=5)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--output", type=Path, help="as in run.py")
    return made
