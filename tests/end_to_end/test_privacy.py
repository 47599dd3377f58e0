"""Rows do not leak: canaries in every column and key appear nowhere after a run, however it ends.

Each run is a process of its own, so that its temporary folder, its output and what it leaves can all be looked at.
"""

import base64
import gzip
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.conftest import DAY
from tests.inputs import TIME, VECTOR
from tests.messages import labelled_messages

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("privacy")]

CANARY = "kanarienvogel"
ID = f"{CANARY}-id"  # may be where cases are published or rejected, and nowhere else
N = 40


# Runs several commands, each in a folder of its own, and its output into a file there; a patch is undone after its run.
DRIVER = """
import importlib, json, os, sys
from beam_pcc.cli import main as cli

def content(value):
    if hasattr(value, "to_pylist"):
        return value.to_pylist()
    return [content(one) for one in value] if isinstance(value, (list, tuple)) else value

def quoting(error):
    def call(*arguments, **named):
        raise error(str([content(one) for one in (*arguments, *named.values())])[:100_000])
    return call

ends = {}
for folder, case in json.load(open(sys.argv[1])).items():
    output = os.open(os.path.join(folder, "output"), os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1), os.dup2(output, 2)
    os.chdir(folder)
    undo = []
    if case["patch"]:
        module, path, error = case["patch"]
        of = importlib.import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            of = getattr(of, parent)
        package, _, kind = error.rpartition(".")
        undo.append((of, name, of.__dict__[name]))
        setattr(of, name, quoting(getattr(importlib.import_module(package), kind)))
    ends[folder] = cli.main(case["command"])
    sys.stdout.flush(), sys.stderr.flush()
    for one in undo:
        setattr(*one)
json.dump(ends, open(sys.argv[2], "w"))
os._exit(0)
"""


@dataclass
class Place:
    """A folder with a source, a warehouse, a home and a temporary folder of its own."""

    folder: Path
    models: Path
    text: bool
    output: str = field(default="")
    code: int = -1

    def __post_init__(self) -> None:
        for name in ("tmp", "home", "input"):
            (self.folder / name).mkdir(parents=True)

    @property
    def source(self) -> Path:
        return self.folder / "input"

    def command(self, source: object, *more: object) -> list[str]:
        command = ["run", "--partition", DAY, "--source", source, "--warehouse", self.folder / "pcc.duckdb"]
        command += ["--models", self.models, *(["--text_column", "text"] if self.text else []), *more]
        command.append("--accept_drift")  # one vector for all, which no model was trained on
        return [str(word) for word in command]

    def start(self, source: object, *more: object, patch: str = "", umask: int = 0o022) -> "subprocess.Popen[str]":
        code = (
            f"import os, sys\nos.umask({umask})\nfrom beam_pcc.cli import main as cli\n{patch}\n"
            "sys.exit(cli.main(sys.argv[1:]))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, *self.command(source, *more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(self.folder),
            cwd=self.folder,
        )

    def run(self, source: object, *more: object, patch: str = "") -> int:
        process = self.start(source, *more, patch=patch)
        self.output, _ = process.communicate(timeout=180)
        return process.returncode


def environment(folder: Path) -> dict[str, str]:
    home = {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
    return {**os.environ, **home, "PYTHONDONTWRITEBYTECODE": "1"}


def run_all(folder: Path, cases: dict[str, tuple[Place, Path, list[str], list[str]]]) -> dict[str, Place]:
    """Run them in one process; each place then knows how its run ended and what it said."""
    for name in ("tmp", "home"):
        (folder / name).mkdir(parents=True)
    work = {
        str(place.folder): {"command": place.command(source, *flags), "patch": patch}
        for place, source, flags, patch in cases.values()
    }
    (folder / "work.json").write_text(json.dumps(work))
    command = [sys.executable, "-c", DRIVER, str(folder / "work.json"), str(folder / "ends.json")]
    subprocess.run(command, check=True, env=environment(folder), timeout=500)
    ends = json.loads((folder / "ends.json").read_text())
    for place, *_ in cases.values():
        place.code, place.output = ends[str(place.folder)], (place.folder / "output").read_text()
    (folder / "work.json").unlink()
    return {name: place for name, (place, *_) in cases.items()}


@pytest.fixture(params=["vectors", "texts"])
def place(request: pytest.FixtureRequest, tmp_path: Path, models: Path, text_models: Path) -> Place:
    text = request.param == "texts"
    return Place(tmp_path, text_models if text else models, text)


@pytest.fixture(scope="module", params=["vectors", "texts"])
def ended(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, models: Path, text_models: Path
) -> dict[str, Place]:
    """Every bad source, and every step that fails with the words of rows, with --debug: how each run ended."""
    text = request.param == "texts"
    folder = tmp_path_factory.mktemp(request.param)
    cases: dict[str, tuple[Place, Path, list[str], list[str]]] = {}

    def place(name: str) -> Place:
        return Place(folder / f"case{len(cases)}", text_models if text else models, text)

    for name, lines in BAD_JSONL.items():
        one = place(name)
        cases[name] = one, jsonl(one.source / "cases.jsonl", *lines), ["--debug"], []
    for name, columns in BAD_PARQUET.items():
        one = place(name)
        cases[name] = one, parquet(one.source / "cases.parquet", **columns), ["--debug"], []
    for number, (module, path, mode) in enumerate(STEPS):
        if mode in ("both", request.param):
            one = place(path)
            patch = [module, path, ERRORS[number % len(ERRORS)]]
            cases[path] = one, parquet(one.source / "cases.parquet"), ["--debug"], patch
    one = place("refused")
    cases["refused"] = one, parquet(one.source / "cases.parquet"), ["--debug", "--max_drop_rate", "0"], []
    return run_all(folder / "driver", cases)


def rows() -> list[dict[str, Any]]:
    """Sound rows but for a few of each fault, with a canary wherever one fits."""
    messages = labelled_messages(N)[0]
    cases = [
        {
            "case_id": f"{ID}-{n}",
            "embedding_vector": (VECTOR / 600).tolist(),
            "timestamp": TIME.isoformat(),
            "text": f"{messages[n % len(messages)]} {CANARY}-text",
            "customer": f"{CANARY}-foreign",
            f"{CANARY}_key": {"name": f"{CANARY}-nested", f"{CANARY}_inner": [f"{CANARY}-list"]},
        }
        for n in range(N)
    ]
    cases[1]["case_id"] = None
    cases[2]["timestamp"] = f"{CANARY}-time"
    cases[3]["embedding_vector"] = None
    cases[3]["text"] = " "
    return cases


def parquet(path: Path, **columns: pa.Array) -> Path:
    table = pa.Table.from_pylist(rows())
    for name, column in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, column)
    pq.write_table(table, path)
    return path


def jsonl(path: Path, *lines: object) -> Path:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def contents(path: Path) -> Iterator[str]:
    """All that a file holds, its compressed parts too; of tables each column apart."""
    raw = path.read_bytes()
    yield raw.decode("latin-1")
    if raw[:4] == b"PAR1" and raw[-4:] == b"PAR1":
        table = pq.read_table(path)
        yield str(table.schema)
        yield from (f"{name}: {table[name].to_pylist()}" for name in table.column_names)
    elif raw[8:12] == b"DUCK":
        yield from (f"{name}: {values}" for name, values in tables(path))
    elif raw[:2] == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name).decode("latin-1") for name in archive.namelist())
    elif raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw).decode("latin-1")


def tables(path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Each column of each table, those rows that are still in the log too."""
    copy = path.with_name("copy-of-it")
    for end in ("", ".wal"):
        if Path(f"{path}{end}").exists():
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    with duckdb.connect(str(copy), read_only=True) as connection:
        for (table,) in connection.execute("SHOW TABLES").fetchall():
            for column, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
                values = connection.execute(f'SELECT "{column}" FROM {table}').fetchall()
                yield f"{table}.{column}", [value for (value,) in values]
    for end in ("", ".wal"):
        Path(f"{copy}{end}").unlink(missing_ok=True)


def needles() -> list[str]:
    return [CANARY, base64.b64encode(CANARY.encode()).decode()[:-4], CANARY.encode().hex()]


def assert_nothing_leaked(place: Place) -> None:
    assert not [n for n in needles() if n in place.output], place.output
    for path in sorted(place.folder.rglob("*")):
        if not path.is_file() or place.source in path.parents:
            continue
        for content in contents(path):
            rest = content
            # An id is in the columns of ids of the tables and of staged files, and in the bytes of these files.
            if path.name.startswith(("pcc.duckdb", "predictions-", "rejected-")) and not (
                content.startswith("pcc_") and ".case_id: " not in content.partition("[")[0]
            ):
                rest = rest.replace(ID, "")
            assert not [n for n in needles() if n in rest], f"{path}: {content[:200]}"


@pytest.mark.parametrize(("kind", "debug"), [("parquet", ["--debug"]), ("jsonl.gz", [])])
def test_published_run_leaks_no_rows(place: Place, kind: str, debug: list[str]) -> None:
    file = place.source / f"cases.{kind}"
    parquet(file) if kind == "parquet" else jsonl(file, *rows())

    code = place.run(file, *debug)

    assert code == 0, place.output
    assert_nothing_leaked(place)
    published = dict(tables(place.folder / "pcc.duckdb"))
    assert len(published["pcc_inference_output.case_id"]) > 30
    assert {"missing_case_id", "bad_timestamp"} <= set(published["pcc_quarantine.reason"])


def without(name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in rows()]


def changed(at: int, **values: Any) -> list[dict[str, Any]]:
    cases = rows()
    cases[at] = cases[at] | values
    return cases


BAD_JSONL: dict[str, list[object]] = {
    "no id": list(without("case_id")),
    "no time": list(without("timestamp")),
    "no vector and no text": [
        {k: v for k, v in row.items() if k not in ("text", "embedding_vector")} for row in rows()
    ],
    "ids of two kinds": list(changed(0, case_id=7)),
    "a number that is too large": [changed(0, case_id=7)[0], rows()[0] | {"case_id": 10**40}],
    "a nested id": list(changed(9, case_id={f"{CANARY}_key": f"{CANARY}-nested"})),
    "a nested time": list(changed(9, timestamp=[f"{CANARY}-nested"])),
    "a nested text": list(changed(9, text={f"{CANARY}_key": 1}, embedding_vector={f"{CANARY}_key": 1})),
    "a vector of words": list(changed(9, embedding_vector=[f"{CANARY}-x"], text=[f"{CANARY}-x"])),
    "a line cut off": [*rows(), json.dumps(rows()[5])[:-9]],
    "a first line cut off": [json.dumps(rows()[5])[:-9]],
    "words": [*rows(), f"{CANARY} {CANARY}-text"],
    "words first": [f"{CANARY} {CANARY}-text", *rows()],
    "a list": [*rows(), [f"{CANARY}-text"]],
    "a string first": [f'"{CANARY}-text"'],
    "a key twice": [*rows(), f'{{"{CANARY}_k": 1, "{CANARY}_k": 2, "case_id": "a", "case_id": "{CANARY}-x"}}'],
    "a bad escape": [*rows(), f'{{"case_id": "{CANARY}-x \\q"}}'],
    "a lone surrogate": [*rows(), f'{{"case_id": "{CANARY}-x \\ud800"}}'],
}


@pytest.mark.parametrize("name", BAD_JSONL)
def test_error_of_bad_jsonl_contains_no_content(ended: dict[str, Place], name: str) -> None:
    place = ended[name]
    assert place.code in (0, 1, 3), place.output
    assert_nothing_leaked(place)
    (failed,) = dict(tables(place.folder / "pcc.duckdb"))["pcc_monitoring_logs.error_message"]
    assert place.code == 0 or failed


def strings(values: list[Any]) -> pa.Array:
    return pa.array(values, pa.string())


BAD_PARQUET: dict[str, dict[str, pa.Array]] = {
    "a list for an id": {"case_id": pa.array([[f"{CANARY}-x"]] * N)},
    "a struct for a time": {"timestamp": pa.array([{f"{CANARY}_key": f"{CANARY}-x"}] * N)},
    "words for a vector": {"embedding_vector": strings([f"{CANARY}-x"] * N), "text": pa.array([b"x"] * N)},
    "words for times": {"timestamp": strings([f"{CANARY}-x"] * N)},
    "no UTF-8": {"case_id": pa.array([f"{CANARY}-x".encode() + b"\xff"] * N).view(pa.string())},
    "bytes for a vector": {"embedding_vector": pa.array([f"{CANARY}-x".encode()] * N), "text": strings([None] * N)},
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_error_of_bad_parquet_contains_no_content(ended: dict[str, Place], name: str) -> None:
    place = ended[name]
    assert place.code in (0, 1, 3), place.output
    assert_nothing_leaked(place)


def test_error_of_damaged_parquet_contains_no_content(place: Place) -> None:
    file = parquet(place.source / "cases.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    file.write_bytes(data)
    assert place.run(file, "--debug") in (0, 1, 3)
    assert_nothing_leaked(place)
    file.write_bytes(data[:-50])
    assert place.run(file, "--debug") == 1
    assert_nothing_leaked(place)


def test_refused_audit_leaks_no_rows(ended: dict[str, Place]) -> None:
    assert ended["refused"].code == 3
    assert_nothing_leaked(ended["refused"])


def test_temporary_folders_contain_no_rows(ended: dict[str, Place]) -> None:
    driver = next(iter(ended.values())).folder.parent / "driver"
    for path in driver.rglob("*"):
        if path.is_file():
            assert not [n for content in contents(path) for n in needles() if n in content], path


# The functions that raise: each quotes all its arguments, as parsers, models and libraries do.
STEPS = [
    ("beam_pcc.cases.checking", "validate", "vectors"),
    ("beam_pcc.cases.checking", "validate_texts", "texts"),
    ("beam_pcc.pipeline.transforms", "featurize", "texts"),
    ("beam_pcc.features.featurizer", "join", "texts"),
    ("beam_pcc.features.featurizer", "Featurizer.embed", "texts"),
    ("beam_pcc.pipeline.transforms", "postprocess", "both"),
    ("beam_pcc.models.scoring", "score", "both"),
    ("beam_pcc.publishing.statistics", "reasons", "both"),
    ("beam_pcc.sources.files", "input_columns", "both"),
    ("pyarrow.parquet", "ParquetWriter.write_table", "both"),
    ("beam_pcc.publishing.warehouse.duckdb.warehouse", "_load", "both"),
    ("beam_pcc.publishing.warehouse.duckdb.warehouse", "_DuckDBStagedRun.figures", "both"),
    ("beam_pcc.publishing.warehouse.duckdb.warehouse", "_DuckDBStagedRun.publish", "both"),
]
ERRORS = ["builtins.ValueError", "builtins.KeyError", "pyarrow.ArrowInvalid", "duckdb.ConversionException"]


@pytest.mark.parametrize("name", [name for _, name, _ in STEPS])
def test_foreign_error_with_rows_is_replaced(ended: dict[str, Place], name: str) -> None:
    if name not in ended:
        pytest.skip("not a step of this mode")
    assert ended[name].code in (1, 3), ended[name].output
    assert_nothing_leaked(ended[name])


def test_dying_worker_leaks_no_rows(place: Place) -> None:
    file = parquet(place.source / "cases.parquet")
    died = "import beam_pcc.pipeline.transforms as steps, os\nsteps.postprocess = lambda *a, **n: os._exit(9)"
    assert place.run(file, "--debug", patch=died) == 9
    assert_nothing_leaked(place)


def test_kill_at_any_moment_leaks_no_rows(place: Place) -> None:
    """Ids of predictions may be staged; the texts never are."""
    file = parquet(place.source / "cases.parquet")
    slow = (
        "import beam_pcc.publishing.publish, beam_pcc.publishing.warehouse.duckdb.warehouse as d, time\n"
        "def slowly(of, name):\n"
        "    old = getattr(of, name)\n"
        "    def new(*a, **n):\n"
        "        result = old(*a, **n); time.sleep(1.0); return result\n"
        "    setattr(of, name, new)\n"
        "slowly(beam_pcc.publishing.publish.pq.ParquetWriter, 'close')\n"
        "slowly(d, '_load')\n"
        "slowly(d._DuckDBStagedRun, 'figures')\n"
        "slowly(d, '_write_monitoring')\n"
    )
    seen = set()
    for moment in (0.3, 1.2, 2.4, 3.5, 4.6):
        shutil.rmtree(place.folder / "pcc.duckdb.staging", ignore_errors=True)
        process = place.start(file, "--debug", patch=slow)
        deadline = time.monotonic() + 60
        while not list(place.folder.glob("*.staging/*/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        place.output, _ = process.communicate(timeout=60)
        seen |= {path.suffix for path in place.folder.rglob("*") if path.is_file()}
        assert_nothing_leaked(place)
        assert_private(place)
    assert ".parquet" in seen
    assert ".duckdb" in seen


def file_modes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def assert_private(place: Place) -> None:
    """All files of a run are readable by its user only."""
    modes = {
        name: mode
        for name, mode in file_modes(place.folder).items()
        if name.split("/")[0] not in ("input", "home", "tmp") or name.count("/")
    }
    modes = {name: mode for name, mode in modes.items() if not name.startswith("input/")}
    assert modes
    for name, mode in modes.items():
        assert mode == ("0o700" if (place.folder / name).is_dir() else "0o600"), name


WATCH = """
import json, os, threading, time
modes = {}
def watch():
    while True:
        for folder, folders, files in os.walk('.'):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                try: modes[path] = (os.path.isdir(path), os.stat(path).st_mode & 0o777)
                except OSError: pass
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
run = cli.main
def main(arguments):
    code = run(arguments)
    time.sleep(0.05)
    print(json.dumps(modes))
    return code
cli.main = main
"""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_of_a_run_are_private(place: Place, umask: int) -> None:
    """Those that are there for a moment only too: staged rows, DuckDB's log and temporary files."""
    file = parquet(place.source / "cases.parquet")
    before = set(file_modes(place.folder))
    process = place.start(file, patch=WATCH, umask=umask)
    place.output, _ = process.communicate(timeout=120)

    assert process.returncode == 0, place.output
    seen = {path.removeprefix("./"): what for path, what in json.loads(place.output.splitlines()[-1]).items()}
    new = {path: what for path, what in seen.items() if path not in before}
    assert any(path.endswith(".parquet") for path in new)
    assert any(path.endswith(".duckdb") for path in new)
    for path, (folder, mode) in new.items():
        assert mode == (0o700 if folder else 0o600), (path, oct(mode))


def test_existing_files_keep_their_mode(place: Place) -> None:
    file = parquet(place.source / "cases.parquet")
    assert place.run(file) == 0
    (place.folder / "pcc.duckdb").chmod(0o640)
    (place.folder / "pcc.duckdb.staging").chmod(0o750)
    assert place.run(file) == 0
    assert file_modes(place.folder)["pcc.duckdb"] == "0o640"
    assert file_modes(place.folder)["pcc.duckdb.staging"] == "0o750"


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["sample", "--rows", "50", "--output", "made/x.parquet"], 0o600),
        (["sample", "--rows", "500", "--labelled", "--output", "made/x.parquet"], 0o600),
        (["tables", "create", "--warehouse", "made/x.duckdb"], 0o600),
    ],
)
def test_files_with_cases_are_private(tmp_path: Path, arguments: list[str], mode: int) -> None:
    code = (
        "import os, sys\nos.umask(0o022)\nfrom beam_pcc.cli import main as cli\n"
        "code = cli.main(sys.argv[1:])\nassert os.umask(0) == 0o022\nsys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path, capture_output=True)
    assert set(file_modes(tmp_path).values()) == {"0o700", oct(mode)}


def test_registry_and_report_follow_the_umask(tmp_path: Path, labelled: Path) -> None:
    """Nothing of a case is in them, and others read them."""
    code = "import os, sys\nos.umask(0o022)\nfrom beam_pcc.cli import main as cli\nsys.exit(cli.main(sys.argv[1:]))"
    command = ["train", "--data", str(labelled), "--models", "models"]
    subprocess.run([sys.executable, "-c", code, *command], check=True, cwd=tmp_path, capture_output=True)
    assert set(file_modes(tmp_path).values()) == {"0o755", "0o644"}


def test_all_our_steps_are_shielded(models: Path, text_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Covers DoFns and mapped functions that are added later, in both modes."""
    from beam_pcc.config.settings import RunConfig
    from beam_pcc.pipeline import run as running
    from beam_pcc.pipeline.options import beam_options
    from tests.end_to_end.conftest import DATE

    steps: dict[str, bool] = {}

    class Visitor(beam.pipeline.PipelineVisitor):
        def visit_transform(self, node: Any) -> None:
            function = getattr(node.transform, "fn", None)
            inner = getattr(function, "_fn", None) or getattr(function, "_fn_or_class", None)
            for one in (function, inner):
                module = getattr(one, "__module__", "") or ""
                named = getattr(one, "__func__", one)
                if module.startswith("beam_pcc"):
                    shielded = getattr(named, "is_shielded", False) or getattr(type(one), "is_shielded", False)
                    steps[node.full_label] = bool(shielded)

    def look(pipeline: beam.Pipeline, *_: object) -> None:
        pipeline.visit(Visitor())
        raise RuntimeError("looked at")

    monkeypatch.setattr(running, "_execute", look)
    for registry, column in ((models, None), (text_models, "text")):
        folder = registry.parent
        pq.write_table(pa.Table.from_pylist(rows()), folder / "cases.parquet")
        for source in ("sample://10", str(folder / "cases.parquet")):
            if column and source.startswith("sample"):
                continue
            settings = RunConfig.of(
                DATE,
                source=source,
                warehouse=str(folder / "w.duckdb"),
                models=str(registry),
                text_column=column,
                dry_run=True,
            )
            with pytest.raises(Exception, match="looked at"):
                running.run(settings, beam_options([]))
    assert len(steps) >= 8, steps
    assert all(steps.values()), steps
