"""The folder of a SentenceTransformer: its digest, and what is refused before torch sees it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.features.encoders import published_folder, serving
from beam_pcc.features.encoders.export import export
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.encoders.published_folder import PublishedFiles
from beam_pcc.storage.folder import LocalStore
from tests.encoders import toy

BACKEND = "sentence-transformers"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy.publish(tmp_path / "toy", documents=toy.sentence_transformer())


def test_digest_is_that_of_sha256sum(folder: Path) -> None:
    command = "LC_ALL=C; sha256sum $(ls *.json *.safetensors 1_Pooling/*.json | sort) | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True, text=True).stdout

    assert published_folder.read(str(folder)).sha256 == printed.split()[0]


FILES = st.dictionaries(st.text("abAB._-/", min_size=1, max_size=6), st.binary(max_size=4), max_size=4)


@given(FILES, FILES)
def test_digest_is_of_names_and_contents(some: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (PublishedFiles(some).sha256 == PublishedFiles(other).sha256) == (some == other)


@pytest.mark.parametrize("name", ["README.md", "pytorch_model.bin", "modeling.py", ".gitattributes", "onnx/model.json"])
def test_files_that_are_not_loaded_do_not_count(folder: Path, name: str) -> None:
    before = published_folder.read(str(folder))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"anything")

    assert published_folder.read(str(folder)) == before


@pytest.mark.parametrize("name", ["model.safetensors", "1_Pooling/config.json", "vocab.txt", "added_tokens.json"])
def test_changed_or_added_file_changes_the_digest(folder: Path, name: str) -> None:
    before = published_folder.read(str(folder)).sha256
    data = (folder / name).read_bytes() if (folder / name).exists() else b"{}"
    (folder / name).write_bytes(data + b" ")

    assert published_folder.read(str(folder)).sha256 != before


def test_written_files_are_those_of_the_digest(folder: Path, tmp_path: Path) -> None:
    files = published_folder.read(str(folder))
    copy = tmp_path / "copy"
    copy.mkdir()
    files.write_to(copy)

    assert published_folder.read(str(copy)) == files
    for name, data in files.files.items():
        assert hashlib.sha256((copy / name).read_bytes()).digest() == hashlib.sha256(data).digest()


def modules(dtype: str, path: str = "") -> list[dict[str, object]]:
    return [{"idx": 0, "name": "0", "path": path, "type": dtype}]


def write(name: str, document: object) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps(document))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


REFUSED = {
    "own_code": (write("modules.json", modules("modeling.Evil")), "code of a model is never run"),
    "other_package": (write("modules.json", modules("subprocess.Popen")), "code of a model is never run"),
    "not_a_module": (write("modules.json", modules("sentence_transformers.util.http_get")), "is never run"),
    "outside": (write("modules.json", modules("sentence_transformers.models.Transformer", "..")), "names the folder"),
    "nested": (write("modules.json", modules("sentence_transformers.models.Pooling", "a/b")), "names the folder"),
    "no_modules": (lambda folder: (folder / "modules.json").unlink(), "holds no SentenceTransformer"),
    "no_list": (write("modules.json", {}), "no list of modules"),
    "no_json": (lambda folder: (folder / "modules.json").write_bytes(b"\xff["), "is not JSON"),
    "pickled": (pickled, "pickled ones can run code"),
    "adapter": (write("adapter_config.json", {"base_model_name_or_path": "x"}), "an adapter of another model"),
    "activation": (write("1_Pooling/config.json", {"activation_function": "os.abort"}), "not torch's"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folder_that_is_refused_is_one_line(folder: Path, case: str) -> None:
    change, why = REFUSED[case]
    change(folder)

    with pytest.raises(ModelError, match=why) as refused:
        serving.find_encoder(str(folder), BACKEND)
    assert str(refused.value).startswith(f"--encoder {folder}")


def test_folder_in_a_bucket_is_read_as_one_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(root: str, flag: str) -> LocalStore:
        assert (root, flag) == ("gs://bucket/encoders", "--encoder")
        return LocalStore(str(folder.parent))

    on_disk = published_folder.read(str(folder))
    monkeypatch.setattr(published_folder, "open_store", opened)

    assert published_folder.read("gs://bucket/encoders/toy/") == on_disk


def test_linked_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(tmp_path / "blob")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")

    with pytest.raises(ModelError, match="is a link"):
        serving.find_encoder(str(folder), BACKEND)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_name_of_a_model_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"is no folder; .* no model is downloaded by its name"):
        serving.find_encoder(name, BACKEND)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_published_folder_does_not_fit_other_backends(folder: Path, backend: str) -> None:
    with pytest.raises(ModelError, match="compute it with --encoder_backend sentence-transformers"):
        serving.find_encoder(str(folder), backend)  # type: ignore[arg-type]


def test_exported_encoder_does_not_fit_this_backend(folder: Path, tmp_path: Path) -> None:
    exported = export(str(folder), str(tmp_path / "encoders"))
    with pytest.raises(ModelError, match="is an exported encoder; compute it with --encoder_backend onnx"):
        serving.find_encoder(exported.address, BACKEND)


def test_changed_folder_is_refused_when_it_is_opened(folder: Path) -> None:
    ref = serving.find_encoder(str(folder), BACKEND)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")

    with pytest.raises(ModelError, match=r"not .* that the model was trained with"):
        serving.open_encoder(ref, BACKEND, 1)


def test_missing_package_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigurationError, match=r"needs the extra sentence-transformers, .* pip install"):
        serving.open_encoder(serving.find_encoder(str(folder), BACKEND), BACKEND, 1)


def test_encoder_has_the_name_of_its_folder(folder: Path) -> None:
    assert serving.name_of(f"{folder}/", BACKEND) == "toy"


def test_reference_of_another_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="name that one with --encoder"):
        serving.open_encoder(EncoderRef(str(folder), "0" * 64), BACKEND, 1)
