"""`beam-pcc doctor` with BigQuery and Cloud Storage."""

import pytest

from tests.end_to_end.bigquery.conftest import Cloud, sample

pytestmark = pytest.mark.end_to_end


def lines(cloud: Cloud, *more: object) -> dict[str, tuple[str, str]]:
    """Each line of doctor, with the flags of a run: name to status and message."""
    ended = cloud.call("doctor", *cloud.flags(*more)[1:], "--timeout", 120)
    parts = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    return {name: (status, message) for status, name, message in parts}


def test_sound_settings_pass(cloud: Cloud) -> None:
    cloud.seed(sample(50))
    found = lines(cloud)

    assert {name: status for name, (status, _) in found.items() if status != "ok"} == {
        "flink": "skipped",
        "kubernetes": "skipped",
    }
    assert "a run makes pcc_inference_output" in found["warehouse"][1]


def test_missing_table_fails(cloud: Cloud) -> None:
    status, message = lines(cloud)["source"]

    assert status == "failed"
    assert "redacted_snapshot_20261120" in message


def test_missing_dataset_and_bucket_fail(cloud: Cloud) -> None:
    found = lines(cloud, "--warehouse", f"bq://{cloud.output}_none", "--staging", "gs://none-of-these/x")

    assert (found["warehouse"][0], found["staging"][0]) == ("failed", "failed")
