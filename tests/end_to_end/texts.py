"""A partition of messages, and a model trained on others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.end_to_end.conftest import Workspace
from tests.inputs import TIME
from tests.messages import write_labelled


def partition(path: Path, texts: list[str | None], **more: pa.Array) -> Path:
    """Write the messages as a day's Parquet file, with more columns if there are any."""
    columns = {
        "case_id": pa.array([f"c{i:04d}" for i in range(len(texts))]),
        "text": pa.array(texts, pa.string()),
        "timestamp": pa.array([TIME] * len(texts), pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table({**columns, **more}), path)
    return path


def train(text: Workspace, name: str, seed: int, *more: object) -> str:
    """Add a version to the workspace's registry; gives its name."""
    data = write_labelled(text.folder / name, 240, seed)
    ended = text.call("train", "--data", data, "--text_column", "text", "--models", text.models, *more)
    assert ended.code == 0, ended.err
    return ended.out.split(":")[0]
