"""requirements/venv.sh and install.py: an environment has what its lists say, whatever was installed before."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checkout import ROOT, install


@dataclass
class Checkout:
    """A folder with small lock lists, and an environment whose pip only writes down what it is asked for."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    pip_fails: bool = False
    asked: list[str] = field(default_factory=list)
    errors: str = ""

    def lock(self, name: str, *pins: str) -> None:
        lines = [f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins]
        (self.folder / f"requirements/{name}.txt").write_text("".join(lines))

    def pip_install(self, *words: str, **_: str) -> None:
        self.asked.append("." if words[-1] == str(self.folder) else Path(words[-1]).stem)
        if self.pip_fails:
            sys.exit(5)

    def install(self, *lists: str, code: int = 0) -> list[str]:
        """Gives the lists that pip was asked for, and `.` for the project itself."""
        self.asked.clear()
        ended: object = 0
        try:
            install.main(list(lists))
        except SystemExit as end:
            ended = end.code
        assert ended == code
        self.errors = self.capture.readouterr().err
        return self.asked


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Checkout:
    made = Checkout(tmp_path, capsys)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "pip_install", made.pip_install)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    deploy = ["pyyaml==6.0"]
    run = [*deploy, "numpy==2.2 ; python_full_version < '3.11'", "numpy==2.5 ; python_full_version >= '3.11'"]
    extras = {"gcp": "google==1", "text": "onnx==1", "kubernetes": "kube==1", "signing": "sign==1"}
    made.lock("pip", "pip==26.3")
    made.lock("deploy", *deploy)
    made.lock("run", *run)
    for name, package in extras.items():
        made.lock(name, package, *run)
    made.lock("dev", "pytest==9", *extras.values(), *run)
    return made


def change(checkout: Checkout, name: str, old: str, new: str) -> None:
    file = checkout.folder / f"requirements/{name}.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_first_installation_is_complete(checkout: Checkout) -> None:
    assert checkout.install("run") == ["pip", "run", "."]
    assert re.fullmatch(r"installing 2 locked packages .*\n", checkout.errors)


def test_unchanged_list_installs_nothing(checkout: Checkout) -> None:
    checkout.install("gcp")

    assert checkout.install("gcp") == []
    assert checkout.errors == ""


@pytest.mark.parametrize("smaller", ["deploy", "run", "gcp", "text", "kubernetes", "signing"])
def test_subset_of_an_installed_list_installs_nothing(checkout: Checkout, smaller: str) -> None:
    checkout.install("dev")

    assert checkout.install(smaller) == []


@pytest.mark.parametrize("installed", [["dev"], ["text"], ["gcp", "text"], ["run", "signing"], ["kubernetes"]])
@pytest.mark.parametrize("name", ["deploy", "run", "gcp", "text", "kubernetes", "signing", "dev"])
def test_changed_list_is_installed_again(checkout: Checkout, installed: list[str], name: str) -> None:
    checkout.install(*installed)
    change(checkout, name, "pyyaml==6.0", "pyyaml==6.1") if name != "dev" else change(
        checkout, name, "pytest==9", "pytest==10"
    )

    assert checkout.install(name) == [name]
    assert checkout.install(name) == []


def test_changed_marker_is_a_change(checkout: Checkout) -> None:
    checkout.install("dev")
    change(checkout, "run", "numpy==2.2 ; python_full_version < '3.11'", "numpy==2.2 ; python_full_version < '3.12'")

    assert checkout.install("run") == ["run"]


def test_list_with_replaced_versions_is_installed_again(checkout: Checkout) -> None:
    checkout.install("dev")
    change(checkout, "gcp", "pyyaml==6.0", "pyyaml==6.1")
    checkout.install("gcp")

    assert checkout.install("dev") == ["dev"]


def test_lists_may_be_combined(checkout: Checkout) -> None:
    assert checkout.install("gcp", "kubernetes", "signing") == ["pip", "gcp", "kubernetes", "signing", "."]
    for lists in (["signing"], ["kubernetes", "gcp"], ["run"]):
        assert checkout.install(*lists) == []


def test_changed_project_installs_only_the_project(checkout: Checkout) -> None:
    checkout.install("dev")
    (checkout.folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert checkout.install("run") == ["."]
    assert checkout.install("dev") == []


def test_changed_pip_is_installed(checkout: Checkout) -> None:
    checkout.install("run")
    checkout.lock("pip", "pip==27")

    assert checkout.install("run") == ["pip"]


def test_failed_installation_is_done_again(checkout: Checkout) -> None:
    checkout.install("run")
    change(checkout, "gcp", "pyyaml==6.0", "pyyaml==6.1")
    checkout.pip_fails = True
    assert checkout.install("gcp", code=5) == ["gcp"]
    checkout.pip_fails = False

    assert checkout.install("run") == ["run"]  # pip may have replaced its pyyaml before it failed
    assert checkout.install("gcp") == ["gcp"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pins": [1], "project": ""}', "\x00"])
def test_damaged_record_installs_everything(checkout: Checkout, content: str) -> None:
    checkout.install("run")
    (checkout.folder / ".venv/installed.json").write_text(content)

    assert checkout.install("run") == ["pip", "run", "."]


@pytest.mark.parametrize("lists", [(), ("all",), ("run", "pip"), ("../run",)])
def test_wrong_list_is_exit_code_2(checkout: Checkout, lists: tuple[str, ...]) -> None:
    assert checkout.install(*lists, code=2) == []
    assert checkout.errors.startswith("usage: requirements/venv.sh LIST...")


@pytest.mark.end_to_end
def test_venv_script_uses_the_pip_of_the_environment(tmp_path: Path) -> None:
    """The script itself, on an environment whose pip is a stand-in."""
    (tmp_path / "requirements").mkdir()
    for name in ("venv.sh", "install.py"):
        shutil.copy(ROOT / "requirements" / name, tmp_path / "requirements" / name)
    for name in ("pip", "run"):
        (tmp_path / f"requirements/{name}.txt").write_text(f"{name}==1\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (packages,) = (tmp_path / ".venv").glob("lib/python3*/site-packages")
    (packages / "pip").mkdir()
    (packages / "pip/__main__.py").write_text("import sys\nprint(sys.argv[-1])\n")
    asked = []
    for _ in range(2):
        command = [tmp_path / "requirements/venv.sh", "run"]
        asked.append(subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.split())

    assert asked == [["requirements/pip.txt", "requirements/run.txt", str(tmp_path.resolve())], []]


names = st.sampled_from(["run", "gcp", "dev"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("lock"), names, st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), min_size=1)),
        st.tuples(st.just("install"), names, st.booleans()),
    ),
    max_size=12,
)


@given(steps)
def test_last_list_sets_the_versions(history: list[tuple[str, str, object]]) -> None:
    """Whatever lists were changed, installed, or failed half way before."""
    environment: dict[str, str] = {}
    fails = False
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)

        def pip_install(*words: str, **_: str) -> None:
            if words[-1] == str(root):
                return
            wanted = install.pins((root / words[-1]).read_text())
            for pin in sorted(wanted)[: 1 if fails else None]:
                environment[pin.name] = pin.version
            if fails:
                sys.exit(1)

        patch.setattr(install, "ROOT", root)
        patch.setattr(install, "pip_install", pip_install)
        (root / "requirements").mkdir()
        for name in ("pip", "run", "gcp", "dev"):
            (root / f"requirements/{name}.txt").write_text("a==1\n" if name != "pip" else "pip==1\n")
        for step, name, value in history:
            if step == "lock":
                assert isinstance(value, dict)
                (root / f"requirements/{name}.txt").write_text("".join(f"{k}=={v}\n" for k, v in value.items()))
                continue
            fails = bool(value)
            try:
                install.install([name], install.Record.read(root / "installed.json"))
            except SystemExit:
                continue
            for pin in install.pins((root / f"requirements/{name}.txt").read_text()):
                assert environment[pin.name] == pin.version


def test_incomplete_list_is_installed_without_dependencies(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip would ask for the hashes of what it leaves out."""
    without: dict[str, bool] = {}
    monkeypatch.setattr(install, "pip_install", lambda *words, **_: without.update({words[-1]: "--no-deps" in words}))
    checkout.lock("sentence-transformers", "torch==2.15.0")
    checkout.install("text", "sentence-transformers")

    assert without["requirements/sentence-transformers.txt"]
    assert not without["requirements/text.txt"]


@pytest.mark.parametrize("name", install.LISTS)
def test_every_pin_of_a_lock_list_is_read(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("    --hash=")]

    assert len(install.pins(text)) == len(lines)


def test_lists_agree_on_every_version() -> None:
    """So several may be installed together, and a package has one version for each Python."""
    versions: dict[tuple[str, str], set[str]] = {}
    for name in install.LISTS:
        for pin in install.pins((ROOT / f"requirements/{name}.txt").read_text()):
            versions.setdefault((pin.name, pin.marker), set()).add(pin.version)

    assert {key: found for key, found in versions.items() if len(found) > 1} == {}


COMPLETE = [name for name in install.LISTS if name not in install.INCOMPLETE]  # torch is not in dev


@pytest.mark.parametrize(("part", "whole"), [("deploy", "run"), *((name, "dev") for name in COMPLETE)])
def test_list_is_part_of_the_larger_one(part: str, whole: str) -> None:
    def packages(name: str) -> set[tuple[str, str]]:
        return {(p.name, p.version) for p in install.pins((ROOT / f"requirements/{name}.txt").read_text())}

    assert packages(part) <= packages(whole)


@pytest.mark.parametrize("name", install.LISTS)
def test_lock_list_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()

    assert "://" not in text
    for package in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in package, package
