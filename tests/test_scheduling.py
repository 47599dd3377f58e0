"""The schedulers of docs/scheduling.md start commands that exist."""

from __future__ import annotations

import configparser
import importlib.util
import re
import runpy
import shlex
import sys
import types
from typing import Any

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.cli.words import checked
from tests.checkout import ROOT

FOLDER = ROOT / "docs/scheduling"
DAG = FOLDER / "pcc_dag.py"
PARTITION = re.compile(r"\{\{.*?\}\}")


def parse(words: list[str]) -> Any:
    """The flags of a call of beam-pcc. Raises SystemExit or PccError if it is none."""
    program, *arguments = words
    assert program.rpartition("/")[2] == "beam-pcc"
    parser = cli._parser(arguments)
    flags, rest = parser.parse_known_args(checked(parser, arguments))
    assert rest == []
    return flags


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd tells case apart
    parser.read(FOLDER / name)
    return parser


def test_service_calls_run() -> None:
    flags = parse(shlex.split(unit("pcc.service")["Service"]["ExecStart"]))

    assert (flags.command, flags.partition, flags.config) == ("run", "yesterday", "/etc/beam-pcc/run.toml")


def test_service_tries_again_only_after_a_failure() -> None:
    assert unit("pcc.service")["Service"]["RestartPreventExitStatus"].split() == ["2", "3"]


def test_timer_starts_the_service_of_its_name() -> None:
    assert (FOLDER / "pcc.timer").with_suffix(".service").exists()
    assert unit("pcc.timer")["Timer"]["OnCalendar"].endswith("UTC")


def test_cron_line_calls_run() -> None:
    line = next(line for line in (ROOT / "docs/scheduling.md").read_text().splitlines() if line.startswith("0 2 "))
    words = shlex.split(line.partition(">")[0])[5:]

    assert words[:2] == ["flock", "-n"]
    assert parse(words[3:]).command == "run"


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The arguments of each operator of the DAGs, by its task, without Airflow."""
    tasks: dict[str, dict[str, Any]] = {}

    class Operator:
        def __init__(self, **arguments: Any) -> None:
            tasks[arguments["task_id"]] = arguments

    class Dag:
        def __init__(self, name: str, **arguments: Any) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    for module, name, value in (
        ("airflow.providers.cncf.kubernetes.operators.pod", "KubernetesPodOperator", Operator),
        ("airflow.providers.standard.operators.bash", "BashOperator", Operator),
        ("airflow.sdk", "DAG", Dag),
    ):
        stand_in = types.ModuleType(module)
        setattr(stand_in, name, value)
        monkeypatch.setitem(sys.modules, module, stand_in)
    runpy.run_path(str(DAG))
    return tasks


def test_bash_operator_calls_run(operators: dict[str, dict[str, Any]]) -> None:
    command = PARTITION.sub("20261120", operators["run"]["bash_command"])

    assert parse(shlex.split(command)).partition == "20261120"


def test_pod_operator_calls_submit(operators: dict[str, dict[str, Any]]) -> None:
    arguments = [PARTITION.sub("20261120", word) for word in operators["submit"]["arguments"]]
    flags = parse([*operators["submit"]["cmds"], *arguments])

    assert (flags.command, flags.wait, flags.attach, flags.partition) == ("submit", True, True, "20261120")


@pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="Airflow has an environment of its own")
def test_dags_load_in_airflow() -> None:
    dags = runpy.run_path(str(DAG))

    assert [dags[name].dag_id for name in ("daily", "daily_on_kubernetes")] == ["pcc_daily", "pcc_daily_on_kubernetes"]
    assert [len(dags[name].tasks) for name in ("daily", "daily_on_kubernetes")] == [1, 1]
