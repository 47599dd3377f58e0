"""For tests in a copy of the checkout: an environment that sees the packages of this one, without a download."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements_install", ROOT / "requirements/install.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install = _load()  # requirements/install.py, which is in no package


def copy(checkout: Path, *names: str) -> None:
    """Copy what a newcomer's run needs, and these files and folders besides."""
    files = ("run_local.sh", "README.md", "LICENSE", "pyproject.toml", "setup.py", "requirements", "beam_pcc", "data")
    for name in (*files, *names):
        source, to = ROOT / name, checkout / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to)


def bare_environment(checkout: Path) -> Path:
    """An environment with all packages, and nothing on record: requirements/venv.sh installs into it."""
    environment = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "packages.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return environment


def environment(checkout: Path, *lists: str) -> Path:
    """An environment in which requirements/venv.sh finds these lists, and the checkout's own package, installed."""
    made = bare_environment(checkout)
    (packages,) = made.glob("lib/python3*/site-packages")
    # As an editable installation does: the package is found, whatever else is at the top of the checkout is not.
    (made / "package").mkdir()
    (made / "package/beam_pcc").symlink_to(checkout / "beam_pcc", target_is_directory=True)
    (packages / "checkout.pth").write_text(str(made / "package"))
    program = made / "bin/beam-pcc"
    program.write_text(f"#!{made}/bin/python\nimport sys\nfrom beam_pcc.cli.main import entry\nsys.exit(entry())\n")
    program.chmod(0o755)
    locked = [(checkout / f"requirements/{name}.txt").read_text() for name in ("pip", *lists)]
    files = [checkout / name for name in install.PROJECT]
    project = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()
    install.Record(made / "installed.json", set().union(*map(install.pins, locked)), project).write()
    return made
