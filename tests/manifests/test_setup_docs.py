"""The documentation of the setup and of CI matches the manifests; no test can run it without AWS and Google."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import rendered
from tests.manifests.tools import ROOT

DOCS = {file.name: file.read_text() for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
ALL = "\n".join(DOCS.values())
CI = DOCS["ci-cd.md"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def joined(text: str) -> str:
    """Commands that go over several lines, in one."""
    return re.sub(r"\\\n\s*", "", text)


def gitlab() -> dict[str, Any]:
    (pipeline,) = (p for b in blocks(CI, "yaml") if "stages" in (p := yaml.safe_load(b)))
    return dict(pipeline)


def codebuild() -> dict[str, Any]:
    (build,) = (p for b in blocks(CI, "yaml") if "phases" in (p := yaml.safe_load(b)))
    return dict(build["phases"])


def flat(commands: list[Any]) -> list[str]:
    """With the list of an anchor among them, as GitLab takes it."""
    return [line for one in commands for line in (one if isinstance(one, list) else [one])]


JENKINS = blocks(CI, "groovy")[0]
SCRIPTS = {
    "github": "\n".join(step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step),
    "gitlab": "\n".join(line for job in ("test", "image", "deploy") for line in flat(gitlab()[job]["script"])),
    "jenkins": "\n".join(a or b for a, b in re.findall(r"\bsh (?:'''(.*?)'''|'([^'].*?)')", JENKINS, re.DOTALL)),
    "codebuild": "\n".join(line for phase in codebuild().values() for line in phase.get("commands", [])),
}
every_system = pytest.mark.parametrize("system", SCRIPTS)


def test_every_google_api_is_enabled_in_one_line() -> None:
    (line,) = re.findall(r"gcloud services enable (.*)", joined(ALL))
    federation = (ROOT / "k8s/flink-operator/examples/google-federation.json").read_text()
    hosts = set(re.findall(r"https://(\w+\.googleapis\.com)", federation))
    assert hosts == {"sts.googleapis.com", "iamcredentials.googleapis.com"}
    called = {f"{api}.googleapis.com" for api in ("bigquery", "bigquerystorage", "storage", "iam")}
    assert called | hosts <= set(line.split())


def test_one_service_account_is_named_everywhere() -> None:
    accounts = set(re.findall(r"[\w.-]+@[\w.-]+\.gserviceaccount\.com", ALL))
    assert accounts == {"pcc-runner@my-project.iam.gserviceaccount.com"}


def test_the_project_number_is_looked_up() -> None:
    assert "PROJECT_NUMBER=$(gcloud projects describe " in DOCS["eks-deployment.md"]
    assert re.findall(r"(?<![\w$])PROJECT_NUMBER(?!=)", ALL) == []


def test_federation_accepts_accounts_of_both_overlays() -> None:
    accounts = {
        f"system:serviceaccount:{r['metadata']['namespace']}:{r['metadata']['name']}"
        for overlay in rendered.OVERLAYS
        for r in rendered.resources(overlay)
        if r["kind"] == "ServiceAccount"
    }
    text = joined(DOCS["eks-deployment.md"])
    (condition,) = re.findall(r'--attribute-condition="(.*?)"', text)
    assert set(re.findall(r"'([^']+)'", condition)) == accounts
    namespaces, names = (
        re.findall(rf"for {name} in ([\w -]+); do", text)[0].split() for name in ("namespace", "account")
    )
    assert {f"system:serviceaccount:{namespace}:{name}" for namespace in namespaces for name in names} == accounts


def test_every_example_is_in_the_docs() -> None:
    folder = ROOT / "k8s/flink-operator/examples"
    for component in (file.parent.name for file in folder.glob("*/kustomization.yaml")):
        assert f"`- ../../examples/{component}`" in DOCS["eks-deployment.md"]


def test_the_policies_at_aws_are_json() -> None:
    policies = [json.loads(block) for name in ("eks-deployment.md", "ci-cd.md") for block in blocks(DOCS[name], "json")]
    assert [policy["Version"] for policy in policies] == ["2012-10-17"] * 2


@every_system
def test_pipelines_test_scan_and_push_in_order(system: str) -> None:
    script = SCRIPTS[system]
    steps = ["./.ci/run", "docker build", "trivy", "ecr create-repository", "docker push", "deploy-to-eks.sh deploy"]
    places = [script.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert "--image-tag-mutability IMMUTABLE" in script


@every_system
def test_sudo_keeps_the_path(system: str) -> None:
    """sudo's own PATH (secure_path) wins over --preserve-env, so the Python that was set up would not be found."""
    for line in re.findall(r"sudo (?!chown).*", SCRIPTS[system]):
        assert re.match(r'sudo env .*"PATH=\$PATH"', line)


@every_system
def test_the_commands_of_a_pipeline_pass_shellcheck(system: str) -> None:
    script = SCRIPTS[system].replace("${{", "${X").replace("}}", "}")
    shellcheck = ROOT / ".venv/bin/shellcheck"
    # Set by the system or by an earlier command; or of one stage and meant for no other.
    excluded = "--exclude=SC2154,SC2034,SC2119,SC2120"
    done = subprocess.run([shellcheck, "--shell=bash", excluded, "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_jenkins_asks_only_before_deployment() -> None:
    (stage,) = re.findall(r"stage\('deploy'\).*?steps", JENKINS, re.DOTALL)
    assert re.search(r"when \{ beforeInput true; branch 'main' \}\s+input", stage)


def test_codebuild_deploys_nothing_after_a_failed_scan(tmp_path: Path) -> None:
    """post_build runs after a failed build as well; CodeBuild ends a phase at the first command that fails."""
    first, *rest = codebuild()["post_build"]["commands"]
    assert all("deploy-to-eks.sh" in command for command in rest)
    for succeeding, code in (("1", 0), ("0", 1)):
        done = subprocess.run(["bash", "-c", first], env={"CODEBUILD_BUILD_SUCCEEDING": succeeding}, cwd=tmp_path)
        assert done.returncode == code


def test_the_documented_key_signs_and_verifies(tmp_path: Path) -> None:
    from model_signing import signing, verifying

    commands = re.findall(r"^    (openssl .*)$", DOCS["models.md"], re.MULTILINE)
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    version = tmp_path / "v20261120_020000"
    version.mkdir()
    (version / "model.joblib").write_bytes(b"model")
    signature = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=tmp_path / "signer.key").sign(version, signature)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "signer.pub")
    verifier.verify(version, signature)
    (version / "model.joblib").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"mismatch|[Ss]ignature"):
        verifier.verify(version, signature)


def test_gitlabs_jobs_belong_to_a_stage() -> None:
    pipeline = gitlab()
    jobs = {name: job for name, job in pipeline.items() if isinstance(job, dict) and "script" in job}
    assert [job["stage"] for job in jobs.values()] == pipeline["stages"]
