"""Settings of a deployment: each is checked as a whole, whatever somebody puts into it."""

import json
import os
import string
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from beam_pcc.deploy import settings
from beam_pcc.deploy.layer import Installation
from beam_pcc.deploy.overlays import Overlay
from beam_pcc.deploy.settings import Image
from beam_pcc.errors import ConfigurationError
from tests.deploy.fakes import DIGEST, SETTINGS, Deployment

NAMES = [name for name in settings.VARIABLES if name != "GCP_KEY_FILE"]
VALID = {**SETTINGS, "PCC_TEMP_DATASET": "p1.temp"}
SAFE = set(string.ascii_letters + string.digits + "-_./:@{}?=*+~")
HOSTILE = {
    "newline": "{0}\ne touch {1}",
    "newline at the end": "{0}\n",
    "sed": "{0}|e touch {1}\n|",
    "carriage return": "{0}\rx",
    "single quote": "{0}'; touch {1}; '",
    "double quote": '{0}"; touch {1}; "',
    "command substitution": "{0}$(touch {1})",
    "backticks": "{0}`touch {1}`",
    "semicolon": "{0};touch {1}",
    "pipe": "{0}|touch {1}",
    "folder above": "../../{0}",
    "folder above inside": "{0}/../../x",
    "absolute": "/etc/{0}",
    "key of YAML": "{0}: {{a: b}}",
    "flow of YAML": "{{{0}, kind: Secret}}",
    "tag of YAML": "!!python/object/apply:os.system [touch {1}]",
    "anchor of YAML": "&a {0}",
    "comment": "{0} #",
    "comma": "{0},image=x",
    "template": "{{{{.Env}}}}{0}",
    "option": "--kubeconfig={0}",
    "escape": "{0}\x1b[31m",
    "space": " {0}",
    "wide digits": "١٢٣٤٥٦٧٨٩٠١٢",
    "very long": "{0}" + "a" * 100_000,
}


def read(environment: dict[str, str]) -> list[str]:
    """Every value, as it is used."""
    aws, pipeline, google = (read(environment) for read in (settings.aws, settings.pipeline, settings.google))
    return [str(value) for one in (aws, pipeline, google) for value in vars(one).values()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_setting_is_refused(name: str, kind: str) -> None:
    value = HOSTILE[kind].format(VALID[name], "/tmp/canary")
    with pytest.raises(ConfigurationError) as refused:
        read({**VALID, name: value})

    message = str(refused.value)
    assert message.startswith(f"{name} is ")
    assert message.isprintable()
    assert len(message) < 400


# Calls every command with each of these values, in one process.
_CALLS = """
import json, os, sys
from beam_pcc.cli import main as cli
usual, values, commands = json.loads(sys.argv[1])
for name, value in values.items():
    os.environ.update({**usual, name: value})
    for command in commands:
        print("exit code", cli.main(["deploy", *command]))
"""


@pytest.mark.parametrize("kind", ["newline", "sed", "folder above", "command substitution", "very long"])
def test_hostile_setting_runs_and_writes_nothing(deployment: Deployment, kind: str) -> None:
    canary = deployment.state / "canary"
    names = [name for name in NAMES if name not in ("AWS_ACCOUNT_ID", "AWS_REGION", "CLUSTER")]
    for chosen, command in (
        (NAMES, ["apply"]),
        (NAMES, ["apply", "--dry-run"]),
        (names, ["render", f"--image=x@{DIGEST}"]),
    ):
        values = {name: HOSTILE[kind].format(VALID[name], canary)[:10_000] for name in chosen}
        arguments = json.dumps([VALID, values, [command]])
        ended = deployment.call(arguments, program=(sys.executable, "-c", _CALLS))

        assert ended.output.splitlines() == ["exit code 2"] * len(chosen), ended.errors
    assert deployment.calls() == []
    assert deployment.files() == set()
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_nul_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        read({**VALID, name: f"{VALID[name]}\0"})


@given(st.sampled_from(NAMES), st.text(max_size=40), st.text(max_size=40))
@example("PCC_SOURCE", "", "\nkind: Secret")
@example("GCP_SERVICE_ACCOUNT", "x\ne id\n", "")
def test_setting_is_safe_or_refused(name: str, before: str, after: str) -> None:
    try:
        values = read({**VALID, name: before + VALID[name] + after})
    except ConfigurationError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert all(set(value) <= SAFE for value in values)
    assert refusal.isprintable()


@given(st.text(string.ascii_letters + string.digits + "-_./:@{}?=*+~%&;$'\"\n ", max_size=60))
def test_source_is_safe_or_refused(text: str) -> None:
    for prefix in ("bq://", "gs://", ""):
        try:
            source = settings.pipeline({**VALID, "PCC_SOURCE": prefix + text}).source
        except ConfigurationError:
            continue
        assert set(source) <= SAFE


@given(st.text(max_size=100))
@example(f"x@{DIGEST}\nkind: Secret")
@example(f"x@{DIGEST}\n")
@example(f"../../x@{DIGEST}")
@example(f"x:latest@{DIGEST}")
def test_image_is_a_digest_or_refused(text: str) -> None:
    for value in (text, f"{text}@{DIGEST}", f"registry.example/beam-pcc{text}@{DIGEST}"):
        try:
            image = Image.parse(value)
        except ConfigurationError:
            continue
        assert str(image) == value
        assert set(value) <= SAFE - set("{}?=*+~")
        assert ".." not in value


@pytest.mark.parametrize(
    "image",
    [
        f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/beam-pcc@{DIGEST}",
        f"localhost:5000/a/b-c__d.e@{DIGEST}",
        f"beam-pcc@{DIGEST}",
    ],
)
def test_valid_image_is_accepted(image: str) -> None:
    assert str(Image.parse(image)) == image


@pytest.mark.parametrize("image", ["x:latest", "x@sha256:DIGEST", f"X y@{DIGEST}", f"@{DIGEST}", f"x@{DIGEST}0", ""])
def test_image_without_a_digest_is_refused(image: str) -> None:
    with pytest.raises(ConfigurationError, match="name it by digest"):
        Image.parse(image)


@pytest.mark.parametrize("flag", [f"x@{DIGEST}\nkind: Secret", f"x@{DIGEST}; touch y", "$(id)"])
def test_hostile_image_runs_nothing(deployment: Deployment, flag: str) -> None:
    ended = deployment.call("apply", "--image", flag)

    assert (ended.code, len(ended.errors.splitlines())) == (2, 1)
    assert deployment.calls() == []
    assert deployment.files() == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "us-gov-west-1"),
        ("AWS_REGION", "ap-southeast-2"),
        ("CLUSTER", "My_cluster-2"),
        ("PCC_SOURCE", "bq://example.com:p1.support.cases?partition_column=timestamp"),
        ("PCC_SOURCE", "gs://bucket/day={partition}/*.parquet"),
        ("PCC_SOURCE", "gs://bucket/cases_{partition}.jsonl.gz"),
        ("PCC_MODELS", "gs://my.bucket-1"),
        ("PCC_STAGING", "gs://my-bucket/a/b/"),
        ("PCC_TEMP_DATASET", "bq://p1.temp"),
        ("PCC_TEMP_DATASET", ""),
        ("GCP_SERVICE_ACCOUNT", "1234-compute@developer.gserviceaccount.com"),
        ("GCP_SERVICE_ACCOUNT", "runner@p1.example.com.iam.gserviceaccount.com"),
    ],
)
def test_valid_setting_is_accepted(name: str, value: str) -> None:
    assert value in read({**VALID, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCOUNT_ID", "12345678901"),
        ("AWS_REGION", "europe"),
        ("PCC_SOURCE", "bq://p1.support.cases"),
        ("PCC_SOURCE", "bq://p1.support.cases_{partition}?partition_column=day"),
        ("PCC_SOURCE", "bq://p1.support.cases?partition_column=a%0Ab"),
        ("PCC_SOURCE", "sample://100"),
        ("PCC_SOURCE", "local/cases.parquet"),
        ("PCC_SOURCE", "gs://bucket/{day}.parquet"),
        ("PCC_WAREHOUSE", "p1.pcc"),
        ("PCC_WAREHOUSE", "local/pcc.duckdb"),
        ("PCC_MODELS", "s3://bucket/models"),
        ("PCC_STAGING", "gs://bucket/a/../../b"),
        ("GCP_WORKLOAD_PROVIDER", "projects/my-project/locations/global/workloadIdentityPools/eks/providers/prod"),
        ("GCP_SERVICE_ACCOUNT", "somebody@example.org"),
    ],
)
def test_setting_of_another_form_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*; it must be "):
        read({**VALID, name: value})


KEY = '{"type": "service_account", "private_key": "hush"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("key.json", "hush, no JSON"),
        ("key.json", '{"type": "external_account", "private_key": "hush"}'),
        ("key.json", '["hush"]'),
        ("key.json", "[" * 60_000),
        ("key.json", '{"type": "service_account", "hush": "' + "x" * 70_000 + '"}'),
        ("a\nb.json", KEY),
        ("a=b.json", KEY),
        ("a,b.json", KEY),
        ('a"b.json', KEY),
    ],
)
def test_malformed_key_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match="GCP_KEY_FILE ") as refused:
        settings.google({"GCP_KEY_FILE": str(tmp_path / name)})

    assert "hush" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_irregular_key_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero"), tmp_path / "none"):
        with pytest.raises(ConfigurationError, match="is not there, or is no regular file"):
            settings.google({"GCP_KEY_FILE": str(path)})


def test_called_as_is_one_of_two_scripts() -> None:
    for name, expected in (("./deploy-to-eks.sh", "./deploy-to-eks.sh"), ("./x; id", None), ("", None)):
        assert settings.called_as({"BEAM_PCC_CALLED_AS": name}) == expected


@given(st.text(max_size=60), st.booleans(), st.booleans())
def test_layer_holds_any_text_as_data(text: str, has_session: bool, has_alerts: bool) -> None:
    """Even what no setting can be never becomes a key of the YAML."""
    pipeline = settings.Pipeline(text, text, text, text, text)
    overlay = Overlay("prod", "pcc-system", has_session, has_alerts)
    installation = Installation(overlay, Image(text, text), pipeline, settings.Google(text, text), False, text)
    kustomization = installation.kustomization()

    from beam_pcc.deploy.layer import to_yaml

    assert yaml.safe_load(to_yaml(kustomization)) == kustomization
    assert len(kustomization["configMapGenerator"][0]["literals"]) == 6
    for patch in kustomization["patches"]:
        assert isinstance(yaml.safe_load(patch["patch"]), dict | list)


@pytest.mark.parametrize("variable", settings.VARIABLES)
def test_every_variable_is_in_the_contracts(variable: str) -> None:
    contracts = Path(__file__).parent.parent.parent / "docs/contracts.md"
    assert f"`{variable}`" in contracts.read_text()
