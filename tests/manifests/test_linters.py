"""Linters and unit tests of what is deployed (checkov, hadolint, zizmor, bandit, promtool, actionlint)."""

import dataclasses
import datetime as dt
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFigures
from tests.manifests import rendered, tools
from tests.manifests.tools import ROOT

pytestmark = pytest.mark.end_to_end  # the tools are installed once
OBSERVABILITY = ROOT / "k8s/flink-operator/observability"
DOCKERFILES = ["Dockerfile", "docker/emulators/Dockerfile"]
BASE = re.compile(r"^ARG (\w+_IMAGE)=(\S+)$", re.MULTILINE)
NOT_CHECKED = {
    "CKV_DOCKER_7": "tag latest: it does not follow an ARG, and a test asserts that each base image has a digest",
    "CKV_K8S_8": "liveness of Flink's own containers and of the launcher: the operator and the Job watch over them",
    "CKV_K8S_9": "readiness of the same: nothing waits for a Service of theirs",
    "CKV_K8S_15": "pull policy Always: images are named by digest, so another pull brings the same",
    "CKV_K8S_38": "service account token: the launcher needs it, and a test asserts that nobody else has one",
    "CKV_K8S_40": "uid above 10000: 9999 is Flink's, as everywhere; it owns nothing on a node",
}


def run(*command: object, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_checkov_has_only_explained_findings(tmp_path: Path) -> None:
    digest = "registry.example/beam-pcc@sha256:" + "a" * 64
    for overlay in rendered.OVERLAYS:
        manifests = [
            *rendered.resources(overlay),
            *(
                {"apiVersion": "v1", "kind": "Pod"} | p
                for p in rendered.all_pods(overlay).values()
                if "name" in p["metadata"]
            ),
        ]
        text = yaml.safe_dump_all(json.loads(json.dumps(manifests)))
        (tmp_path / f"{overlay}.yaml").write_text(text.replace("image: beam-pcc\n", f"image: {digest}\n"))
    (tmp_path / "Dockerfile").write_text((ROOT / "Dockerfile").read_text())
    checkov = [tools.linters() / "checkov", "--directory", tmp_path, "--quiet", "--compact", "--output", "json"]
    skipped = ["--skip-check", ",".join(NOT_CHECKED), "--framework", "kubernetes", "dockerfile"]
    reports = json.loads(run(*checkov, *skipped))
    for report in reports:
        assert report["summary"]["passed"] > 40, report["check_type"]
        assert report["summary"]["failed"] == 0
    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}


@pytest.mark.parametrize("file", DOCKERFILES)
def test_hadolint(file: str) -> None:
    run(tools.linters() / "hadolint", "--failure-threshold", "warning", ROOT / file)


def test_workflow_is_valid() -> None:
    shellcheck = ROOT / ".venv/bin/shellcheck"
    run(tools.needed("actionlint"), "-shellcheck", shellcheck, ROOT / ".github/workflows/deploy.yml")


def test_zizmor() -> None:
    run(
        tools.linters() / "zizmor",
        "--offline",
        "--quiet",
        "--persona",
        "auditor",
        "--min-severity",
        "low",
        ROOT / ".github",
    )


def test_actions_are_pinned_by_commit() -> None:
    for workflow in (ROOT / ".github/workflows").glob("*.y*ml"):
        for used in re.findall(r"\buses: (.*)", workflow.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


def test_bandit() -> None:
    run(tools.linters() / "bandit", "--quiet", "--recursive", "--configfile", "pyproject.toml", "beam_pcc", "setup.py")


def test_alerts_pass_promtool_tests(tmp_path: Path) -> None:
    rule = yaml.safe_load((OBSERVABILITY / "prometheusrule.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    tests = (OBSERVABILITY / "tests.yaml").read_text()
    (tmp_path / "tests.yaml").write_text(tests)
    promtool = tools.needed("promtool")
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", cwd=tmp_path)
    run(promtool, "test", "rules", "tests.yaml", cwd=tmp_path)


def alerts() -> list[dict[str, Any]]:
    rule = yaml.safe_load((OBSERVABILITY / "prometheusrule.yaml").read_text())
    return [one for one in rule["spec"]["groups"][0]["rules"] if "alert" in one]


def test_every_alert_has_test_and_runbook() -> None:
    tests = (OBSERVABILITY / "tests.yaml").read_text()
    pages = re.findall(r"^### (\w+)", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    for alert in alerts():
        assert f"alertname: {alert['alert']}" in tests
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["alert"] in pages


def test_watched_metrics_are_served() -> None:
    from beam_pcc.kubernetes.metrics import _HELP

    watched = (OBSERVABILITY / "prometheusrule.yaml").read_text() + (
        OBSERVABILITY / "grafana-dashboard.json"
    ).read_text()
    names = set(re.findall(r"\bpcc_run_\w+", watched))
    assert names
    assert names <= set(_HELP)


def test_metrics_pass_promtool_check() -> None:
    from beam_pcc.kubernetes.metrics import _COLUMNS, _HELP, RunFigures

    figures = RunFigures(rendered.DAY)
    run = Run("r", rendered.DAY, dt.datetime.now(dt.timezone.utc))
    row = audited_row(run, StagedFigures(), RunStats(), None, ())
    figures.ended(Outcome(dataclasses.replace(row, **dict.fromkeys(_COLUMNS.values(), 0.5))))
    text = figures.text()
    assert all(f"\n{name}{{" in text for name in _HELP)
    promtool = tools.needed("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_dashboard_shows_each_figure_of_a_run() -> None:
    from beam_pcc.kubernetes.metrics import _COLUMNS

    dashboard = (OBSERVABILITY / "grafana-dashboard.json").read_text()
    shown = set(re.findall(r"\bpcc_run_\w+", dashboard))
    assert {*_COLUMNS, "pcc_run_alerts", "pcc_run_volume_alerts"} <= shown


def test_dashboard_is_complete() -> None:
    dashboard = json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["targets"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            assert 'namespace="$namespace"' in target["expr"], panel["title"]


def test_dashboard_expressions_parse(tmp_path: Path) -> None:
    dashboard = json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(tools.needed("promtool"), "check", "rules", "rules.yaml", cwd=tmp_path)


@pytest.mark.parametrize("minutes", [8, 12 * 60])
def test_panels_show_ended_runs_for_hours(tmp_path: Path, minutes: int) -> None:
    """The launcher's series ends a minute after its run; a first run that failed is replaced by the second."""
    figures = {"duration_seconds": 99, "cases": 1000, "positive_cases": 40, "dropped_cases": 10, "drift_psi": 0.1}
    figures |= {"drift_psi_recent": 0.2, "drift_psi_limit": 0.25, "alerts": 1, "volume_alerts": 2}
    figures |= {"source_rows": 1010, "exact_copies": 9, "untrained_language_cases": 3}
    failed = {"exit_code": 1, "ended_timestamp_seconds": 60, **dict.fromkeys(figures, 5000)}
    published = {"exit_code": 0, "ended_timestamp_seconds": 360, **figures}
    series = [
        {"series": f'pcc_run_{name}{{namespace="n", pod="{pod}", partition="20261120"}}', "values": values}
        for pod, start, figures in (("a", "", failed), ("b", "_x5 ", published))
        for name, values in ((name, f"{start}{value} stale") for name, value in figures.items())
    ]
    expected = {**published, "exit_code": 0}
    tests = []
    for panel in json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text())["panels"]:
        for expression in (target["expr"].replace("$namespace", "n") for target in panel.get("targets", [])):
            names = re.findall(r"pcc_run_(\w+)", expression)
            if names:
                value = 0.01 if names == ["dropped_cases", "cases"] else expected[names[0]]
                sample = {"labels": '{partition="20261120"}', "value": value}
                tests.append({"expr": expression, "eval_time": f"{minutes}m", "exp_samples": [sample]})
    assert len(tests) == 16
    rule = (OBSERVABILITY / "prometheusrule.yaml").read_text().replace('namespace="pcc-system"', 'namespace="n"')
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(rule)["spec"]))
    test = {"interval": "1m", "input_series": series, "promql_expr_test": tests}
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    run(tools.needed("promtool"), "test", "rules", "tests.yaml", cwd=tmp_path)


def copies() -> list[str]:
    targets = []
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        match = re.match(r"COPY (?!--from)(?:--\S+ )*(.+)", line)
        if match:
            targets += match[1].split()[:-1]
    return targets


@pytest.mark.parametrize("source", copies())
def test_copied_files_exist_in_build_context(source: str) -> None:
    if source.startswith("flink/") and not (ROOT / "flink/pom.xml").exists():
        tools.missing("flink/ is not there, so what the image takes of it cannot be looked at")
    assert (ROOT / source).exists()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert any(line.startswith("!") and (source == line[1:] or source.startswith(f"{line[1:]}/")) for line in ignored)


def test_dockerfile_repeats_no_versions() -> None:
    text = re.sub(rf"{BASE.pattern}|# syntax.*", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert re.findall(r"\b\d+\.\d+\.\d+", text) == []


@pytest.mark.parametrize("file", DOCKERFILES)
def test_base_images_are_pinned_by_digest(file: str) -> None:
    text = (ROOT / file).read_text()
    bases = dict(BASE.findall(text))
    for name, image in bases.items():
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d\.\d[\w.-]*@sha256:[0-9a-f]{64}", image), name
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert {f"${{{name}}}" for name in bases} == set(stages)
    assert text.index("FROM ") > max(text.index(f"ARG {name}=") for name in bases)  # else FROM knows nothing of it


def test_image_has_all_extras_for_runs() -> None:
    locked = set(
        re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", (ROOT / "requirements/image.txt").read_text(), re.MULTILINE)
    )
    for package in (
        "google-cloud-bigquery-storage",
        "google-cloud-storage",
        "kubernetes",
        "model-signing",
        "onnxruntime",
        "tokenizers",
    ):
        assert package in locked
    assert not {"torch", "pytest", "mypy"} & locked


def test_image_and_manifests_use_the_same_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "USER 9999:9999" in text
    assert 'ENTRYPOINT ["/docker-entrypoint.sh"]' in text  # which the operator calls
    last = text[text.rindex("FROM ") :]
    assert not re.search(r"\b(apt-get|gcc|build-essential|maven|golang)\b", last)
    for path in ("/opt/apache/beam/boot", "/opt/flink/lib/", "/opt/venv"):
        assert path in last


@pytest.mark.parametrize("role", ["standalone-job", "jobmanager", "taskmanager"])
def test_entrypoint_starts_flink_for_the_operator(tmp_path: Path, role: str) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / f"{role}.sh"
    script.write_text('#!/bin/sh\necho "$0" "$@"\n')
    script.chmod(0o755)
    entrypoint = ROOT / "docker/entrypoint.sh"
    result = subprocess.run(
        [str(entrypoint), role, "-Da=b c"],
        capture_output=True,
        text=True,
        env={"FLINK_HOME": str(tmp_path)},
        check=True,
    )
    assert result.stdout.strip() == f"{script} start-foreground -Da=b c"


def test_entrypoint_runs_other_commands_unchanged() -> None:
    output = run(ROOT / "docker/entrypoint.sh", "printf", "%s|", "a b", "c")
    assert output == "a b|c|"


def test_compose_has_the_production_cluster() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"bigquery", "storage", "seed", "jobmanager", "taskmanager", "workers", "run"} <= set(services)
    *workers, last = rendered.commands(rendered.run("dev")).workers
    assert last.startswith("--slots=")
    (slots,) = (
        word for word in services["taskmanager"]["command"] if word.startswith("taskmanager.numberOfTaskSlots=")
    )
    assert services["workers"]["command"] == [*workers, f"--slots={slots.partition('=')[2]}"]
    assert services["workers"]["network_mode"] == services["taskmanager"]["network_mode"] == "service:pod"
    for name in ("jobmanager", "pod", "taskmanager", "workers", "run"):
        service = services[name]
        assert service["read_only"] is True
        for volume in service.get("volumes", []):
            assert (ROOT / volume.split(":")[0]).exists(), volume
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
