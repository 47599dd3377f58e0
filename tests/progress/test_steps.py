"""What the steps of commands count: totals that are right, and reached."""

import datetime as dt
import threading
from pathlib import Path

import numpy as np
import pytest

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.faults import rejected_rows
from beam_pcc.cli import main as cli
from beam_pcc.doctor.deadlines import run_checks
from beam_pcc.errors import ConfigurationError, MissingSourceError
from beam_pcc.evaluation import metrics
from beam_pcc.features.encoders.serving import Encoder
from beam_pcc.publishing.warehouse.duckdb.file import DuckDBFile
from beam_pcc.sources import synthetic
from beam_pcc.sources.waiting import wait_for_source
from beam_pcc.storage.bucket import CloudStore
from beam_pcc.training import fitting
from beam_pcc.training.windowed import Messages
from tests.encoders import toy
from tests.http_servers import Handler, serving
from tests.progress.recording import Shown
from tests.warehouse.test_duckdb_file import add, client


def test_duplicates_are_no_rejected_rows() -> None:
    """They were scored before Publish rejected them: a row is counted once."""
    counters = {"rows_scored": 90, "rows_rejected_bad_timestamp": 4, "rows_rejected_model_error": 6}

    assert rejected_rows({**counters, f"{faults.COUNTER}{faults.DUPLICATE_CASE_ID.code}": 3}) == 10


def test_encoder_counts_each_text(view: Shown) -> None:
    encoder = Encoder(
        toy.tokenizer().to_str().encode(), lambda ids, mask: np.zeros((len(ids), schemas.EMBEDDING_DIM), np.float32)
    )
    texts = ["please delete my data " * length for length in range(1, 60)]
    counts: list[int] = []
    encoder.encode(texts, counts.append)

    assert sum(counts) == len(texts)
    assert len(counts) > 5


def test_search_counts_each_candidate(view: Shown) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([schemas.PC, schemas.NOT_PC], 60)
    x = (rng.standard_normal((120, 5)) + (y == schemas.PC)[:, None]).astype(np.float32)
    rows = fitting.deciding_rows(Messages.whole(x, y), scaled=True)
    fitting.choose_hyperparameters(rows, 0, scaled=True)

    chosen = view.ended("choosing the regularisation")
    assert (chosen.done, chosen.total) == (3, 3)


def test_intervals_of_metrics_are_a_task(view: Shown) -> None:
    metrics.intervals(np.repeat([True, False], 10), np.linspace(0, 1, 20), 0.5)

    assert view.ended("computing intervals of the metrics")


def test_sample_counts_its_rows(view: Shown, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "cases.parquet", 3_000, dt.date(2026, 11, 20))

    made = view.ended("making cases")
    assert (made.done, made.total) == (3_000, 3_000)


def test_checks_of_doctor_are_counted(view: Shown) -> None:
    run_checks({"one": lambda: "ok", "two": lambda: "ok"}, 10)

    checked = view.ended("checking")
    assert (checked.done, checked.total) == (2, 2)


def test_export_counts_the_rows_of_each_table(view: Shown, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    assert cli.main(["tables", "create", "--warehouse", str(path)]) == 0
    values = "'a', 'empty_text', 'd', DATE '2026-11-20', 'r', TIMESTAMPTZ '2026-11-20 10:00:00Z'"
    add(path, f"INSERT INTO pcc_quarantine SELECT {values} FROM range(7)")
    words = ["--warehouse", str(path), "--output", str(tmp_path / "out"), "pcc_quarantine", "pcc_inference_output"]
    assert cli.main(["tables", "export", *words]) == 0

    assert view.ended("exporting pcc_quarantine").done == 7
    assert view.ended("exporting pcc_inference_output").done == 0


def test_wait_for_the_source_says_how_long(view: Shown) -> None:
    """Without lines of its own: the wait logs its reasons."""
    seen = []

    def find() -> Handler:
        raise MissingSourceError("--source day.parquet matches no file")

    def sleep(_: float) -> None:
        seen.append(view.until(lambda shown: shown.task == "waiting for the source" and bool(shown.note)))
        threading.Event().wait(0.3)

    with pytest.raises(ConfigurationError, match="in vain"):
        wait_for_source(find, 0.2, sleep=sleep)  # type: ignore[type-var]
    assert seen[0].note.startswith("at most ")
    assert not seen[0].is_logged


@pytest.mark.end_to_end
def test_wait_for_a_lock_is_shown(view: Shown, tmp_path: Path) -> None:
    path = tmp_path / "pcc.duckdb"
    add(path, "CREATE TABLE t AS SELECT 1 AS i")

    def read() -> None:
        with DuckDBFile(str(path), lock_timeout=20).read():
            pass

    thread = threading.Thread(target=read)
    with client(path):
        thread.start()
        shown = view.until(lambda shown: shown.task == "waiting for the lock of pcc.duckdb")
    thread.join(20)

    assert not shown.is_logged
    assert not thread.is_alive()


OBJECT = b"x" * (3 * 2**20)


class Bucket(Handler):
    """One object, sent in pieces: the first one, then the rest when it has been seen."""

    go_on = threading.Event()

    def serve(self, method: str) -> None:
        if method == "GET" and "alt=media" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(len(OBJECT)))
            self.end_headers()
            self.wfile.write(OBJECT[: 2**20])
            self.go_on.wait(10)
            self.wfile.write(OBJECT[2**20 :])
        elif method == "GET":
            address = f"http://{self.headers['Host']}/download?alt=media"
            self.send(200, {"name": "m/v/a", "size": str(len(OBJECT)), "generation": "1", "mediaLink": address})
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send(200, {"name": "m/v/a", "generation": "2"})


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    with serving(Bucket, Bucket.go_on) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield CloudStore("gs://bucket/m")


def test_download_counts_its_bytes(view: Shown, bucket: CloudStore) -> None:
    contents = []
    thread = threading.Thread(target=lambda: contents.append(bucket.read("v/a", 2**23)))
    thread.start()
    shown = view.until(lambda shown: shown.task == "downloading v/a" and shown.done > 0)
    Bucket.go_on.set()
    thread.join(20)

    assert (shown.total, shown.unit) == (len(OBJECT), "bytes")
    assert 0 < shown.done <= 2**20
    assert view.ended("downloading v/a").done == len(OBJECT)
    assert contents[0].data == OBJECT


def test_upload_is_a_task(view: Shown, bucket: CloudStore) -> None:
    assert bucket.replace("v/a", OBJECT, 0)

    uploaded = view.ended("uploading v/a")
    assert (uploaded.done, uploaded.total) == (len(OBJECT), len(OBJECT))
