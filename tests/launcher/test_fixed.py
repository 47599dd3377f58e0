"""The launcher fixes the model, its digest, the shadow and the start, and passes other arguments on unchanged."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cli.submit import run_arguments_of
from tests.launcher.conftest import NAME, Launcher, add_version

VERSIONS = ("v20261118_020000", "v20261119_020000", "v20261120_020000")


def flags_of_the_job(launcher: Launcher, name: str = NAME) -> dict[str, str]:
    """The flags of the job-jar container; the last of several equal ones."""
    spec = launcher.kubernetes.deployments[name]["spec"]
    (job_jar,) = spec["jobManager"]["podTemplate"]["spec"]["initContainers"]
    return {flag.partition("=")[0].removeprefix("--"): flag.partition("=")[2] for flag in job_jar["args"]}


@pytest.fixture
def registry(launcher: Launcher, tmp_path: Path) -> Path:
    models = tmp_path / "models"
    for number, version in enumerate(VERSIONS):
        if not (models / version).exists():
            add_version(models, version, str(number) * 64)
    launcher.kubernetes.on_create = lambda name: None
    return models


def promote(registry: Path, version: str, shadow: str | None = None) -> None:
    (registry / "current.json").write_text(json.dumps({"version": version, **({"shadow": shadow} if shadow else {})}))


def test_promoted_version_is_fixed_with_its_digest(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0], shadow=VERSIONS[2])
    launcher.submit()

    flags = flags_of_the_job(launcher)
    assert (flags["model_version"], flags["model_sha256"]) == (VERSIONS[0], "0" * 64)
    assert flags["shadow_version"] == VERSIONS[2]


def test_no_shadow_is_fixed_as_none(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0])
    launcher.submit()
    assert flags_of_the_job(launcher)["shadow_version"] == "none"


def test_force_latest_fixes_latest_version(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0])
    launcher.submit("--force_latest")

    flags = flags_of_the_job(launcher)
    assert flags["model_version"] == VERSIONS[2]
    assert "force_latest" not in flags


def test_model_flags_win(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0], shadow=VERSIONS[1])
    launcher.submit(f"--model_version={VERSIONS[2]}", "--shadow_version=none", f"--model_sha256={'2' * 64}")

    flags = flags_of_the_job(launcher)
    assert (flags["model_version"], flags["model_sha256"]) == (VERSIONS[2], "2" * 64)
    assert flags["shadow_version"] == "none"


def test_registry_shadow_that_runs_itself_is_none(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0], shadow=VERSIONS[1])
    launcher.submit(f"--model_version={VERSIONS[1]}")
    assert flags_of_the_job(launcher)["shadow_version"] == "none"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model_version=v20200101_000000"], "which is not in"),
        (["--shadow_version=v20200101_000000"], "--shadow_version names v20200101_000000"),
        ([f"--shadow_version={VERSIONS[2]}"], f"--shadow_version {VERSIONS[2]} is the version of the run itself"),
        ([f"--shadow_version={VERSIONS[2].replace('_', '')}"], "is the version of the run itself"),
        ([f"--model_sha256={'f' * 64}"], "was changed or swapped"),
    ],
)
def test_unusable_model_is_exit_code_2(launcher: Launcher, registry: Path, flags: list[str], words: str) -> None:
    assert launcher.submit(*flags) == 2
    assert words in launcher.errors
    assert not launcher.kubernetes.deployments


def test_run_id_of_job_contains_start(launcher: Launcher, registry: Path) -> None:
    launcher.submit()
    assert flags_of_the_job(launcher)["run_id"] == launcher.run_id()


def test_render_shows_model(launcher: Launcher, registry: Path) -> None:
    promote(registry, VERSIONS[0])
    assert launcher.submit("--render") == 0
    assert f"--model_version={VERSIONS[0]}" in launcher.stdout


def test_render_of_manifests_needs_no_network(launcher: Launcher, tmp_path: Path) -> None:
    import yaml

    launcher.kubernetes.config_maps["pcc-config"]["run.models"] = "gs://nobody-is-asked/models"
    maps = [
        {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        for name, data in launcher.kubernetes.config_maps.items()
    ]
    (tmp_path / "rendered.yaml").write_text(yaml.safe_dump_all(maps))

    assert launcher.submit("--render", f"--manifests={tmp_path / 'rendered.yaml'}") == 0
    assert "--model_version" not in launcher.stdout
    assert launcher.kubernetes.requests == []


def test_attached_launcher_needs_no_registry(launcher: Launcher, registry: Path) -> None:
    launcher.submit()
    launcher.succeed(NAME)
    registry.rename(registry.with_name("gone"))

    assert launcher.submit("--wait", "--attach") == 0


def test_backfill_passes_on_flags_equal_to_defaults(launcher: Launcher, registry: Path) -> None:
    launcher.kubernetes.on_create = launcher.succeed
    launcher.kubernetes.config_maps["pcc-config"]["run.max_drop_rate"] = "0.5"
    certificate = registry / "root.pem"
    certificate.write_text("")
    days = ["--from=20261120", "--to=20261120"]

    assert launcher.call("backfill", "--on-kubernetes", *days, "--max_drop_rate", "0.10", "--object_reuse=true") == 0
    spec = launcher.kubernetes.deployments[NAME]["spec"]
    args = spec["jobManager"]["podTemplate"]["spec"]["initContainers"][0]["args"]
    assert args.index("0.10") > args.index("--max_drop_rate=0.5")
    assert "--object_reuse=true" in args


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max_drop_rate=0.1"],
        ["--max_drop_rate", "0.1", "--force_latest"],
        ["--model_certificates", "a.pem", "b.pem", "--dry_run"],
        ["--replace_with_empty", "--experiments=a", "--experiments", "b"],
        ["--source=a b", "--environment_config", "h:1"],
    ],
)
def test_run_arguments_are_passed_on_unchanged(arguments: list[str]) -> None:
    own = ["--from", "20261119", "--to=20261120", "--on-kubernetes", "--parallel", "2", "--keep=9", "--namespace=n"]
    assert run_arguments_of([*own[:3], *arguments, *own[3:]]) == arguments


@given(st.lists(st.sampled_from(["--max_psi=1", "--text_column", "body", "--dry_run", "x y", "--k=--from", "-1"])))
def test_run_arguments_keep_their_order(arguments: list[str]) -> None:
    assert run_arguments_of(["--from=20261119", *arguments, "--to=20261120"]) == arguments


def test_config_file_is_passed_on_as_flags(launcher: Launcher, registry: Path) -> None:
    """The pod does not have the file. Flags win over the file, and the file over the ConfigMap."""
    launcher.kubernetes.config_maps["pcc-config"]["run.max_psi"] = "0.5"
    file = registry / "run.toml"
    file.write_text('partition = "20261120"\nmax_psi = 0.3\nmax_drop_rate = 0.2\nreplace_with_empty = true\n')

    assert launcher.call("submit", f"--config={file}", "--max_drop_rate=0.4") == 0
    flags = flags_of_the_job(launcher)
    assert (flags["max_psi"], flags["max_drop_rate"], flags["replace_with_empty"]) == ("0.3", "0.4", "")
    assert "config" not in flags


def test_unreadable_config_file_creates_nothing(launcher: Launcher, registry: Path) -> None:
    assert launcher.call("submit", "--partition=20261120", f"--config={registry / 'none.toml'}") == 2
    assert launcher.kubernetes.deployments == {}
