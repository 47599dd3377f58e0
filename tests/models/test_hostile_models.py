"""No model file runs code, reads beyond its bytes, or causes anything but a one-line error."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from beam_pcc.errors import ModelError
from beam_pcc.models import artifact
from beam_pcc.models.safe_loading import inert
from tests.models import hostile

WHERE = "models/v20261120_060000/model.file"
ATTACKS = [("joblib", name) for name in hostile.PICKLES] + [("skops", name) for name in hostile.SKOPS]

# Of attacks that could be refused for another reason than their own.
REASONS = {
    "os_system": "asks for os.system, which is not an allowed model type",
    "posix_system_in_a_model": "asks for posix.system",
    "array_of_objects": "asks for os.system",
    "dotted_name": "asks for posixpath.os.system",
    "dotted_name_from_an_allowed_module": "asks for sklearn.calibration.warnings.sys.modules.get",
    "z_nd_array_wrapper": "asks for joblib.numpy_pickle.ZNDArrayWrapper",
    "extension_registry": "uses the pickle instruction EXT1",
    "persistent_id": "uses the pickle instruction BINPERSID",
    "state_for_a_class": "gives state to what takes none",
    "tree_with_two_states": "gives one object its state twice",
    "class_as_an_attribute": "classes_ is missing",
    "bytes_after_the_end": "goes on after its end",
    "gzip_bomb": "unpacks to, more than 4,194,304 bytes; train a smaller model",
    "array_larger_than_the_file": "describes an odd array",
    "array_state_larger_than_its_values": "describes an array that differs from its values",
    "dtype_with_fields_beyond_its_items": "describes an odd type of array",
    "dtype_with_objects": "describes an odd type of array",
    "dtype_that_numpy_shares": "calls dtype with odd arguments",
    "plain_text": "is not a joblib file",
    "deep_tuple_as_a_key": "fills an odd dict",
    "deep_list": "holds a list, which is no allowed classifier",
    "no_end_of_instructions": "has too many parts",
    "inst": "uses the pickle instruction INST",
    "estimator_that_wraps_itself": "is nested too deeply",
    "lzma_that_wants_4_gigabytes": "does not unpack",
    "tree_without_nodes": "is missing",
    "forest_cycle": "children are out of range",
    "forest_feature_negative": "features are out of range",
    "forest_of_any_width": "n_features_in_ is missing",
    "boosted_cycle": "children are out of range",
    "boosted_category": "splits go by category",
    "skops_function_of_numpy": "asks for numpy.add by FunctionNode",
    "skops_function_transformer": "FunctionTransformer by ObjectNode",
    "skops_generator_that_is_a_function": "has an odd random generator",
    "skops_generator_of_a_huge_pool": "has an odd random generator",
    "skops_bomb": "unpacks to more than",
    "skops_path_traversal": "has an odd member",
    "skops_array_larger_than_its_member": "describes an odd array",
    "skops_array_of_objects": "has an array of an odd type",
    "skops_older_protocol": "is not of skops protocol 2",
    "skops_forest_cycle": "children are out of range",
}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs need not be large to be larger than what is allowed."""
    monkeypatch.setattr(artifact, "MAX_MODEL_BYTES", 4 * 2**20)
    monkeypatch.setattr(inert, "MAX_STEPS", 100_000)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(("file_format", "name"), ATTACKS, ids=[name for _, name in ATTACKS])
def test_hostile_file_is_refused_in_one_line(file_format, name, tmp_path):
    canary = tmp_path / "canary"
    builders = hostile.PICKLES if file_format == "joblib" else hostile.SKOPS
    data = builders[name](canary)

    with pytest.raises(ModelError) as caught:
        artifact.load(data, file_format=file_format, where=WHERE)

    said = str(caught.value)
    assert said.startswith(f"{WHERE} ")
    assert said.isprintable(), "one line, no control characters"
    assert len(said) < 400
    assert REASONS.get(name, "") in said
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "no other error's traceback is shown with it"
    assert not canary.exists()
    assert not hasattr(LogisticRegression, "hacked")


def test_every_reason_is_of_an_attack():
    assert set(REASONS) <= {name for _, name in ATTACKS}


def test_the_attacks_are_real(tmp_path):
    """Without the limits the canaries appear: the test above could fail."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in hostile.FIRES:
        (folder / name).write_bytes(hostile.PICKLES[name](tmp_path / name))
    unrestricted = (
        "import sys, pathlib, joblib\n"
        "for file in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try:\n"
        "        joblib.load(file)\n"
        "    except Exception:\n"
        "        pass\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", unrestricted, str(folder)], check=True, timeout=60)
    patience = time.monotonic() + 10  # a process that Popen started may be slow
    silent = set(hostile.FIRES)
    while silent and time.monotonic() < patience:
        time.sleep(0.05)
        silent = {name for name in silent if not (tmp_path / name).exists()}
    assert len(hostile.FIRES) >= 20
    assert not silent


def test_nothing_is_imported_for_a_refused_name(tmp_path):
    files = [hostile.program(hostile.name("wsgiref.simple_server", "WSGIServer"))]
    script = (
        "import sys, json\n"
        "from beam_pcc.models import artifact\n"
        "for text in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        artifact.load(bytes.fromhex(text), file_format='joblib', where='x')\n"
        "    except artifact.ModelError:\n"
        "        pass\n"
        "print('wsgiref' in sys.modules)\n"
    )
    encoded = json.dumps([data.hex() for data in files])
    done = subprocess.run([sys.executable, "-c", script, encoded], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def _loads_or_refuses(data: bytes, file_format: str) -> None:
    try:
        artifact.check_classifier(artifact.load(data, file_format=file_format, where=WHERE), where=WHERE)
    except ModelError as error:
        said = str(error)
    else:
        said = f"{WHERE} loads"
    assert said.startswith(f"{WHERE} ")
    assert said.isprintable()


FORMATS = st.sampled_from(["joblib", "skops"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), FORMATS, st.sampled_from([b"", b"\x80\x04", b"PK\x03\x04", b"\x78\x9c"]))
def test_random_bytes_are_refused(data, file_format, head):
    _loads_or_refuses(head + data, file_format)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), file_format=FORMATS)
def test_damaged_models_load_or_are_refused(data, file_format, honest):
    damaged = bytearray(honest[file_format])
    where = st.integers(0, len(damaged) - 1)
    for position, value in data.draw(st.lists(st.tuples(where, st.integers(0, 255)), min_size=1, max_size=8)):
        damaged[position] = value
    _loads_or_refuses(bytes(damaged), file_format)


@pytest.fixture(scope="module")
def honest() -> dict[str, bytes]:
    model = hostile.logistic()
    return {"joblib": hostile.as_joblib(model), "skops": hostile.packed(*hostile.as_skops(model))}
