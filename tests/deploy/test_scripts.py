"""deploy-to-eks.sh, really run, and deploy-to-eks.ps1, parsed: they make the environment and call `beam-pcc deploy`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import checkout
from tests.deploy.fakes import Deployment
from tests.inputs import loaded_by_help
from tests.manifests import tools
from tests.manifests.tools import ROOT

pytestmark = pytest.mark.end_to_end  # real processes: scripts, kubectl, stand-ins of aws and helm

SCRIPT = "deploy-to-eks.sh"
POWERSHELL = ROOT / "deploy-to-eks.ps1"
COMMANDS = ("check", "deploy", "run", "backfill", "status", "logs", "ui", "rollback", "destroy", "render")


@pytest.fixture
def scripted(deployment: Deployment) -> Deployment:
    """With the script and an environment in place."""
    folder = deployment.folder
    (folder / "requirements").mkdir()
    lists = [f"requirements/{name}" for name in ("venv.sh", "install.py", "deploy.txt", "pip.txt")]
    for name in (SCRIPT, *lists, "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    checkout.environment(folder, "deploy")
    return deployment


def test_script_runs_beam_pcc_deploy(scripted: Deployment) -> None:
    ended = scripted.call("deploy", "--overlay", "dev", "--dry-run", program=(f"./{SCRIPT}",))

    assert ended.code == 0, ended.errors
    same = scripted.call("apply", "--overlay", "dev", "--dry-run")
    assert ended.output == same.output


def test_script_names_itself_in_help(scripted: Deployment) -> None:
    ended = scripted.call("--help", program=(f"./{SCRIPT}",))

    assert ended.code == 0
    assert ended.output.startswith("usage: ./deploy-to-eks.sh ")
    for name in COMMANDS:
        assert re.search(rf"^    {name} ", ended.output, re.MULTILINE), name
    for name in ("AWS_ACCOUNT_ID", "PCC_TEMP_DATASET", "GCP_KEY_FILE"):
        assert name in ended.output


def test_script_names_itself_in_errors(scripted: Deployment) -> None:
    ended = scripted.call("deploy", program=(f"./{SCRIPT}",), CLUSTER="")

    assert (ended.code, ended.errors) == (2, "beam-pcc: not set: CLUSTER; see ./deploy-to-eks.sh --help\n")


def test_script_names_itself_after_a_deployment(scripted: Deployment) -> None:
    ended = scripted.call("deploy", program=(f"./{SCRIPT}",))

    assert "try ./deploy-to-eks.sh run --partition yesterday" in ended.errors


@pytest.mark.parametrize("name", COMMANDS)
def test_script_passes_on_each_subcommand(scripted: Deployment, name: str) -> None:
    ended = scripted.call(name, "--help", program=(f"./{SCRIPT}",))

    assert ended.code == 0
    assert ended.output.startswith(f"usage: ./deploy-to-eks.sh {name} ")


def test_script_ends_with_the_exit_code_of_the_run(scripted: Deployment) -> None:
    scripted.reply("get job ", '{"status": {"conditions": [{"type": "Failed", "status": "True"}]}}')
    scripted.reply(
        "get pods ",
        '{"items": [{"metadata": {"name": "x"}, "status": {"containerStatuses": '
        '[{"name": "launcher", "state": {"terminated": {"exitCode": 3}}}]}}]}',
    )
    ended = scripted.call("run", "--partition", "yesterday", program=(f"./{SCRIPT}",))

    assert ended.code == 3, ended.errors


def test_script_works_from_another_folder(scripted: Deployment) -> None:
    script = scripted.folder / SCRIPT
    elsewhere = scripted.state
    done = subprocess.run(
        [str(script), "render", "--image", f"x@sha256:{'a' * 64}", "--output", "rendered"],
        cwd=elsewhere,
        env=scripted.environment(),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (elsewhere / "rendered/manifests.yaml").is_file()


def test_script_keeps_arguments_with_spaces(scripted: Deployment) -> None:
    ended = scripted.call("run", "--partition", "a b; touch 'x'", program=(f"./{SCRIPT}",))

    assert (ended.code, "\"a b; touch 'x'\" is not a date" in ended.errors) == (2, True)


@pytest.mark.end_to_end
def test_script_creates_its_environment(scripted: Deployment) -> None:
    """The packages are there already, by a path to those of this environment: nothing is downloaded."""
    folder = scripted.folder
    (folder / ".venv/installed.json").unlink()
    (folder / ".venv/bin/beam-pcc").unlink()
    (folder / "beam_pcc").unlink()
    shutil.copytree(ROOT / "beam_pcc", folder / "beam_pcc", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    first = scripted.call("status", "--dry-run", program=(f"./{SCRIPT}",))
    again = scripted.call("status", "--dry-run", program=(f"./{SCRIPT}",))

    assert first.code == 0, first.errors
    assert re.match(r"installing 2 locked packages .*\n", first.errors)
    assert (again.code, again.errors, again.output) == (0, "", first.output)


def test_list_is_locked_and_part_of_every_other() -> None:
    def locked(name: str) -> dict[str, str]:
        text = (ROOT / f"requirements/{name}.txt").read_text()
        return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE))

    deploy = locked("deploy")
    assert set(deploy) == {"pyyaml", "setuptools"}
    for name in ("run", "gcp", "text", "kubernetes", "signing", "dev"):
        assert deploy.items() <= locked(name).items(), name
    text = (ROOT / "requirements/deploy.txt").read_text()
    assert text.count("--hash=sha256:") > 2
    assert "://" not in text


def test_deploy_needs_no_library_of_a_run() -> None:
    heavy = ("apache_beam", "numpy", "pyarrow", "kubernetes", "google.api_core")
    output, loaded = loaded_by_help("deploy", *heavy, also="import beam_pcc.deploy.operations, beam_pcc.deploy.check")

    assert "render" in output
    assert loaded == []


def test_other_commands_name_missing_package(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('no numpy', name='numpy')\n")
    done = subprocess.run(
        [sys.executable, "-m", "beam_pcc", "run"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "beam-pcc: this environment was made for deploy and lacks numpy: run requirements/venv.sh run\n"
    )


@pytest.mark.end_to_end
def test_powershell_script_parses() -> None:
    parser = ROOT / "tests/manifests/parse_powershell.py"
    done = subprocess.run(
        [str(tools.linters() / "python"), str(parser), str(POWERSHELL)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_powershell_script_equals_shell_script() -> None:
    bash, powershell = (ROOT / SCRIPT).read_text(), POWERSHELL.read_text()

    assert '/.venv/bin/beam-pcc" deploy "$@"' in bash
    assert "& $python -m beam_pcc deploy @args" in powershell
    assert "exit $LASTEXITCODE" in powershell.splitlines()[-1]
    assert "BEAM_PCC_CALLED_AS=./deploy-to-eks.sh" in bash
    assert "$env:BEAM_PCC_CALLED_AS = './deploy-to-eks.ps1'" in powershell
    assert "requirements/install.py deploy" in powershell.replace(
        '"$top/requirements/install.py"', "requirements/install.py"
    )
    assert '.venv/bin/python requirements/install.py "$@"' in (ROOT / "requirements/venv.sh").read_text()
    for word in ("kubectl", "helm", "docker", "aws"):
        assert f"{word} " not in bash + powershell  # no logic of its own
