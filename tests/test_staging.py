"""Where a run stages its rows is tried before it reads any."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.publishing import staging
from beam_pcc.publishing.publish import ROW_GROUP_ROWS, StageRows
from beam_pcc.publishing.staging import StagingArea


class Refused(Exception):
    """As Google's client raises it."""

    def __init__(self, status: int) -> None:
        super().__init__("(0, 'Expected one of', ...)")
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ConfigurationError), (404, ConfigurationError), (429, RunError), (503, RunError)]
)
def test_unwritable_folder_is_one_line(monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused(status)

    monkeypatch.setattr(staging.FileSystems, "create", refuse)

    with pytest.raises(kind, match=rf"^--staging gs://b/f cannot be written \(HTTP {status}\); check the path"):
        StagingArea("gs://b/f", "run").begin()


def test_what_was_begun_is_removed_with_the_rest(tmp_path) -> None:
    area = StagingArea(str(tmp_path), "run")
    area.begin()
    assert (tmp_path / "run").is_dir()

    area.remove()

    assert not list(tmp_path.iterdir())


HOSTILE = ["[ab]", "a*", "?", "[!x]", "**", "[", "a]b", " ", "new\nline", "{x,y}", "~", "$HOME", "-rf"]


@pytest.mark.parametrize("name", HOSTILE)
def test_folder_named_like_a_pattern_is_removed_alone(tmp_path: Path, name: str) -> None:
    for other in ("a", "b", "ab", "x"):
        (tmp_path / other / "run").mkdir(parents=True)
        (tmp_path / other / "run" / "kept").touch()
    area = StagingArea(str(tmp_path / name), "run")
    area.begin()
    (tmp_path / name / "run" / "export" / "deep").mkdir(parents=True)
    (tmp_path / name / "run" / "export" / "deep" / "cases").touch()

    area.remove()

    assert not (tmp_path / name / "run").exists()
    assert len(list(tmp_path.rglob("kept"))) == 4


@pytest.mark.parametrize("name", HOSTILE)
def test_a_dead_run_is_removed_from_such_a_folder(tmp_path: Path, name: str) -> None:
    dead = "20261120-20261120T020000Z-0000000a"
    for run_id in (dead, "not-a-run"):
        StagingArea(str(tmp_path / name), run_id).begin()
    StagingArea(str(tmp_path / "b"), dead).begin()
    now = dt.datetime(2026, 11, 20, 2, tzinfo=dt.timezone.utc) + staging.KEEP + dt.timedelta(minutes=1)

    assert staging.remove_dead_runs(str(tmp_path / name), now) == [dead]

    assert [path.name for path in (tmp_path / name).iterdir()] == ["not-a-run"]
    assert (tmp_path / "b" / dead).exists()


def test_link_in_a_staging_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    area = StagingArea(str(tmp_path / "staging"), "run")
    area.begin()
    (tmp_path / "staging" / "run" / "link").symlink_to(tmp_path / "elsewhere")

    area.remove()

    assert (tmp_path / "elsewhere" / "kept").exists()


def staged(folder: Path, batches: list[pa.RecordBatch]) -> pq.ParquetFile:
    """The file that a bundle of these batches is written to."""
    step = StageRows(StagingArea(str(folder), "run"), "rejected", schemas.STAGED_REJECTED)
    step.start_bundle()
    for batch in batches:
        step.process(batch)
    (windowed,) = step.finish_bundle()
    assert windowed.value.rows == sum(batch.num_rows for batch in batches)
    return pq.ParquetFile(windowed.value.uri)


def rejected(rows: int, detail: str = "") -> pa.RecordBatch:
    columns = [pa.array([value] * rows, pa.string()) for value in ("c", "missing_vector", detail)]
    return pa.RecordBatch.from_arrays(columns, schema=schemas.STAGED_REJECTED)


def test_small_batches_share_a_row_group(tmp_path: Path) -> None:
    batches = [rejected(2_000, str(number)) for number in range(ROW_GROUP_ROWS * 3 // 2 // 2_000)]
    file = staged(tmp_path, batches)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        ROW_GROUP_ROWS,
        ROW_GROUP_ROWS // 2,
    ]
    assert file.read().equals(pa.Table.from_batches(batches))


def test_row_group_of_large_values_is_bounded_by_bytes(tmp_path: Path) -> None:
    file = staged(tmp_path, [rejected(100, "x" * 100_000) for _ in range(8)])
    assert file.num_row_groups == 2
    assert file.metadata.num_rows == 800


def test_only_few_valued_columns_have_a_dictionary(tmp_path: Path) -> None:
    """What else would be tried, compressed or measured takes as long again as to write it, and is never used."""
    metadata = staged(tmp_path, [rejected(2_000)]).metadata.row_group(0)
    columns = {metadata.column(place).path_in_schema: metadata.column(place) for place in range(metadata.num_columns)}
    assert [name for name, column in columns.items() if "RLE_DICTIONARY" in column.encodings] == ["reason", "detail"]
    assert not any(column.is_stats_set for column in columns.values())


@pytest.mark.parametrize("end", ["teardown", "start_bundle"])
def test_file_of_a_failed_bundle_is_closed(tmp_path: Path, end: str) -> None:
    step = StageRows(StagingArea(str(tmp_path), "run"), "rejected", schemas.STAGED_REJECTED)
    step.start_bundle()
    step.process(rejected(3))
    sink = step._sink
    assert not sink.closed

    getattr(step, end)()

    assert sink.closed
    assert list(step.finish_bundle()) == []
