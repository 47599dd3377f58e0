"""Runs commands of the documents in a copy of the checkout. Each test names its replacements in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import checkout, documented
from tests.checkout import ROOT
from tests.emulators import environment as emulators
from tests.encoders import environment as encoders

pytestmark = pytest.mark.end_to_end


def block(document: str, containing: str) -> str:
    (command,) = (b.text for b in documented.blocks(ROOT / document) if containing in b.text)
    return command


def without(text: str, *starts: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(starts))


def shell(folder: Path, commands: str) -> str:
    """Runs the commands in bash, with the environment activated, until one fails. Gives what they print."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PARTITION_DATE", "DRY_RUN", "PYTHONPATH")}
    variables["PATH"] = f"{folder}/.venv/bin:{variables['PATH']}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@contextmanager
def in_another_shell(folder: Path, command: str, lines: int) -> Iterator[str]:
    """Runs a command that goes on until it is ended; gives its first lines."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=folder, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield "".join(process.stdout.readline() for _ in range(lines))
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.xdist_group("emulators")
def test_bigquery_walkthrough_without_google(tmp_path: Path, registry: Path) -> None:
    """docs/bigquery.md, without a container engine; the emulators' environment is there already."""
    checkout.copy(tmp_path, "tests", "docker/emulators")
    checkout.environment(tmp_path, "run", "gcp")
    (tmp_path / "local/emulators").mkdir(parents=True)
    (tmp_path / "local/emulators/venv").symlink_to(emulators.python().parent.parent, target_is_directory=True)
    shutil.copytree(registry, tmp_path / "local/models")
    start = block("docs/bigquery.md", "local/emulators/data").splitlines()[-1]
    tried = without(block("docs/bigquery.md", "bq://pcc-test.pcc"), "./run_local.sh", "docker compose")
    queries = [
        part.replace("bq://my-project.pcc", "bq://pcc-test.pcc")
        for document in documented.DOCUMENTS
        for part in re.findall(r'(beam-pcc tables query --warehouse bq://my-project.pcc "[^"]*")', document.read_text())
    ]
    with in_another_shell(tmp_path, start, lines=6) as exports:
        assert exports.count("export ") == 6
        seeded = shell(tmp_path, f"{exports}\n.venv/bin/python docker/emulators/seed.py")
        printed = shell(tmp_path, f"{exports}\n{tried}")
        outputs = [shell(tmp_path, f"{exports}\n{query}") for query in queries]

    assert re.findall(r"([\d,]+) cases", seeded) == ["2,000", "4,000"]
    assert printed.count(": published") == 2
    assert len(queries) == 6
    assert sum("success" in output for output in outputs) >= 3


@pytest.mark.xdist_group("encoders")
def test_text_mode_walkthrough(tmp_path: Path) -> None:
    """docs/text-mode.md, with a tenth of the messages and the weights that are fetched already."""
    encoders.require()
    checkout.copy(tmp_path)
    for messages in (tmp_path / "data/messages").glob("*.jsonl"):
        messages.write_text("".join(messages.read_text().splitlines(keepends=True)[::10]))
    checkout.environment(tmp_path, "run", "text")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/minilm").symlink_to(encoders.CACHE / "minilm", target_is_directory=True)
    (tmp_path / "cases/20261120").mkdir(parents=True)
    shell(
        tmp_path,
        "beam-pcc sample --messages data/evaluation/messages.jsonl --output cases/20261120/a.parquet --rows 60",
    )

    printed = shell(tmp_path, block("docs/text-mode.md", "requirements/venv.sh text"))

    assert "partition 20261120: published" in printed


@pytest.fixture
def registered(tmp_path: Path, registry: Path) -> tuple[Path, str]:
    """A checkout with a registry M, and the version in it."""
    checkout.copy(tmp_path)
    checkout.environment(tmp_path, "run", "signing")
    shutil.copytree(registry, tmp_path / "M")
    (version,) = (path.name for path in (tmp_path / "M").glob("v*"))
    return tmp_path, version


def test_models_are_listed_and_verified(registered: tuple[Path, str]) -> None:
    folder, version = registered

    printed = shell(folder, block("docs/models.md", "beam-pcc models list"))

    assert printed.count(version) >= 2


def test_model_is_signed_and_its_signature_checked(registered: tuple[Path, str]) -> None:
    """docs/models.md, with a folder for the bucket, and one's own version for the one that is named."""
    folder, version = registered
    signing = without(block("docs/models.md", "cp signer.pub"), "cp ", "kubectl ")
    signing = signing.replace("gs://my-bucket-models/pcc", "M").replace("v20261120_020000", version)
    (checked,) = re.findall(r"beam-pcc run \.\.\. (--model_public_key \S+)", (ROOT / "docs/models.md").read_text())
    run = f"beam-pcc run --partition 20261120 --source sample://200 --models M --warehouse pcc.duckdb {checked}"

    printed = shell(folder, f"{signing}\n{run}")

    assert "partition 20261120: published" in printed
    (folder / "M" / version / "model.sig").unlink()
    with pytest.raises(AssertionError, match="signature"):
        shell(folder, run)


def test_partition_of_own_files_is_scored(tmp_path: Path, registry: Path) -> None:
    """README.md: `./run_local.sh --source ...`, where a model is there already."""
    checkout.copy(tmp_path)
    checkout.environment(tmp_path, "run")
    shutil.copytree(registry, tmp_path / "local/models")
    (tmp_path / "cases/20261120").mkdir(parents=True)
    shell(tmp_path, "beam-pcc sample --rows 200 --output cases/20261120/a.parquet --partition 20261120")

    printed = shell(tmp_path, block("README.md", "./run_local.sh --source"))

    assert "partition 20261120: published" in printed
