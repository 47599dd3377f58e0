"""The Arrow reader and Beam's reader give the same rows."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from google.cloud import bigquery

from beam_pcc.errors import ConfigurationError
from beam_pcc.sources import ReadCases
from tests.conftest import ReadAll
from tests.emulators.faults import ReadProxy
from tests.emulators.running import Emulators
from tests.end_to_end.bigquery.conftest import SCHEMA, Cloud, sample
from tests.end_to_end.conftest import DATE
from tests.inputs import settings


def rows(read_all: ReadAll, cloud: Cloud, method: str) -> tuple[list[str], list[pa.RecordBatch]]:
    """Each row as text (a NaN is not equal to itself), in an order of their own, and the batches they came in."""
    read = ReadCases(settings(cloud.sharded, DATE, read_method=method, batch_rows=400), f"{cloud.staging}/export")
    batches = read_all(read)
    return sorted(str(row) for batch in batches for row in batch.to_pylist()), batches


@pytest.mark.parametrize("method", ["direct", "export"])
def test_arrow_reader_gives_same_rows_as_beams_reader(cloud: Cloud, read_all: ReadAll, method: str) -> None:
    cloud.seed(sample(1_800))

    beams, _ = rows(read_all, cloud, method)
    ours, _ = rows(read_all, cloud, "arrow")

    assert len(ours) == 1_800
    assert ours == beams


@pytest.mark.parametrize("method", ["direct", "arrow"])
def test_a_batch_has_no_more_rows_than_asked_for(cloud: Cloud, read_all: ReadAll, method: str) -> None:
    cloud.seed(sample(1_800))

    _, batches = rows(read_all, cloud, method)

    assert all(0 < batch.num_rows <= 400 for batch in batches)


@pytest.mark.parametrize("method", ["direct", "arrow"])
def test_read_session_selects_arrow_and_three_columns(
    cloud: Cloud, read_all: ReadAll, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    cloud.seed(sample(250))

    with ReadProxy(emulators.grpc) as proxy:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR", proxy.address)
        assert len(rows(read_all, cloud, method)[0]) == 250

    (session,) = proxy.sessions
    assert session.data_format.name == "ARROW"
    assert list(session.read_options.selected_fields) == ["case_id", "embedding_vector", "timestamp"]


@pytest.mark.parametrize("method", ["direct", "export", "arrow"])
def test_columns_with_other_names_are_read(cloud: Cloud, read_all: ReadAll, method: str) -> None:
    names = {"case_id": "ID", "embedding_vector": "Vec"}
    schema = [type(field)(names.get(field.name, field.name), field.field_type, mode=field.mode) for field in SCHEMA]
    usual = sample(250)
    cloud.seed(usual.rename_columns([names.get(name, name) for name in usual.column_names]), schema=schema)

    columns = "case_id=id,embedding_vector=vec"
    source = settings(cloud.sharded, DATE, read_method=method, columns=columns)
    batches = read_all(ReadCases(source, f"{cloud.staging}/export"))

    read = [row for batch in batches for row in batch.to_pylist()]
    assert sorted(map(str, read)) == sorted(map(str, usual.drop_columns(["text"]).to_pylist()))


def test_column_of_wrong_type_is_refused_before_run(cloud: Cloud) -> None:
    table = pa.table({"case_id": ["a"], "embedding_vector": ["b"], "timestamp": [dt.datetime(2026, 11, 20)]})
    cloud.seed(table.slice(0, 0), schema=[SCHEMA[0], type(SCHEMA[0])("embedding_vector", "BOOLEAN"), SCHEMA[2]])

    with pytest.raises(ConfigurationError, match="column embedding_vector is BOOL, not a list of 584 floats"):
        ReadCases(settings(cloud.sharded, DATE), cloud.staging)


def test_export_to_other_location_is_refused_before_run(cloud: Cloud) -> None:
    cloud.seed(sample(250))
    abroad = bigquery.Dataset(f"{cloud.source}_abroad")
    abroad.location = "europe-west3"
    cloud.client.create_dataset(abroad)
    given = settings(cloud.sharded, DATE, read_method="export", temp_dataset=f"{cloud.source}_abroad")

    with pytest.raises(ConfigurationError, match=r"_abroad is in europe-west3, and the source table .* in US; name a"):
        ReadCases(given, cloud.staging)
