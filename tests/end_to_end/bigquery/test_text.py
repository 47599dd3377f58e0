"""Text mode in the cloud: encoder and models in a bucket, messages in a table; reads needed columns only."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from beam_pcc.models.registry import Registry
from tests.encoders import toy
from tests.end_to_end.bigquery.conftest import SCHEMA, Cloud
from tests.end_to_end.conftest import DATE
from tests.messages import SECRET, labelled_messages, write_labelled

TEXT_ONLY = [SCHEMA[0], SCHEMA[2], type(SCHEMA[0])("message", "STRING"), type(SCHEMA[0])("notes", "STRING")]


@pytest.fixture
def text(cloud: Cloud, tmp_path: Path) -> Cloud:
    """A registry in the bucket with a small encoder and a promoted version trained with it; and a source table."""
    models = f"{cloud.staging}/models"
    published = toy.publish(tmp_path / "published")
    assert cloud.call("encoder", "export", "--from", published, "--to", f"{models}/encoders").code == 0
    data = write_labelled(tmp_path / "labelled.jsonl")
    ended = cloud.call("train", "--data", data, "--text_column", "text", "--models", models)
    assert ended.code == 0, ended.err
    version = ended.out.split(":")[0]
    assert cloud.call("models", "promote", version, "--models", models, "--force").code == 0
    cloud.models = models  # type: ignore[assignment]
    texts = [*labelled_messages(120, seed=4)[0], f"delete me, {SECRET}", None]
    time = dt.datetime(DATE.year, DATE.month, DATE.day, 9, tzinfo=dt.timezone.utc)
    rows = {
        "case_id": [f"c{i:03d}" for i in range(len(texts))],
        "timestamp": pa.array([time] * len(texts), pa.timestamp("us", "UTC")),
        "message": pa.array(texts, pa.string()),
        "notes": ["nobody reads this"] * len(texts),
    }
    cloud.seed(pa.table(rows), schema=TEXT_ONLY)
    return cloud


@pytest.mark.parametrize("method", ["direct", "arrow", "export"])
def test_messages_of_a_table_are_scored(text: Cloud, method: str) -> None:
    ended = text.run("--text_column", "message", "--read_method", method)
    (row,) = text.monitoring()

    assert ended.code == 0, ended.err
    assert (row["total_cases"], row["passed_validation"]) == (122, 121)
    assert json.loads(row["reject_reasons"]) == {"empty_text": 1}
    assert len(text.published()) == 121
    assert SECRET not in ended.out + ended.err
    assert abs(row["embedding_norm_shift"]) < 1e-4
    assert row["tfidf_mean_shift"] is not None


def test_table_without_text_column_is_refused_before_run(text: Cloud) -> None:
    ended = text.run("--text_column", "body")
    assert (ended.code, "has no column body" in ended.err) == (2, True)


def test_log_and_shadow_are_stored_in_the_bucket(text: Cloud, tmp_path: Path) -> None:
    data = write_labelled(tmp_path / "more.jsonl", seed=2)
    made = text.call("train", "--data", data, "--text_column", "text", "--models", text.models)
    second = made.out.split(":")[0]
    first = Registry(str(text.models)).current()
    assert text.call("models", "promote", second, "--models", text.models, "--force").code == 0
    assert text.call("models", "shadow", first, "--models", text.models).code == 0
    assert text.run("--text_column", "message").code == 0
    (row,) = text.monitoring()
    assert (row["model_version"], row["shadow_version"]) == (second, first)
    assert row["shadow_flip_rate"] is not None

    assert text.call("models", "rollback", "--models", text.models).code == 0
    entries = Registry(str(text.models)).history()
    assert [entry["action"] for entry in entries] == ["promote", "promote", "shadow", "rollback"]

    page = tmp_path / "report.html"
    for which in (("--last", "5"), ("--partition", f"{DATE:%Y%m%d}")):
        ended = text.call("report", "--warehouse", f"bq://{text.output}", "--output", page, *which)
        assert ended.code == 0, ended.err
        assert f"Partition {DATE}" in page.read_text()
