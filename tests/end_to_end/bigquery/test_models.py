"""The model registry in a bucket: on an emulator, and on a server that honours generation preconditions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from google.api_core.exceptions import PreconditionFailed
from google.cloud import storage

from beam_pcc.errors import ModelError
from beam_pcc.models import artifact
from beam_pcc.models.registry import ModelVersion, Registry
from beam_pcc.models.versions import remove_incomplete
from beam_pcc.storage import bucket
from beam_pcc.storage.bucket import CloudStore
from beam_pcc.training.train import train
from tests.emulators import fake_gcs
from tests.emulators.running import BUCKET
from tests.end_to_end.bigquery.conftest import Cloud, sample
from tests.end_to_end.conftest import DAY, Workspace
from tests.http_servers import Handler, serving

OLD, NEW, THIRD = "v20250101_020000", "v20250102_020000", "v20250103_020000"
LIMIT = 1_000


@dataclasses.dataclass
class Folder:
    """A folder of a test's own in a bucket."""

    bucket: storage.Bucket
    name: str = dataclasses.field(default_factory=lambda: f"models/{uuid4().hex[:10]}")

    @property
    def url(self) -> str:
        return f"gs://{self.bucket.name}/{self.name}"

    def put(self, name: str, data: bytes | str) -> None:
        self.bucket.blob(f"{self.name}/{name}").upload_from_string(data)

    def text(self, name: str) -> str:
        return str(self.bucket.blob(f"{self.name}/{name}").download_as_text())

    def copy(self, version: Path, name: str | None = None) -> None:
        """Upload a version, under another name if one is given."""
        for file in version.iterdir():
            self.put(f"{name or version.name}/{file.name}", file.read_bytes())


@pytest.fixture
def trained(models: Path) -> Path:
    """The one version of the registry on disk."""
    (version,) = Registry(str(models)).versions()
    return models / version


@pytest.fixture
def empty(bucket: storage.Bucket) -> Folder:
    return Folder(bucket)


@pytest.fixture
def folder(empty: Folder, trained: Path) -> Folder:
    """The registry on disk, in the bucket."""
    empty.copy(trained)
    return empty


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> None:
        raise AssertionError("an object was downloaded")

    monkeypatch.setattr(storage.Blob, "download_to_file", download)


def test_a_registry_in_a_bucket_is_listed_as_on_disk(folder: Folder, workspace: Workspace) -> None:
    there = workspace.call("models", "list", "--models", folder.url)
    here = workspace.call("models", "list", "--models", workspace.models)

    assert there.code == 0, there.err
    assert there.out == here.out


def test_versions_are_listed_without_a_download(folder: Folder, trained: Path, no_download: None) -> None:
    folder.put(f"{OLD}/model.skops", b"never read")
    folder.put("v2025/model.joblib", b"no version")
    folder.put(f"below/{NEW}/model.joblib", b"another registry")
    assert Registry(folder.url).versions() == [OLD, trained.name]


def test_version_with_only_metadata_is_ignored(folder: Folder, trained: Path) -> None:
    folder.put("v20990101_000000/metadata.json", "{}")
    assert Registry(folder.url).versions() == [trained.name]


def test_versions_of_all_pages_are_listed(empty: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"v20250101_0000{n:02}" for n in range(7)]
    for name in names:
        empty.put(f"{name}/model.joblib", b"")
    pages = storage.Bucket.list_blobs
    monkeypatch.setattr(storage.Bucket, "list_blobs", lambda *given, **named: pages(*given, **named, page_size=3))

    assert Registry(empty.url).versions() == names


def test_a_version_in_a_bucket_is_verified(folder: Folder, trained: Path, workspace: Workspace) -> None:
    ended = workspace.call("models", "verify", "--models", f"{folder.url}/")

    assert ended.code == 0, ended.err
    assert f"{trained.name}: sound" in ended.out
    assert f"file        {folder.url}/{trained.name}/model.joblib" in ended.out
    assert "8 give their scores again" in ended.out


def test_version_swapped_in_bucket_is_refused(folder: Folder, trained: Path, workspace: Workspace) -> None:
    folder.put(f"{trained.name}/model.joblib", b"another")
    ended = workspace.call("models", "verify", "--models", folder.url)

    assert ended.code == 2
    assert "as metadata.json says; it was changed or swapped" in ended.err


def test_registry_in_bucket_gives_same_result_as_on_disk(folder: Folder, workspace: Workspace) -> None:
    assert workspace.run("sample://500").code == 0
    expected = workspace.published()

    ended = workspace.run("sample://500", "--models", folder.url)

    assert ended.code == 0, ended.err
    assert workspace.published() == expected


def test_worker_processes_load_model_from_bucket(folder: Folder, workspace: Workspace) -> None:
    workers = ("--direct_running_mode", "multi_processing", "--direct_num_workers", "2")
    process = workspace.spawn(
        "run", "--partition", DAY, *workspace.flags("sample://500", "--models", folder.url, *workers)
    )
    said, complained = process.communicate(timeout=300)

    assert process.returncode == 0, complained
    assert "published" in said


def test_source_models_and_tables_in_the_cloud(folder: Folder, cloud: Cloud) -> None:
    cloud.seed(sample(500))
    ended = cloud.run("--models", folder.url, "--read_method", "arrow")

    assert ended.code == 0, ended.err
    assert cloud.monitoring()[0]["status"] == "success"


def test_backfill_with_registry_in_bucket(folder: Folder, workspace: Workspace) -> None:
    flags = workspace.flags("sample://250", "--models", folder.url)
    ended = workspace.call("backfill", "--from", "20261119", "--to", DAY, *flags)

    assert ended.code == 0, ended.err
    assert [line.split()[1] for line in ended.out.splitlines()] == ["published", "published"]


def test_a_run_uses_the_promoted_version(folder: Folder, trained: Path, workspace: Workspace) -> None:
    folder.copy(trained, OLD)
    folder.put("current.json", json.dumps({"version": OLD}))

    assert workspace.run("sample://250", "--models", folder.url).code == 0
    assert {row[4] for row in workspace.published()} == {OLD}


def test_a_digest_pins_the_file_in_the_bucket(folder: Folder, trained: Path, workspace: Workspace) -> None:
    pin = artifact.digest((trained / "model.joblib").read_bytes())
    assert workspace.run("sample://250", "--models", folder.url, "--model_sha256", pin).code == 0

    ended = workspace.run("sample://250", "--models", folder.url, "--model_sha256", "0" * 64)

    assert ended.code == 2
    assert f"not {'0' * 64} as --model_sha256 says" in ended.err


def test_worker_refuses_file_changed_since_launch(folder: Folder, trained: Path) -> None:
    version, _ = Registry(folder.url).load(trained.name)
    folder.put(f"{trained.name}/model.joblib", b"another")

    with pytest.raises(ModelError, match="SHA-256"):
        version.file.load()


def test_a_file_that_is_gone_is_an_error(folder: Folder, trained: Path) -> None:
    version, _ = Registry(folder.url).load(trained.name)
    folder.bucket.blob(f"{folder.name}/{trained.name}/model.joblib").delete()

    with pytest.raises(ModelError, match=r"model\.joblib cannot be read: it is not there; check the path"):
        version.file.load()


def test_too_large_file_is_refused_before_download(folder: Folder, trained: Path, no_download: None) -> None:
    store = CloudStore(folder.url)
    with pytest.raises(ModelError, match=rf"^{folder.url}/.*model\.joblib has .* bytes, more than 1,000: not a model$"):
        store.read(f"{trained.name}/model.joblib", LIMIT)


def test_empty_registry_error_names_train_command(empty: Folder, workspace: Workspace) -> None:
    ended = workspace.run("sample://250", "--models", empty.url)

    assert ended.code == 2
    assert f"--models {empty.url} holds no version; train one with beam-pcc train --models {empty.url}" in ended.err


@pytest.mark.parametrize("command", [["models", "list"], ["models", "verify"], ["models", "promote", OLD]])
def test_a_missing_bucket_is_one_line(emulators: object, workspace: Workspace, command: list[str]) -> None:
    ended = workspace.call(*command, "--models", "gs://no-such-bucket-here/models")

    assert ended.code == 2
    assert ended.err == "beam-pcc: gs://no-such-bucket-here/models is not there; check its name, or make it\n"


def test_training_into_missing_bucket_fails_at_start(
    emulators: object, models: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn.model_selection.train_test_split", None)
    data = models.parent / "labelled.parquet"
    ended = workspace.call("train", "--data", data, "--models", "gs://no-such-bucket-here/models")

    assert ended.code == 2
    assert "gs://no-such-bucket-here/models is not there" in ended.err


def test_a_model_is_trained_into_a_bucket(empty: Folder, models: Path, trained: Path, workspace: Workspace) -> None:
    ended = workspace.call("train", "--data", models.parent / "labelled.parquet", "--models", empty.url)

    assert ended.code == 0, ended.err
    (version,) = Registry(empty.url).versions()
    assert f"  {empty.url}/{version}  (sha256 " in ended.out
    assert Registry(empty.url).verify(version).metadata.classes == Registry(str(models)).metadata(trained.name).classes


def test_missing_credentials_are_one_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(workspace.folder / "none.json"))
    ended = workspace.call("models", "list", "--models", "gs://bucket/models")

    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "no usable Google credentials" in line


def test_a_server_that_does_not_answer_is_one_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setattr(bucket, "RETRY_TIMEOUT", 1.0)
    ended = workspace.call("models", "list", "--models", "gs://bucket/models")

    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("beam-pcc: gs://bucket/models: Cloud Storage did not answer well for 1 s (")


class Denial(Handler):
    """Answers as Cloud Storage does to somebody without the right."""

    def serve(self, method: str) -> None:
        said = "tests@pcc.iam.gserviceaccount.com does not have storage.objects.list access"
        self.send(403, {"error": {"code": 403, "message": said, "errors": [{"reason": "forbidden"}]}})


def test_missing_permission_on_bucket_is_one_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Denial) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        ended = workspace.call("models", "list", "--models", "gs://bucket/models")

    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("beam-pcc: gs://bucket/models: no permission (")
    assert "storage.objects.list" in line


# On fake-gcs-server: that of several writers one wins.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_gcs.running(fake_gcs.binary(), tmp_path_factory.mktemp("fake-gcs")) as address:
        yield address


@pytest.fixture
def strict(server: str, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """An empty folder on a server that honours preconditions."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    client = storage.Client(project="pcc-test")
    bucket = client.bucket(BUCKET)
    if not bucket.exists():
        client.create_bucket(bucket)
    return Folder(bucket)


@pytest.fixture
def versions(strict: Folder, trained: Path) -> Folder:
    """Three sound versions, none of which is promoted."""
    for name in (OLD, NEW, THIRD):
        strict.copy(trained, name)
    return strict


class Meeting(Registry):
    """A promoter who does something after reading what is current, and before writing."""

    def __init__(self, root: str, between: Callable[[], Any]) -> None:
        super().__init__(root)
        self._between = between

    def verify(self, version: str, **given: Any) -> ModelVersion:
        self._between()
        return super().verify(version, **given)


def test_server_compares_generation_if_given(strict: Folder) -> None:
    """Else the tests below would prove nothing."""
    blob = strict.bucket.blob(f"{strict.name}/a")
    blob.upload_from_string(b"one", if_generation_match=0)
    for wrong in (0, 12345):
        with pytest.raises(PreconditionFailed):
            blob.upload_from_string(b"two", if_generation_match=wrong)
    blob.upload_from_string(b"three")
    assert strict.text("a") == "three"


def test_a_version_in_a_bucket_is_promoted(versions: Folder, workspace: Workspace) -> None:
    first = workspace.call("models", "promote", OLD, "--models", versions.url, "--force")
    second = workspace.call("models", "promote", NEW, "--models", versions.url, "--force")
    again = workspace.call("models", "promote", NEW, "--models", versions.url, "--force")

    assert (first.code, second.code, again.code) == (0, 0, 0), first.err + second.err + again.err
    said = first.out.splitlines()
    assert (said[0], said[-1]) == (f"current: {OLD} (was none)", f"  to go back: remove {versions.url}/current.json")
    assert second.out.startswith(f"current: {NEW} (was {OLD})\n")
    assert again.out == f"current: {NEW} (already; nothing was changed)\n"
    assert json.loads(versions.text("current.json"))["version"] == NEW
    assert Registry(versions.url).resolve() == NEW


@pytest.mark.parametrize("before", [None, OLD])
def test_second_concurrent_promotion_is_refused(versions: Folder, before: str | None) -> None:
    if before:
        Registry(versions.url).promote(before)
    slow = Meeting(versions.url, lambda: Registry(versions.url).promote(NEW))

    said = (
        rf"^{versions.url}/current\.json was changed by somebody else meanwhile \(now {NEW}\): look, and promote again$"
    )
    with pytest.raises(ModelError, match=said):
        slow.promote(THIRD)
    assert Registry(versions.url).current() == NEW


@pytest.mark.parametrize("before", [False, True])
def test_one_of_concurrent_promotions_succeeds(versions: Folder, trained: Path, before: bool) -> None:
    if before:
        versions.copy(trained, "v20240101_000000")
        Registry(versions.url).promote("v20240101_000000")
    barrier = Barrier(3)

    def race(version: str) -> None:
        Meeting(versions.url, lambda: barrier.wait(60)).promote(version)

    with ThreadPoolExecutor(3) as threads:
        racing = {version: threads.submit(race, version) for version in (OLD, NEW, THIRD)}
        refused = {version: str(ended.exception()) for version, ended in racing.items() if ended.exception()}

    assert sorted(racing) == sorted([*refused, str(Registry(versions.url).current())])
    assert all("was changed by somebody else meanwhile" in said for said in refused.values())
    assert Registry(versions.url).verify_history().lines == 1 + before


def test_changed_log_in_a_bucket_is_named(versions: Folder, workspace: Workspace) -> None:
    for version in (OLD, NEW, THIRD):
        Registry(versions.url).promote(version)
    verify = ("models", "history", "--models", versions.url, "--verify")
    assert workspace.call(*verify).out.startswith("log: whole; 3 of 3 lines are chained\n")

    versions.put(
        "promotions.jsonl", versions.text("promotions.jsonl").replace(f'"version": "{OLD}"', f'"version": "{NEW}"')
    )
    ended = workspace.call(*verify)
    assert (ended.code, "the chain is broken at line 2: it does not follow line 1" in ended.err) == (2, True)


def test_write_with_lost_response_has_succeeded(strict: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = storage.Blob.upload_from_string

    def twice(blob: storage.Blob, *given: Any, **named: Any) -> None:
        upload(blob, *given, **named)
        upload(blob, *given, **named)  # as the client's retry does

    monkeypatch.setattr(storage.Blob, "upload_from_string", twice)
    assert CloudStore(strict.url).replace("current.json", b"{}", 0)


def test_file_replaced_during_read_is_read_again(strict: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    strict.put("a", b"one")
    look, changes = storage.Bucket.get_blob, iter([b"two"])

    def then_change(*given: Any, **named: Any) -> Any:
        found = look(*given, **named)
        for data in changes:
            strict.put("a", data)
        return found

    monkeypatch.setattr(storage.Bucket, "get_blob", then_change)
    content = CloudStore(strict.url).read("a", LIMIT)

    assert content is not None
    assert content.data == b"two"


def test_file_replaced_repeatedly_is_an_error(strict: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    strict.put("a", b"one")
    look = storage.Bucket.get_blob

    def then_change(*given: Any, **named: Any) -> Any:
        found = look(*given, **named)
        strict.put("a", b"another")
        return found

    monkeypatch.setattr(storage.Bucket, "get_blob", then_change)
    with pytest.raises(ModelError, match=r"a was replaced each time that it was read; run again$"):
        CloudStore(strict.url).read("a", LIMIT)


def test_existing_folder_is_not_changed(strict: Folder) -> None:
    store = CloudStore(strict.url)
    assert store.add_folder(OLD, {"metadata.json": b"{}", "model.joblib": b"first"})

    assert not store.add_folder(OLD, {"metadata.json": b"{}", "model.joblib": b"second"})
    assert strict.text(f"{OLD}/model.joblib") == "first"


def test_folder_of_a_killed_writer_is_completed_by_the_same_files(strict: Folder) -> None:
    strict.put("0123/metadata.json", b"{}")
    files = {"metadata.json": b"{}", "encoder.onnx": b"graph"}

    assert CloudStore(strict.url).add_folder("0123", files)
    assert strict.text("0123/encoder.onnx") == "graph"
    assert not CloudStore(strict.url).add_folder("0123", files)


def test_folder_of_another_writer_is_not_completed(strict: Folder) -> None:
    strict.put("0123/metadata.json", b"[]")
    assert not CloudStore(strict.url).add_folder("0123", {"metadata.json": b"{}", "encoder.onnx": b"graph"})
    assert CloudStore(strict.url).files("0123") == {"metadata.json"}


def test_incomplete_version_is_removed_a_day_later(strict: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CloudStore(strict.url)
    store.replace(f"{OLD}/metadata.json", b"{}", 0)
    store.replace("visits/metadata.json", b"no version", 0)
    strict.put(f"{THIRD}/metadata.json", b"of somebody else")
    store.add_folder(NEW, {"metadata.json": b"{}", "model.joblib": b"whole"})
    assert remove_incomplete(store) == []

    two_days_on = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=2)
    monkeypatch.setattr("beam_pcc.storage.bucket._now", lambda: two_days_on)
    assert remove_incomplete(store) == [OLD]
    assert (store.files(OLD), store.files(NEW)) == (set(), {"metadata.json", "model.joblib"})
    assert store.files("visits") == store.files(THIRD) == {"metadata.json"}


def test_training_in_same_second_uses_the_next_one(
    strict: Folder, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([OLD, OLD, NEW])
    monkeypatch.setattr("beam_pcc.training.versions.new_version", lambda _: next(seconds))
    data = str(models.parent / "labelled.parquet")
    made = [train(data, strict.url, seed=seed) for seed in (1, 2)]

    registry = Registry(strict.url)
    assert registry.versions() == [m.version for m in made] == [OLD, NEW]
    assert [registry.verify(m.version).file.sha256 for m in made] == [m.sha256 for m in made]
    assert [registry.metadata(m.version).seed for m in made] == [1, 2]


def test_registry_copied_from_bucket_works_on_disk(versions: Folder, trained: Path, tmp_path: Path) -> None:
    Registry(versions.url).promote(NEW)
    shutil.copytree(trained, tmp_path / NEW)
    (tmp_path / "current.json").write_text(versions.text("current.json"))

    assert Registry(str(tmp_path)).current() == NEW
