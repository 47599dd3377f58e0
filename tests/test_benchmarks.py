"""The figures of benchmarks/: the table of the README is that of the JSON files beside it."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
FILES = sorted(FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", FOLDER / "results.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "results", module)  # its dataclass looks its own module up
        spec.loader.exec_module(module)
    return module


def figure(results: ModuleType, **more: Any) -> Any:
    return results.Figure(
        "reading", "3 rows/s", "2 rows/s", [1.5, 1.2, 1.9], ">= 1", True, {"seconds": [1, 2, 3]}, **more
    )


def measured(cpu: str = "a CPU", at: str = "2026-11-24 18:46", load: float = 0.5) -> dict[str, Any]:
    libraries = {"pyarrow": "25"}
    where = {"cpu": cpu, "cores": 2, "memory_gib": 24, "python": "3.11.7", "libraries": libraries}
    return {"at": at, "repetitions": 3, "load": load, **where}


def test_the_readme_has_the_table_of_the_files(results: ModuleType) -> None:
    shown = (FOLDER / "README.md").read_text().partition(results.BEGIN)[2].partition(results.END)[0]
    assert shown.strip() == results.table(FOLDER)


def test_every_file_is_in_the_table(results: ModuleType) -> None:
    assert {path.stem for path in FILES} == set(results.ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_without_raw_values_says_so(path: Path) -> None:
    content = json.loads(path.read_text())
    for one in content["figures"]:
        assert one["ratio"]["min"] <= one["ratio"]["median"] <= one["ratio"]["max"]
        assert one["raw"] or "not kept" in content["note"]


def test_raw_values_and_conditions_are_written(results: ModuleType, tmp_path: Path) -> None:
    conditions = results.conditions(3, 0.52, ["pytest"], beam_workers=1)
    results.write(tmp_path, "readers", [figure(results)], conditions)

    content = json.loads((tmp_path / "readers.json").read_text())
    assert content["figures"][0]["ratio"] == {"min": 1.2, "median": 1.5, "max": 1.9}
    assert content["figures"][0]["raw"] == {"seconds": [1, 2, 3]}
    assert (content["measured"]["load"], content["measured"]["settings"]) == (0.5, {"beam_workers": 1})
    assert content["measured"]["libraries"] == {"pytest": pytest.__version__}


def test_update_changes_the_table_only(results: ModuleType, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    results.write(tmp_path, "help", [figure(results)], measured())
    results.update(readme)

    text = readme.read_text()
    assert text.startswith(f"# Before\n{results.BEGIN}\n| figure |")
    assert text.endswith(f"{results.END}\nafter\n")
    assert "| reading | 3 rows/s | 2 rows/s | 1.20, 1.50, 1.90 | >= 1 | yes |" in text
    assert "old" not in text


def test_update_of_a_file_without_markers_is_refused(results: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# nothing\n")
    with pytest.raises(SystemExit, match="has no <!-- figures: begin -->"):
        results.update(tmp_path / "README.md")


def test_one_machine_is_one_line_without_names(results: ModuleType, tmp_path: Path) -> None:
    results.write(tmp_path, "help", [figure(results)], measured())
    results.write(tmp_path, "growth", [figure(results)], measured(at="2026-11-25 01:00", load=1.5))

    (where,) = re.findall("^Measured.*", results.table(tmp_path), re.MULTILINE)
    assert where == (
        "Measured 2026-11-24 18:46 to 2026-11-25 01:00 UTC on a CPU, 2 cores, 24 GiB, load 0.5 to 1.5 at the start, "
        "Python 3.11.7, pyarrow 25, 3 repetitions."
    )


def test_two_machines_say_what_each_measured(results: ModuleType, tmp_path: Path) -> None:
    results.write(tmp_path, "help", [figure(results)], measured())
    results.write(tmp_path, "growth", [figure(results)], measured(cpu="another"))

    where = results.table(tmp_path).splitlines()[-1]
    assert "help: Measured 2026-11-24 18:46 UTC on a CPU" in where
    assert "growth: Measured 2026-11-24 18:46 UTC on another" in where
