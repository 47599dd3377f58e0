"""Coverage-guided fuzzing of what reads a model file: `python -m tests.models.fuzz_models TARGET ...`, not by pytest.

TARGET is pickle, skops, schema or metadata; what follows goes to libFuzzer. Needs atheris (`pip install atheris`), in
an environment that has this package:

    python -m tests.models.fuzz_models seeds FOLDER        # write honest files to begin with
    python -m tests.models.fuzz_models pickle FOLDER/pickle -max_total_time=1200 -rss_limit_mb=2048

A finding is anything but a refusal: another exception, a crash, a hang, too much memory. What it finds goes to
`corpus/`, which `test_fuzz_corpus.py` replays.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import pickletools
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

try:
    import atheris

    watched: Any = atheris.instrument_imports(include=["beam_pcc.models"])
except ImportError:  # the tests replay the corpus without it
    watched = contextlib.nullcontext()
with watched:
    from beam_pcc.errors import ModelError
    from beam_pcc.models import documents
    from beam_pcc.models.metadata import Golden, ModelMetadata
    from beam_pcc.models.safe_loading import estimators, inert, pickles, skops_files
    from beam_pcc.models.safe_loading.allowed import RefusedError

FEATURES = 3
LIMIT = 2**22
ROWS = np.linspace(-3, 3, 4 * FEATURES, dtype=np.float32).reshape(4, FEATURES)


def load(data: bytes, file_format: str) -> Any:
    """Read, build and score: as a run does, but with fewer features, so that mutations hit more often."""
    try:
        read = pickles.load if file_format == "pickle" else skops_files.load
        model = estimators.build(read(data, LIMIT), FEATURES)
    except RefusedError:
        return None
    score(model)
    return model


def score(model: Any) -> None:
    """Whatever was built scores, or raises ValueError; its probabilities need not make sense."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model.predict_proba(ROWS)
    except (ValueError, FloatingPointError):  # such as an isotonic regression that is asked beyond its range
        pass


def schema(data: bytes) -> None:
    """The schemas alone: an honest description with a few of its values exchanged, as `data` says."""
    honest = descriptions()
    source = _Bytes(data)
    described = honest[source.number(len(honest))]
    for _ in range(1 + source.number(3)):
        described = _changed(described, source)
    try:
        model = estimators.build(described, FEATURES)
    except RefusedError:
        return
    score(model)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def number(self, below: int) -> int:
        return int.from_bytes(self._stream.read(2).ljust(2, b"\0"), "little") % below

    def eight(self) -> bytes:
        return self._stream.read(8).ljust(8, b"\0")


_DTYPES = ("<f8", "<f4", "<f2", "<i8", "<i4", "<u4", "|u1", "|b1", "<U2", ">f8", "<c16", "<M8[s]")


def _odd(source: _Bytes, honest: list[Any]) -> Any:
    kind = source.number(12)
    raw = source.eight()
    integer, real = struct.unpack("<q", raw)[0], struct.unpack("<d", raw)[0]
    shape = tuple(source.number(5) for _ in range(source.number(4)))
    values: list[Any] = [
        None,
        integer,
        real,
        np.float32(raw[0]),
        np.float64(real),
        raw.decode("latin-1"),
        [],
        (),
        inert.LEFTOVER,
        inert.Objects((len(raw),), list(raw.decode("latin-1"))),
        honest[source.number(len(honest))],
        np.zeros(shape, _DTYPES[source.number(len(_DTYPES))]),
    ]
    return values[kind]


def _changed(value: Any, source: _Bytes) -> Any:
    """A copy of a description with one value exchanged, somewhere below."""
    if type(value) is inert.Record and value.state and source.number(20):
        state = dict(value.state)
        name = sorted(state)[source.number(len(state))]
        if source.number(10):
            state[name] = _changed(state[name], source)
        else:
            del state[name]
        return inert.Record(value.name, value.arguments, state)
    if type(value) in (list, tuple) and value and source.number(20):
        values = list(value)
        position = source.number(len(values))
        if source.number(10):
            values[position] = _changed(values[position], source)
        elif source.number(2):
            del values[position]
        else:
            values.append(values[position])
        return type(value)(values)
    if type(value) is np.ndarray and value.size and source.number(10):
        array = value.copy()
        raw = array.reshape(-1).view(np.uint8)
        for _ in range(1 + source.number(3)):
            raw[source.number(len(raw))] = source.number(256)
        return array
    return _odd(source, descriptions())


_DESCRIPTIONS: list[Any] = []


def descriptions() -> list[Any]:
    if not _DESCRIPTIONS:
        _DESCRIPTIONS.extend(pickles.load(pickle.dumps(model)) for model in models())
    return _DESCRIPTIONS


def models() -> list[Any]:
    """One small model of every kind."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    rows = np.random.default_rng(3).normal(size=(60, FEATURES)).astype(np.float32)
    two = np.array(["NOT_PC", "PC"] * 30, dtype=object)
    three = np.array(["NOT_PC", "PC/a", "PC/b"] * 20, dtype=object)
    kinds: list[Any] = [
        LogisticRegression(max_iter=5),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5)),
        SGDClassifier(loss="modified_huber", max_iter=3, random_state=1),
        RandomForestClassifier(2, max_depth=3, random_state=1),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3, max_leaf_nodes=4),
        CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2),
        CalibratedClassifierCV(LinearSVC(max_iter=20), method="isotonic", cv=2),
        CalibratedClassifierCV(RandomForestClassifier(2, max_depth=2), cv=2),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = [kind.fit(rows, two) for kind in kinds]
        fitted.append(LogisticRegression(max_iter=5).fit(rows, three))
        fitted.append(HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=3, max_leaf_nodes=4).fit(rows, three))
        frozen = FrozenEstimator(make_pipeline(StandardScaler(), LinearSVC(max_iter=20)).fit(rows, three))
        fitted.append(CalibratedClassifierCV(frozen, method="sigmoid").fit(rows, three))
    return fitted


def seeds(folder: Path) -> None:
    """Honest files, one folder for each target."""
    import joblib
    import skops.io

    for number, model in enumerate(models()):
        file = io.BytesIO()
        joblib.dump(model, file)
        plain = pickletools.optimize(pickle.dumps(model, protocol=4))
        for target, name, data in (
            ("pickle", "joblib", file.getvalue()),
            ("pickle", "plain", plain),
            ("skops", "skops", skops.io.dumps(model)),
            ("schema", "bytes", bytes([number, 0]) * 20),
        ):
            (folder / target).mkdir(parents=True, exist_ok=True)
            (folder / target / f"{number}.{name}").write_bytes(data)


def metadata_seeds(folder: Path) -> None:
    """Small files with every kind of value."""
    (folder / "metadata").mkdir(exist_ok=True)
    golden = Golden(np.zeros((1, 584), np.float32), np.array([[0.25, 0.75]]))
    full = ModelMetadata("v20261120_020000", classes=("NOT_PC", "PC"), seed=3, metrics={"brier": 0.1}, golden=golden)
    log = {"id": "0", "action": "promote", "version": "v20261120_020000", "before": None, "checks": {"a": "b"}}
    baseline = {
        "score_histogram": [1] * 10,
        "norms": {"tfidf": {"mean": 1.5}},
        "class_shares": {"PC": 0.5},
        "blocks": {},
    }
    pointer = {"version": "v20261120_020000", "shadow": None, "change": log}
    for number, value in enumerate(
        (json.loads(full.to_json()), {"baseline": baseline}, log, pointer, {"a": [1e300, "é"]})
    ):
        (folder / "metadata" / f"{number}.json").write_text(json.dumps(value))


def skops_file(data: bytes) -> None:
    """Mutations of a zip break its sums: what is fuzzed is the schema, with the arrays of an honest file."""
    load(data, "skops")
    text, _, arrays = data.partition(b"\0")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", text)
        for number, content in enumerate(arrays.split(b"\x93NUMPY")):
            archive.writestr(f"{number}.npy", b"\x93NUMPY" + content)
    load(file.getvalue(), "skops")


def skops_seeds(folder: Path) -> None:
    """The form that `skops_file` takes apart."""
    import skops.io

    for number, model in enumerate(models()):
        with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        text = json.dumps(json.loads(members.pop("schema.json")), separators=(",", ":"))
        for position, name in enumerate(members):
            text = text.replace(f'"{name}"', f'"{position + 1}.npy"')
        (folder / "skops" / f"{number}.parts").write_bytes(text.encode() + b"\0" + b"".join(members.values()))


def metadata(data: bytes) -> None:
    """metadata.json, and the same bytes as current.json and as a line of promotions.jsonl."""
    with contextlib.suppress(ModelError):
        found = ModelMetadata.from_json(data, version="v20261120_020000", where="metadata.json")
        again = ModelMetadata.from_json(found.to_json().encode(), version=found.version, where="written")
        assert again.to_json() == found.to_json()
    for check in (documents.POINTER, documents.ENTRY):
        with contextlib.suppress(ValueError):
            check(documents.parse(data), "")


TARGETS: dict[str, Callable[[bytes], Any]] = {
    "pickle": lambda data: load(data, "pickle"),
    "skops": skops_file,
    "schema": schema,
    "metadata": metadata,
}


def main() -> None:
    target, *arguments = sys.argv[1:]
    if target == "seeds":
        seeds(Path(arguments[0]))
        skops_seeds(Path(arguments[0]))
        metadata_seeds(Path(arguments[0]))
        return
    descriptions()
    atheris.Setup([sys.argv[0], *arguments], lambda data: TARGETS[target](bytes(data)) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
