"""The FlinkDeployment of a run: what the launcher fills in, and what it refuses."""

import datetime as dt
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError
from beam_pcc.kubernetes.deployment import Submission, containers, render, run_arguments, run_settings
from beam_pcc.kubernetes.plan import Manifests, plan
from beam_pcc.kubernetes.pods import trouble
from tests.launcher.conftest import DAY, TEMPLATE, config

MADE = Submission(
    "20261120-20261121T020001Z-0a1b2c3d", DAY, "me@host", dt.datetime(2026, 11, 21, 2, tzinfo=dt.timezone.utc)
)


def template() -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(TEMPLATE.read_text())  # type: ignore[no-any-return]


def test_what_the_config_says_is_filled_in(tmp_path: Path) -> None:
    values = config(tmp_path) | {"flink.task_managers": "3", "flink.slots": "4", "flink.workers_memory": "7Gi"}
    made = render(template(), values, ["--source=s"], MADE)
    spec = made["spec"]
    assert made["metadata"]["name"] == "pcc-20261120"
    assert spec["job"]["parallelism"] == 12
    assert spec["taskManager"]["replicas"] == 3
    assert spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "4"
    assert spec["taskManager"]["podTemplate"]["spec"]["containers"][1]["resources"]["limits"]["memory"] == "7Gi"
    assert spec["taskManager"]["resource"] == {"cpu": 1.0, "memory": "2g"}
    assert {c["image"] for c in containers(spec) if "image" in c} == {spec["image"]} == {values["image"]}


def test_what_is_not_filled_in_stays(tmp_path: Path) -> None:
    changed = template()
    changed["spec"]["taskManager"]["podTemplate"]["spec"]["nodeSelector"] = {"pool": "pcc"}
    changed["spec"]["flinkConfiguration"]["a.setting"] = "x"
    made = render(changed, config(tmp_path), [], MADE)
    assert made["spec"]["taskManager"]["podTemplate"]["spec"]["nodeSelector"] == {"pool": "pcc"}
    assert made["spec"]["flinkConfiguration"]["a.setting"] == "x"


def test_the_template_is_not_changed(tmp_path: Path) -> None:
    before = template()
    render(before, config(tmp_path), ["--x=1"], MADE)
    assert before == template()


def test_who_submitted_can_be_read_back(tmp_path: Path) -> None:
    assert Submission.of(render(template(), config(tmp_path), [], MADE)) == MADE
    assert Submission.of({"metadata": {"name": "pcc-20261120"}}) is None


@given(
    st.dictionaries(
        st.from_regex(r"run\.[a-z_]{1,9}", fullmatch=True), st.sampled_from(["", "a b", "true", "false", "7"])
    )
)
def test_flags_of_the_config(values: dict[str, str]) -> None:
    made = run_arguments(values, ["--last"])
    assert made[-1] == "--last"
    assert len(made) == 1 + sum(value not in ("", "false") for value in values.values())
    assert all(f"--{flag.partition('=')[0][2:]}" in made or "=" in flag for flag in made)


def test_the_command_line_wins_over_the_config() -> None:
    base = {"run.source": "sample://1", "run.warehouse": "w.duckdb", "run.models": "m", "run.force_latest": "true"}
    arguments = run_arguments(base, ["--source", "sample://2", "--direct_num_workers=1"])
    settings, rest = run_settings(arguments, DAY)
    assert (settings.source.address, settings.model.force_latest, rest) == (
        "sample://2",
        True,
        ["--direct_num_workers=1"],
    )


def test_the_environment_of_the_launcher_does_not_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_config_that_is_wrong_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plan(Manifests(config(tmp_path) | change, template()), [], DAY)


def test_a_template_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    old = template()
    old["spec"]["jobManager"]["podTemplate"]["spec"]["initContainers"][0]["name"] = "make-jar"
    with pytest.raises(ConfigurationError, match="is not the template of this version"):
        render(old, config(tmp_path), [], MADE)
    del old["spec"]["taskManager"]
    with pytest.raises(ConfigurationError, match="is not the template of this version"):
        render(old, config(tmp_path), [], MADE)


@pytest.mark.parametrize("text", ["", "a: [", "kind: ConfigMap\nmetadata: {name: x}"])
def test_a_file_that_is_no_rendering_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="--manifests"):
        Manifests.of_file(str(tmp_path / "x.yaml"))


def test_a_pod_that_is_well_is_no_trouble() -> None:
    running = {"name": "flink-main-container", "restartCount": 0, "state": {"running": {}}}
    done = {"name": "job-jar", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    scheduled = {"type": "PodScheduled", "status": "True"}
    pod = {
        "metadata": {"name": "p"},
        "status": {"conditions": [scheduled], "containerStatuses": [running], "initContainerStatuses": [done]},
    }
    assert trouble([pod, {"metadata": {"name": "new"}}], []) is None


@pytest.mark.parametrize(("restarts", "fatal"), [(0, False), (2, False), (3, True)])
def test_a_job_jar_that_fails_in_passing_is_tried_again_three_times(restarts: int, fatal: bool) -> None:
    status = {
        "name": "job-jar",
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "noise\nbeam-pcc: Google did not answer\n"}},
    }
    found = trouble([{"metadata": {"name": "p"}, "status": {"initContainerStatuses": [status]}}], [])
    assert found
    assert (found.words, found.fatal, found.usage) == ("Google did not answer", fatal, False)
