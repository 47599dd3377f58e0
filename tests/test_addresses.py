"""Addresses as people write them, and what they are on any worker."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.addresses import absolute
from beam_pcc.config.settings import Publish
from beam_pcc.errors import ConfigurationError
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.storage import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a/b.jsonl", "{here}/a/b.jsonl"),
        ("~/a.jsonl", "{here}/home/a.jsonl"),
        ("file:///a/b.jsonl", "/a/b.jsonl"),
        ("file://localhost/a/b.jsonl", "/a/b.jsonl"),
        ("FILE:///a%20b/%5Bc%5D.jsonl", "/a b/[c].jsonl"),
        ("/a/[b]*.jsonl", "/a/[b]*.jsonl"),
    ],
)
def test_absolute_local(tmp_path: Path, written: str, expected: str) -> None:
    assert absolute(written) == expected.format(here=tmp_path)


def test_absolute_existing_name_with_percent(tmp_path: Path) -> None:
    (tmp_path / "a%20b").touch()
    assert absolute(f"file://{tmp_path}/a%20b") == f"{tmp_path}/a%20b"


@pytest.mark.parametrize("address", ["gs://b/~/f", "bq://p.d.t", "sample://100", "s3://b/f", ""])
def test_absolute_leaves_other_schemes(address: str) -> None:
    assert absolute(address) == address


@pytest.mark.parametrize("address", ["file://server/share/a", "file://a.jsonl", "~nobody-of-this-name/a"])
def test_absolute_refuses_what_names_no_file(address: str) -> None:
    with pytest.raises(ConfigurationError):
        absolute(address)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_absolute_is_idempotent(address: str) -> None:
    try:
        once = absolute(address)
    except ConfigurationError:
        return
    assert absolute(once) == once


@pytest.mark.parametrize("written", ["~/pcc.duckdb", "file://{home}/pcc.duckdb", "home/pcc.duckdb"])
def test_warehouse_address_is_absolute(home: Path, written: str) -> None:
    warehouse = open_warehouse(Publish(warehouse=written.format(home=home)))
    assert warehouse.address == f"{home}/pcc.duckdb"


@pytest.mark.parametrize("written", ["~/s", "file://{home}/s", "home/s"])
def test_staging_folder_is_absolute(home: Path, written: str) -> None:
    assert open_warehouse(Publish(warehouse="w.duckdb")).staging(written.format(home=home)) == f"{home}/s"


@pytest.mark.parametrize("staging", ["gs://bucket/folder", "s3://bucket/folder", "hdfs://host/folder"])
def test_staging_that_duckdb_cannot_read_is_refused(staging: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--staging .* loads staged files from a disk only; name a folder"):
        open_warehouse(Publish(warehouse="w.duckdb")).staging(staging)


@pytest.mark.parametrize("written", ["~/models", "file://{home}/models", "home/models"])
def test_store_address_is_absolute(home: Path, written: str) -> None:
    assert open_store(written.format(home=home)).address == f"{home}/models"
