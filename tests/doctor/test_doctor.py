"""`beam-pcc doctor` on a real registry and a real DuckDB file: each part that is wrong is a failed line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beam_pcc.cli import main as cli
from tests.flink.rest_api import Flink, serving
from tests.launcher.conftest import Launcher, launcher  # noqa: F401 - a fixture

NAMES = ["settings", "packages", "source", "models", "warehouse", "staging", "credentials", "flink", "kubernetes"]


@dataclass
class Doctor:
    """The command with settings that are sound, except what a test changes."""

    folder: Path
    registry: Path
    capture: pytest.CaptureFixture[str]
    code: int = 0

    def lines(self, *more: object) -> dict[str, tuple[str, str]]:
        """Each line: name to status and message."""
        flags = ["--partition", "20261120", "--source", "sample://10", "--models", self.registry]
        flags += ["--warehouse", self.folder / "pcc.duckdb", *more]
        self.capture.readouterr()
        self.code = cli.main(["doctor", *map(str, flags)])
        parts = [line.split(maxsplit=2) for line in self.capture.readouterr().out.splitlines()]
        return {name: (status, message) for status, name, message in parts}

    def failed(self, *more: object) -> dict[str, str]:
        """The failed lines; the exit code agrees with them."""
        failed = {name: message for name, (status, message) in self.lines(*more).items() if status == "failed"}
        assert self.code == (2 if failed else 0)
        return failed


@pytest.fixture
def doctor(tmp_path: Path, registry: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(tmp_path, registry, capsys)


def everything_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_sound_settings_pass_and_leave_nothing(doctor: Doctor) -> None:
    lines = doctor.lines()

    assert (doctor.code, list(lines)) == (0, NAMES)
    assert {name for name, (status, _) in lines.items() if status == "skipped"} == {
        "credentials",
        "flink",
        "kubernetes",
    }
    assert everything_in(doctor.folder) == {}


def test_existing_warehouse_and_staging_are_unchanged(doctor: Doctor) -> None:
    assert cli.main(["tables", "create", "--warehouse", str(doctor.folder / "pcc.duckdb")]) == 0
    (doctor.folder / "staged").mkdir()
    before = everything_in(doctor.folder / "staged"), (doctor.folder / "pcc.duckdb").read_bytes()
    lines = doctor.lines("--staging", doctor.folder / "staged")

    assert lines["warehouse"][1].endswith("all tables are there")
    assert lines["staging"] == ("ok", f"{doctor.folder / 'staged'} can be written")
    assert (everything_in(doctor.folder / "staged"), (doctor.folder / "pcc.duckdb").read_bytes()) == before


def test_missing_source_fails(doctor: Doctor) -> None:
    assert "matches no file" in doctor.failed("--source", doctor.folder / "{partition}.parquet")["source"]


def test_missing_registry_fails(doctor: Doctor) -> None:
    assert "models" in doctor.failed("--models", doctor.folder / "none")


def test_damaged_model_fails(doctor: Doctor, tmp_path: Path) -> None:
    version = next(doctor.registry.glob("v*")).name
    copy = tmp_path / "copy" / version
    copy.mkdir(parents=True)
    for file in (doctor.registry / version).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "model.joblib").write_bytes(b"not a model")

    assert version in doctor.failed("--models", copy.parent)["models"]


def test_warehouse_of_another_kind_fails(doctor: Doctor) -> None:
    (doctor.folder / "pcc.duckdb").write_bytes(b"not a database at all")

    assert "is not a DuckDB file" in doctor.failed()["warehouse"]


def test_table_with_other_columns_fails(doctor: Doctor) -> None:
    import duckdb

    with duckdb.connect(str(doctor.folder / "pcc.duckdb")) as connection:
        connection.execute("CREATE TABLE pcc_inference_output (case_id INTEGER)")

    assert "has other tables than this version writes" in doctor.failed()["warehouse"]


def test_file_in_place_of_the_staging_folder_fails(doctor: Doctor) -> None:
    (doctor.folder / "file").write_text("")

    assert "staging" in doctor.failed("--staging", doctor.folder / "file")
    assert "nothing can be written in" in doctor.failed("--staging", doctor.folder / "file/below")["staging"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_warehouse_without_rights_fails(doctor: Doctor) -> None:
    assert "cannot be written" in doctor.failed("--warehouse", "/pcc.duckdb")["warehouse"]


def test_wrong_settings_are_the_first_line(doctor: Doctor) -> None:
    lines = doctor.lines("--max_drop_rate", "7")

    assert next(iter(lines.items())) == ("settings", ("failed", "--max_drop_rate must be between 0 and 1"))
    assert doctor.code == 2


def test_settings_are_taken_from_file_and_environment(
    doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f"models = '{doctor.registry}'\nwarehouse = '{tmp_path}/pcc.duckdb'\n")
    monkeypatch.setenv("BQ_SOURCE_TABLE", "sample://7")
    capsys.readouterr()

    assert cli.main(["doctor", "--config", str(file)]) == 0
    assert "sample://7" in capsys.readouterr().out


def test_json_has_each_check(doctor: Doctor) -> None:
    doctor.capture.readouterr()
    code = cli.main(["doctor", "--source", "x.parquet", "--warehouse", "w.duckdb", "--models", "m", "--output", "json"])
    result = json.loads(doctor.capture.readouterr().out)

    assert result["exit_code"] == code == 2
    assert [check["name"] for check in result["checks"]] == NAMES


@pytest.fixture
def flink() -> Iterator[tuple[Flink, str]]:
    cluster = Flink()
    with serving(cluster) as address:
        yield cluster, address


def test_flink_cluster_is_asked_for_its_slots(doctor: Doctor, flink: tuple[Flink, str]) -> None:
    cluster, address = flink
    flags = ("--runner", "FlinkRunner", "--flink_master", address)
    assert doctor.lines(*flags)["flink"] == ("ok", f"{address}: 2 of 2 slots are free")
    cluster.slots = (0, 0, 0)

    assert "has no TaskManager" in doctor.failed(*flags)["flink"]


def test_flink_that_does_not_answer_fails(doctor: Doctor) -> None:
    assert "no Flink answers" in doctor.failed("--runner", "FlinkRunner", "--flink_master", "localhost:9")["flink"]


def test_cluster_settings_are_checked(launcher: Launcher, doctor: Doctor) -> None:  # noqa: F811 - a fixture
    launcher.kubernetes.config_maps["pcc-config"]["run.models"] = str(doctor.registry)
    code = launcher.call("doctor", "--partition", "20261120", "--on-kubernetes", "--source", "sample://3")

    assert code == 0, launcher.stdout
    assert "sample://3" in launcher.stdout
    assert "ok       kubernetes   namespace pcc-system" in launcher.stdout
    assert not [request for request in launcher.kubernetes.requests if not request.startswith("GET ")]


def test_namespace_without_config_map_fails(launcher: Launcher) -> None:  # noqa: F811 - a fixture
    del launcher.kubernetes.config_maps["pcc-config"]

    assert launcher.call("doctor", "--on-kubernetes") == 2
    assert "failed   kubernetes   ConfigMap pcc-config" in launcher.stdout
    assert "skipped  settings" in launcher.stdout


EXTRAS = {
    "gcp": ["--warehouse", "bq://my-project.pcc"],
    "text": ["--text_column", "body"],
    "kubernetes": ["--on-kubernetes"],
}


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory: pytest.TempPathFactory, registry: Path) -> dict[str, tuple[int, str]]:
    """Exit code and output for each of EXTRAS, in one process that can import none of them."""
    folder = tmp_path_factory.mktemp("without-extras")
    code = (
        "import contextlib, io, json, sys\n"
        "class Missing:\n"
        "    names = ('google.cloud', 'google.auth', 'google.api_core', 'kubernetes', 'onnxruntime')\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if any(name == one or name.startswith(one + '.') for one in self.names):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from beam_pcc.cli import main as cli\n"
        "results = {}\n"
        "for extra, flags in json.loads(sys.argv[1]).items():\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        code = cli.main(flags)\n"
        "    results[extra] = code, out.getvalue()\n"
        "print(json.dumps(results))"
    )
    sound = ["doctor", "--source", "sample://10", "--models", str(registry), "--warehouse", str(folder / "w.duckdb")]
    commands = json.dumps({extra: [*sound, *flags] for extra, flags in EXTRAS.items()})
    ended = subprocess.run(
        [sys.executable, "-c", code, commands], capture_output=True, text=True, cwd=folder, check=False
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0, ended.stderr
    return {extra: (code, out) for extra, (code, out) in json.loads(ended.stdout).items()}


@pytest.mark.parametrize("extra", EXTRAS)
def test_missing_extra_is_a_failed_line(without_extras: dict[str, tuple[int, str]], extra: str) -> None:
    code, out = without_extras[extra]
    assert code == 2
    assert f"needs the extra {extra}, which is not installed" in out
