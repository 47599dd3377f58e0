"""The FlinkDeployment of a run: the fields that the launcher sets, and wrong templates and settings."""

import datetime as dt
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError
from beam_pcc.kubernetes.deployment import Submission, containers, render, run_arguments, run_settings
from beam_pcc.kubernetes.plan import Manifests, plan
from beam_pcc.kubernetes.pods import Diagnosis, diagnose
from tests.launcher.conftest import DAY, TEMPLATE, config

SUBMISSION = Submission(
    "20261120-20261121T020001Z-0a1b2c3d", DAY, "me@host", dt.datetime(2026, 11, 21, 2, tzinfo=dt.timezone.utc)
)


def template() -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(TEMPLATE.read_text())  # type: ignore[no-any-return]


def test_config_values_are_rendered(tmp_path: Path) -> None:
    values = config(tmp_path) | {"flink.task_managers": "3", "flink.slots": "4", "flink.workers_memory": "7Gi"}
    rendered = render(template(), values, ["--source=s"], SUBMISSION)
    spec = rendered["spec"]
    assert rendered["metadata"]["name"] == "pcc-20261120"
    assert spec["job"]["parallelism"] == 12
    assert spec["taskManager"]["replicas"] == 3
    assert spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "4"
    assert spec["taskManager"]["podTemplate"]["spec"]["containers"][1]["resources"]["limits"]["memory"] == "7Gi"
    assert spec["taskManager"]["podTemplate"]["spec"]["containers"][1]["command"][-1] == "--slots=4"
    assert spec["taskManager"]["resource"] == {"cpu": 1.0, "memory": "2g"}
    assert {c["image"] for c in containers(spec) if "image" in c} == {spec["image"]} == {values["image"]}


def test_other_fields_are_unchanged(tmp_path: Path) -> None:
    changed = template()
    changed["spec"]["taskManager"]["podTemplate"]["spec"]["nodeSelector"] = {"pool": "pcc"}
    changed["spec"]["flinkConfiguration"]["a.setting"] = "x"
    rendered = render(changed, config(tmp_path), [], SUBMISSION)
    assert rendered["spec"]["taskManager"]["podTemplate"]["spec"]["nodeSelector"] == {"pool": "pcc"}
    assert rendered["spec"]["flinkConfiguration"]["a.setting"] == "x"


def test_template_is_not_modified(tmp_path: Path) -> None:
    before = template()
    render(before, config(tmp_path), ["--x=1"], SUBMISSION)
    assert before == template()


def test_submission_round_trip(tmp_path: Path) -> None:
    assert Submission.of(render(template(), config(tmp_path), [], SUBMISSION)) == SUBMISSION
    assert Submission.of({"metadata": {"name": "pcc-20261120"}}) is None


@given(
    st.dictionaries(
        st.from_regex(r"run\.[a-z_]{1,9}", fullmatch=True), st.sampled_from(["", "a b", "true", "false", "7"])
    )
)
def test_run_arguments_of_config(values: dict[str, str]) -> None:
    arguments = run_arguments(values, ["--last"])
    assert arguments[-1] == "--last"
    assert len(arguments) == 1 + sum(value not in ("", "false") for value in values.values())
    assert all(f"--{flag.partition('=')[0][2:]}" in arguments or "=" in flag for flag in arguments)


def test_command_line_wins_over_config() -> None:
    base = {"run.source": "sample://1", "run.warehouse": "w.duckdb", "run.models": "m", "run.force_latest": "true"}
    arguments = run_arguments(base, ["--source", "sample://2", "--direct_num_workers=1"])
    settings, rest = run_settings(arguments, DAY)
    assert (settings.source.address, settings.model.force_latest, rest) == (
        "sample://2",
        True,
        ["--direct_num_workers=1"],
    )


def test_environment_of_launcher_does_not_reach_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BQ_OUTPUT_TABLE", "a.b.c")
    monkeypatch.setenv("DRY_RUN", "true")
    settings, _ = run_settings(["--source=sample://1", "--warehouse=w.duckdb", "--models=m"], DAY)
    assert (settings.publish.output_table, settings.publish.dry_run) == (None, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": ""}, "lacks image"),
        ({"flink.slots": "two"}, "flink.slots is 'two': use a whole number from 1"),
        ({"flink.slots": "0"}, "use a whole number from 1"),
        ({"flink.task_manager_cpu": "much"}, "use a number above 0"),
        ({"flink.workers_memory": " "}, "lacks flink.workers_memory"),
        ({"launcher.keep": "-1"}, "use a whole number from 0"),
        ({"run.batch_rows": "many"}, "see beam-pcc run --help"),
    ],
)
def test_wrong_config_value_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plan(Manifests(config(tmp_path) | change, template()), [], DAY)


def test_template_of_another_version_is_refused(tmp_path: Path) -> None:
    old = template()
    old["spec"]["jobManager"]["podTemplate"]["spec"]["initContainers"][0]["name"] = "make-jar"
    with pytest.raises(ConfigurationError, match="is not the template of this version"):
        render(old, config(tmp_path), [], SUBMISSION)
    del old["spec"]["taskManager"]
    with pytest.raises(ConfigurationError, match="is not the template of this version"):
        render(old, config(tmp_path), [], SUBMISSION)


@pytest.mark.parametrize("text", ["", "a: [", "kind: ConfigMap\nmetadata: {name: x}"])
def test_file_without_manifests_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="--manifests"):
        Manifests.of_file(str(tmp_path / "x.yaml"))


def test_healthy_pod_has_no_problem() -> None:
    running = {"name": "flink-main-container", "restartCount": 0, "state": {"running": {}}}
    done = {"name": "job-jar", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    scheduled = {"type": "PodScheduled", "status": "True"}
    pod = {
        "metadata": {"name": "p"},
        "status": {"conditions": [scheduled], "containerStatuses": [running], "initContainerStatuses": [done]},
    }
    assert diagnose([pod, {"metadata": {"name": "new"}}], []) is None


@pytest.mark.parametrize(("restarts", "fatal"), [(0, False), (2, False), (3, True)])
def test_job_jar_is_retried_three_times(restarts: int, fatal: bool) -> None:
    status = {
        "name": "job-jar",
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "noise\nbeam-pcc: Google did not answer\n"}},
    }
    problem = diagnose([{"metadata": {"name": "p"}, "status": {"initContainerStatuses": [status]}}], [])
    assert problem == Diagnosis("Google did not answer", fatal=fatal)


def test_launcher_waits_as_long_as_the_job_for_its_source(tmp_path: Path) -> None:
    manifests = Manifests(config(tmp_path), template())
    usual = plan(manifests, [], DAY).timeouts
    waiting = plan(manifests, ["--wait_for_source=2h"], DAY)
    assert (waiting.timeouts.start, waiting.timeouts.total) == (usual.start + 7_200, usual.total + 7_200)
    assert "--wait_for_source=2h" in waiting.arguments
