"""Every command in the documents is one that exists: ours with flags that are known, others at least as shell syntax.

Those that need no cloud and no cluster are run in tests/end_to_end/test_documents.py.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import PccError
from beam_pcc.pipeline.options import beam_options
from tests import documented
from tests.checkout import ROOT, install
from tests.documented import DOCUMENTS, Block
from tests.test_packaging import may_be_installed

# What indented blocks show besides commands: figures, files, formulas. By document, the first word of the block.
NOT_COMMANDS = {
    ("README.md", "partition"),
    ("capacity.md", "T"),
    ("capacity.md", "python-workers"),
    ("capacity.md", "EC2"),
    ("eks-integration.md", "configMapGenerator:"),
    ("flink.md", 'flink_taskmanager_job_task_operator_pcc_rows_scored{job_name="pcc-...",subtask_index="0",...}'),
    ("models.md", "components:"),
}
# Programs of others: a test cannot run them without an account or a cluster.
FOREIGN = {"aws", "bq", "docker", "eksctl", "gcloud", "git", "helm", "kubectl", "openssl", "systemctl"}
OF_THE_SHELL = {"chmod", "cp", "echo", "export", "for"}
BLOCKS = [
    block
    for document in DOCUMENTS
    for block in documented.blocks(document)
    if (document.name, block.first_word) not in NOT_COMMANDS
]
every_block = pytest.mark.parametrize("block", BLOCKS, ids=str)


def check_ours(words: list[str], *, whole: bool = True) -> None:
    """A call of beam-pcc: command, flags and, if `whole`, required arguments; what is not ours must be Beam's."""
    parser = cli._parser(words)
    if whole and "..." not in words:
        flags, rest = parser.parse_known_args([word for word in words if word != "$@"])
        if flags.command == "submit":  # it hands the flags of a run on
            flags, rest = parser.parse_known_args(["run", *rest])
        assert not rest or flags.takes_beam_options, rest
        beam_options(rest)
        return
    parsers, known = [parser], set(parser._option_string_actions)
    for word in words:
        groups = [a for a in parsers[-1]._actions if isinstance(a, argparse._SubParsersAction)]
        if groups and not word.startswith("-"):
            assert word in groups[0].choices or word == "COMMAND", word
            if word == "COMMAND":
                return
            parsers.append(groups[0].choices[word])
            known |= set(parsers[-1]._option_string_actions)
    if words[0] == "submit":
        known |= set(parsers[0]._actions[-1].choices["run"]._option_string_actions)
    beam_flags = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    if beam_flags:
        assert parsers[-1].get_default("takes_beam_options"), beam_flags
        beam_options([f"{flag}=1" for flag in beam_flags])


def usage(script: str) -> str:
    """What a script says with --help; only what it prints is asked for, so nothing is installed or started."""
    return (ROOT / script).read_text().split("TEXT", 2)[1]


def check_script(program: str, words: list[str]) -> None:
    """A call of one of the checkout's own scripts."""
    flags = [word.split("=")[0] for word in words if word.startswith("-")]
    if program == "./run_local.sh":
        for flag in flags:
            assert f" {flag} " in usage("run_local.sh"), flag
    elif program == "./deploy-to-eks.sh":
        check_ours(["deploy", *words])
    elif program == "flink/cluster.sh":
        assert f"flink/cluster.sh {words[0]} " in usage(program)
        assert all(f" {flag} " in usage(program) for flag in flags)
    elif program == "requirements/venv.sh":
        assert words
        assert set(words) <= set(install.LISTS)
    elif program == "benchmarks/engines/environments.sh":
        assert set(words) <= {file.stem for file in (ROOT / "benchmarks/engines/requirements").glob("*.in")}
    elif program == "requirements/lock.sh":
        assert not words
    elif program == "requirements/weights.sh":
        assert len(words) in (1, 2)
    else:
        pytest.fail(f"no test knows {program}: add it to {Path(__file__).name}")


def check_python(words: list[str]) -> None:
    """A module or a file of the checkout, with flags that its text declares, or that of a file it imports beside it."""
    if words[:2] == ["-m", "venv"]:
        return
    if words[0] == "-m":
        base = ROOT / words[1].replace(".", "/")
        file = next(f for f in (base.with_suffix(".py"), base / "__main__.py") if f.exists())
    else:
        file = ROOT / words[0]
    text = file.read_text()
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    text += "".join(beside.read_text() for beside in file.parent.glob("*.py") if beside.stem in imported)
    for flag in (word for word in words[1:] if word.startswith("--")):
        assert f'"{flag}"' in text, flag


def check(words: list[str]) -> None:
    """One command. Whoever documents a program that is not here, adds it, and says what can be checked of it."""
    program, *rest = words
    name = Path(program).name
    if name == "beam-pcc":
        check_ours(rest)
    elif name in ("pip", "pip3"):
        listed = [rest[n + 1] for n, word in enumerate(rest) if word in ("--requirement", "-r")]
        assert all((ROOT / file).is_file() for file in listed)
        assert listed or may_be_installed(rest[-1])
    elif re.fullmatch(r"python3?(\.\d+)?", name):
        check_python(rest)
    elif name in ("ruff", "mypy", "pytest"):
        assert program == f".venv/bin/{name}"
        assert all((ROOT / word).exists() for word in rest if "/" in word and not word.startswith("-"))
    elif name == "make":
        assert all(re.search(rf"^{word}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for word in rest)
    elif name in ("source", "."):
        assert (ROOT / rest[0]).is_file() or rest[0] == ".venv/bin/activate"
    elif program.startswith("./") or "/" in program:
        assert (ROOT / program).is_file()
        check_script(program, rest)
    else:
        assert name in FOREIGN | OF_THE_SHELL, f"{name} is in no list of {Path(__file__).name}"


@every_block
def test_block_is_shell_syntax(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@every_block
def test_block_has_commands_that_exist(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = re.findall(r"^(\w+)\(\) \{", block.text, re.MULTILINE)
    for words in documented.statements(block.text):
        if words[0] not in functions and words != ["()"]:
            check(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_command_in_running_text_exists(document: Path) -> None:
    for command in documented.inline(document):
        words = command.replace("|", " ").split()[1:]
        check_ours(words, whole=False)


def test_what_is_no_command_is_still_there() -> None:
    shown = {(block.document.name, block.first_word) for d in DOCUMENTS for block in documented.blocks(d)}

    assert shown >= NOT_COMMANDS


@pytest.mark.parametrize(
    "command",
    [
        "beam-pcc run --partition yesterday --sauce S",
        "beam-pcc models promot v20261120_020000 --models M",
        "beam-pcc models list --models M --colour",
        "./deploy-to-eks.sh deploy --overlay",
        "./run_local.sh --row 5",
        "flink/cluster.sh start",
        "requirements/venv.sh everything",
        "python -m tests.emulators.stopping",
        ".venv/bin/python benchmarks/run.py --all",
        "make tests",
        "source docker/emulators/server.env",
        "pip install beam-pcc",
        "pip install --requirement requirements/none.txt",
        "terraform apply",
    ],
)
def test_wrong_command_is_detected(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = documented.statements(command)
    with pytest.raises((AssertionError, SystemExit, PccError, StopIteration)):
        check(words)


def test_files_that_the_contributing_page_names_exist() -> None:
    named = re.findall(r"`((?:beam_pcc|tests|requirements|docs)/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text())

    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []
