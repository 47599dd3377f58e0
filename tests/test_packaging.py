"""What the package says of itself is so: licence, declared dependencies, commands that install it, line ends."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from email import message_from_string
from pathlib import Path

import pytest

from beam_pcc.errors import ConfigurationError
from tests.checkout import ROOT, bare_environment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Imported by the reference encoder only, which runs in an environment of its own.
OF_THE_REFERENCE = {"sentence-transformers", "torch"}
ELSEWHERE = {
    "atheris",  # for who fuzzes; docs/security.md says how
    "jsonschema",  # comes with kubernetes-validate, whose schemas are checked with it
    "pandas",  # a comparison of the benchmarks goes without if it is missing
}
NOT_IMPORTED = {
    "pyopenssl": "model-signing imports it, and does not declare it",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


BASE = names(PROJECT["dependencies"])
EXTRAS = {extra: names(listed) for extra, listed in PROJECT["optional-dependencies"].items()}


def imported(file: Path) -> Iterator[str]:
    """Every module from outside the standard library and this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            if module.split(".")[0] not in {*sys.stdlib_module_names, "beam_pcc", "tests"}:
                yield module


@functools.cache  # not when the module is imported: it takes a second, and most who import it need none of this
def distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def files_of(name: str) -> frozenset[str]:
    return frozenset(file.as_posix() for file in importlib.metadata.files(name) or [])


@functools.cache
def distribution(module: str) -> str:
    """Which distribution a module is of. Of several that share a namespace (google), the one with its file."""
    top = module.split(".")[0]
    candidates = distributions().get(top, [top])
    if len(set(candidates)) > 1:
        parts = module.split(".")
        for depth in range(len(parts), 1, -1):
            path = "/".join(parts[:depth])
            for name in set(candidates):
                if {f"{path}.py", f"{path}/__init__.py"} & files_of(name):
                    return normal(name)
    return normal(candidates[0])


@functools.cache
def imports_of_the_package() -> Mapping[str, str]:
    """By distribution: one of the files that import it."""
    return {
        distribution(module): f"{file.relative_to(ROOT)} imports {module}"
        for file in sorted((ROOT / "beam_pcc").rglob("*.py"))
        for module in imported(file)
    }


def test_imported_package_is_declared() -> None:
    declared = BASE.union(*(listed for extra, listed in EXTRAS.items() if extra != "dev"))
    undeclared = {
        name: where for name, where in imports_of_the_package().items() if name not in declared | OF_THE_REFERENCE
    }

    assert undeclared == {}


def test_declared_package_is_imported() -> None:
    declared = BASE.union(*(listed for extra, listed in EXTRAS.items() if extra != "dev"))

    assert declared - set(imports_of_the_package()) == set(NOT_IMPORTED)


def test_package_that_the_tests_import_is_declared() -> None:
    """In pyproject.toml, or in the list of an environment that the tests make."""
    listed = [*(ROOT / "tests").glob("*/requirements.in"), ROOT / "tests/encoders/reference.in"]
    listed += (ROOT / "benchmarks/engines/requirements").glob("*.txt")
    own = {"engines"}.union(
        *({f.stem for f in (ROOT / of).glob("*.py")} for of in ("benchmarks", "benchmarks/engines"))
    )
    declared = BASE.union(*EXTRAS.values(), *(names(file.read_text().splitlines()) for file in listed), ELSEWHERE)
    undeclared = {
        f"{file.relative_to(ROOT)}: {module}"
        for folder in ("tests", "benchmarks", "docker")
        for file in (ROOT / folder).rglob("*.py")
        for module in imported(file)
        if distribution(module) not in declared and module.split(".")[0] not in own
    }

    assert undeclared == set()


def test_reference_encoder_has_requirements_of_its_own() -> None:
    listed = (ROOT / "tests/encoders/reference.in").read_text().splitlines()

    assert names([line for line in listed if not line.startswith("#")]) == OF_THE_REFERENCE


def test_every_extra_has_a_lock_list() -> None:
    for extra, listed in EXTRAS.items():
        file = ROOT / f"requirements/{'text' if extra == 'export' else extra}.txt"
        locked = {normal(name) for name in re.findall(r"^([\w.-]+)(?:\[|==)", file.read_text(), re.MULTILINE)}

        assert listed | BASE <= locked, extra


# What may be installed by name, because it is on the index and not ours.
REGISTERED = {"atheris"}
SHOWN_AS_WRONG = ("test_packaging.py", "test_docs_commands.py")
FOLDERS = ("beam_pcc", "docs", "docker", "flink", "requirements", "tests", "benchmarks", "k8s", ".github", ".ci")
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "Dockerfile", "docker-compose.yml")),
    *(
        file
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in (".md", ".py", ".sh", ".yml", ".yaml", "") and file.is_file()
        if "corpus" not in file.parts and file.name not in SHOWN_AS_WRONG
    ),
    *ROOT.glob("*.sh"),
    *ROOT.glob("*.ps1"),
]


# Of pip's options those that a value follows.
WITH_VALUE = re.compile(
    r"-r|-c|--(requirement|constraint|target|implementation|abi|platform|python-version|wheel-dir|only-binary)"
)


def installed(text: str) -> Iterator[str]:
    """The first thing that each `pip install` of a text names, its options left out."""
    for part in re.split(r"pip3? install ", text)[1:]:
        command = re.match(r"(?:\\\n|[^`\n#&|;>])*", part)[0]  # type: ignore[index] # it matches everything
        words = iter(command.replace("\\\n", " ").split())
        for word in words:
            if WITH_VALUE.fullmatch(word):
                next(words, None)
            elif not word.startswith("-"):
                yield word.strip("'\"()\\,")
                break


def may_be_installed(word: str) -> bool:
    local = word.startswith((".", "/", "$")) or re.search(r"\.whl(\[[^]]*\])?$", word)
    return bool(local) or normal(word) in REGISTERED


def test_no_command_installs_an_unregistered_name() -> None:
    wrong = {str(file): word for file in TEXTS for word in installed(file.read_text()) if not may_be_installed(word)}

    assert wrong == {}


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("pip install 'beam-pcc[gcp]'", False),
        ("pip install --quiet beam_pcc", False),
        ("python -m pip install -r x.txt beam-pcc", False),
        ("pip install '.[gcp]', or pip install 'beam-pcc[gcp]'", False),
        ("pip install '.[gcp]'", True),
        ("pip install 'FILE.whl[gcp]' with the wheel", True),
        ("pip install dist/beam_pcc-0.1.0-py3-none-any.whl", True),
        ("pip install --no-deps --requirement requirements/run.txt", True),
    ],
)
def test_unregistered_name_in_a_command_is_detected(command: str, allowed: bool) -> None:
    assert all(map(may_be_installed, installed(command))) is allowed


def test_error_of_a_missing_package_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_pcc.kubernetes.cluster_api import Cluster

    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ConfigurationError) as raised:
        Cluster()

    text = str(raised.value)
    assert text.startswith("submit needs the extra kubernetes, which is not installed (")
    assert list(installed(text)) == [".[kubernetes]", "FILE.whl[kubernetes]"]


def test_error_of_a_missing_package_names_an_extra() -> None:
    named = {
        word
        for file in (ROOT / "beam_pcc").rglob("*.py")
        for word in re.findall(r'\b(?:missing_)?extra\(\s*"(\w+)"', file.read_text())
    }

    assert named == {
        "gcp",
        "kubernetes",
        "export",
        "signing",
        "completion",
        "text",
        "onnx",
        "import",
    }  # a runtime of the encoder names its own
    assert named <= set(EXTRAS)


def test_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", text)
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text


def git(*words: object, cwd: Path) -> str:
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
    command = ["git", *identity, *map(str, words)]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_checkout_on_windows_keeps_lf(tmp_path: Path) -> None:
    """Git for Windows sets core.autocrlf; the scripts of such a checkout run in the image and under WSL."""
    origin, checkout = tmp_path / "origin", tmp_path / "checkout"
    scripts = [*ROOT.glob("*.sh"), *(ROOT / "requirements").glob("*"), *(ROOT / "docker").rglob("*")]
    text = [".gitattributes", "Dockerfile", "Makefile", "flink/cluster.sh", ".ci/run", "deploy-to-eks.ps1", "setup.py"]
    for file in [*scripts, *(ROOT / name for name in text), ROOT / "docs/report.png"]:
        if file.is_file():
            (origin / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, origin / file.relative_to(ROOT))
    (origin / "model.joblib").write_bytes(b"as text\r\nit would change\n")
    git("init", "--quiet", cwd=origin)
    git("add", ".", cwd=origin)
    git("commit", "--quiet", "--message", "all", cwd=origin)
    git("clone", "--quiet", "-c", "core.autocrlf=true", origin, checkout, cwd=tmp_path)

    copied = [file.relative_to(origin) for file in origin.rglob("*") if file.is_file() and ".git" not in file.parts]
    assert len(copied) > 20
    for name in copied:
        assert (checkout / name).read_bytes() == (origin / name).read_bytes(), name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a person builds it, from a copy, with the build backend that is installed."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "beam_pcc", source / "beam_pcc", ignore=shutil.ignore_patterns("__pycache__"))
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run([sys.executable, *build], cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.mark.end_to_end
def test_wheel_has_every_file_and_the_licence(wheel: Path) -> None:
    files = {f.relative_to(ROOT).as_posix() for f in (ROOT / "beam_pcc").rglob("*") if f.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in inside if name.endswith("/METADATA"))
        (licence,) = (archive.read(name).decode() for name in inside if name.endswith("/licenses/LICENSE"))

    assert {name for name in files if "__pycache__" not in name} == {n for n in inside if n.startswith("beam_pcc/")}
    assert message_from_string(metadata)["License-Expression"] == "Apache-2.0"
    assert licence == (ROOT / "LICENSE").read_text()


@pytest.mark.end_to_end
def test_installed_wheel_scores_a_sample(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, away from the checkout. Its dependencies are there already: no download."""
    environment = bare_environment(tmp_path)
    python = environment / "bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", f"{wheel}[text]"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True)

    def beam_pcc(*words: str) -> str:
        command = [environment / "bin/beam-pcc", *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = subprocess.run(
        [python, "-c", "import beam_pcc; print(beam_pcc.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(environment))
    assert beam_pcc("--version") == f"beam-pcc {PROJECT['version']}\n"
    beam_pcc("sample", "--rows", "1000", "--labelled", "--output", "labelled.parquet")
    beam_pcc("train", "--data", "labelled.parquet", "--models", "models")
    day = ("--partition", "20261120", "--source", "sample://300", "--models", "models", "--warehouse", "pcc.duckdb")
    assert "partition 20261120: published" in beam_pcc("run", *day)
