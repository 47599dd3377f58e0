"""The public API, as docs/api.md shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import beam_pcc

PAGE = (Path(__file__).parent.parent / "docs/api.md").read_text()


def test_every_public_name_is_there() -> None:
    assert all(getattr(beam_pcc, name) for name in beam_pcc.__all__)


def test_every_public_name_is_on_the_page() -> None:
    assert not [name for name in beam_pcc.__all__ if name != "__version__" and f"`{name}" not in PAGE]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = beam_pcc.nothing


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = "import beam_pcc, sys; print(sorted({'apache_beam', 'pyarrow', 'sklearn', 'duckdb'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.end_to_end
def test_the_example_of_the_page_runs(tmp_path: Path, registry: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "models").symlink_to(registry)
    ended = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    version = max(path.name for path in registry.iterdir() if path.name.startswith("v2"))
    assert ended.stdout == f"0 1000 {version}\n"
