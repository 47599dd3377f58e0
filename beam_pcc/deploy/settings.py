"""The settings of a deployment, from environment variables, each matched against a pattern before it is used.

A valid value has no control character, quote, space or shell character, so that it needs no quoting in a command, a
file name, YAML or JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.gcp.names import SourceTable, parse_dataset

VARIABLES = {
    "AWS_ACCOUNT_ID": "the account of the cluster and of the image registry, 12 digits",
    "AWS_REGION": "the region of both, such as eu-central-1",
    "CLUSTER": "the name of the EKS cluster",
    "PCC_SOURCE": "as --source of beam-pcc run: bq:// or gs://",
    "PCC_WAREHOUSE": "as --warehouse: bq://PROJECT.DATASET",
    "PCC_MODELS": "as --models: gs://BUCKET/FOLDER",
    "PCC_STAGING": "as --staging: gs://BUCKET/FOLDER",
    "PCC_TEMP_DATASET": "optional, as --temp_dataset: PROJECT.DATASET",
    "GCP_WORKLOAD_PROVIDER": "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
    "GCP_SERVICE_ACCOUNT": "the e-mail of the Google service account",
    "GCP_KEY_FILE": "instead of these two: a key file, where federation is not possible",
}
_CALLED_AS = "BEAM_PCC_CALLED_AS"  # set by deploy-to-eks.sh and deploy-to-eks.ps1, for the words of --help
_LONGEST = 2_000  # characters of any setting
_LARGEST_KEY_FILE = 64 * 1024  # bytes; a key file has about 2,400
_ANY_DAY = dt.date(2026, 1, 1)  # replaces {partition} when an address is checked

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}")
_CLUSTER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_FOLDER = re.compile(rf"{_BUCKET}(?:/[0-9A-Za-z._~=+@-]+)*/?")
_FILES = re.compile(rf"{_BUCKET}(?:/[0-9A-Za-z._~=+@*?{{}}-]+)+\.(?:parquet|jsonl|jsonl\.gz)")
_PROVIDER = re.compile(
    r"projects/([0-9]{1,20})/locations/global/workloadIdentityPools/[a-z0-9-]{1,63}/providers/[a-z0-9-]{1,63}"
)
_SERVICE_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}@[a-z0-9][a-z0-9.-]{0,120}\.gserviceaccount\.com")
# As OCI's grammar of references: a host, then components of a path.
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*(?::[0-9]{1,5})?"
_IMAGE = re.compile(rf"(?P<name>(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)@(?P<digest>sha256:[0-9a-f]{{64}})")
# kubectl splits --from-file at "=" and ","; a quote would begin a quoted part.
_KEY_FILE = re.compile(r"[^\x00-\x1f\x7f=,\"]+")


@dataclass(frozen=True)
class Aws:
    """Where to deploy."""

    account: str
    region: str
    cluster: str

    @property
    def registry(self) -> str:
        """The host of the account's image registry."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com{'.cn' if self.region.startswith('cn-') else ''}"


@dataclass(frozen=True)
class Pipeline:
    """Source, warehouse and folders of the runs, as options of `beam-pcc run`."""

    source: str
    warehouse: str
    models: str
    staging: str
    temp_dataset: str = ""

    @property
    def project(self) -> str:
        """The Google project of the warehouse."""
        return parse_dataset(self.warehouse, "PCC_WAREHOUSE").project


@dataclass(frozen=True)
class Google:
    """How the pods authenticate at Google: by federation (provider and account) or by a key file."""

    provider: str = ""
    account: str = ""
    key_file: str = ""

    @property
    def project_number(self) -> str:
        """The number of the project of the workload identity pool."""
        match = _PROVIDER.fullmatch(self.provider)
        return match[1] if match else ""


@dataclass(frozen=True)
class Image:
    """A container image by digest."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"

    @classmethod
    def parse(cls, text: str, where: str = "--image") -> Image:
        """Read NAME@sha256:DIGEST. Raises ConfigurationError naming `where`."""
        match = _IMAGE.fullmatch(text) if len(text) <= _LONGEST else None
        if not match:
            raise ConfigurationError(f"{where} {_quoted(text)}: name it by digest, NAME@sha256:... with 64 digits")
        return cls(match["name"], match["digest"])


def aws(environment: Mapping[str, str] = os.environ) -> Aws:
    """Read where to deploy. Raises ConfigurationError naming the variable."""
    _require(environment, "AWS_ACCOUNT_ID", "AWS_REGION", "CLUSTER")
    return Aws(
        _matching(environment, "AWS_ACCOUNT_ID", _ACCOUNT, "12 digits"),
        _matching(environment, "AWS_REGION", _REGION, "a region, such as eu-central-1"),
        _matching(environment, "CLUSTER", _CLUSTER, "the name of an EKS cluster: letters, digits, - and _"),
    )


def pipeline(environment: Mapping[str, str] = os.environ) -> Pipeline:
    """Read the addresses of the runs. Raises ConfigurationError naming the variable."""
    _require(environment, "PCC_SOURCE", "PCC_WAREHOUSE", "PCC_MODELS", "PCC_STAGING")
    temp_dataset = environment.get("PCC_TEMP_DATASET", "")
    if temp_dataset:
        _checked(temp_dataset, "PCC_TEMP_DATASET", _is_dataset, "PROJECT.DATASET")
    return Pipeline(
        _checked(
            environment["PCC_SOURCE"],
            "PCC_SOURCE",
            _is_source,
            "bq://PROJECT.DATASET.TABLE_{partition}, bq://PROJECT.DATASET.TABLE?partition_column=COLUMN, or "
            "gs://BUCKET/FILES.parquet with {partition} in it",
        ),
        _checked(
            environment["PCC_WAREHOUSE"],
            "PCC_WAREHOUSE",
            lambda text: text.startswith("bq://") and _is_dataset(text),
            "bq://PROJECT.DATASET",
        ),
        _checked(environment["PCC_MODELS"], "PCC_MODELS", _is_folder, "gs://BUCKET/FOLDER"),
        _checked(environment["PCC_STAGING"], "PCC_STAGING", _is_folder, "gs://BUCKET/FOLDER"),
        temp_dataset,
    )


def google(environment: Mapping[str, str] = os.environ) -> Google:
    """Read how the pods authenticate. Raises ConfigurationError naming the variable."""
    if environment.get("GCP_KEY_FILE"):
        return Google(key_file=_key_file(environment["GCP_KEY_FILE"]))
    _require(environment, "GCP_WORKLOAD_PROVIDER", "GCP_SERVICE_ACCOUNT")
    return Google(
        _matching(
            environment,
            "GCP_WORKLOAD_PROVIDER",
            _PROVIDER,
            "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
        ),
        _matching(environment, "GCP_SERVICE_ACCOUNT", _SERVICE_ACCOUNT, "an e-mail that ends in .gserviceaccount.com"),
    )


def called_as(environment: Mapping[str, str] = os.environ) -> str | None:
    """The script that called `beam-pcc deploy`, as its users call it; None without one."""
    text = environment.get(_CALLED_AS, "")
    return text if re.fullmatch(r"\./deploy-to-eks\.(sh|ps1)", text) else None


def program_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the called programs: without a pager, which would wait for a key."""
    return {**environment, "AWS_PAGER": ""}


def _require(environment: Mapping[str, str], *names: str) -> None:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise ConfigurationError(f"not set: {' '.join(missing)}; see {called_as() or 'beam-pcc deploy'} --help")


def _matching(environment: Mapping[str, str], name: str, pattern: re.Pattern[str], wanted: str) -> str:
    return _checked(environment[name], name, lambda text: bool(pattern.fullmatch(text)), wanted)


def _checked(text: str, name: str, is_valid: Callable[[str], bool], wanted: str) -> str:
    # Check the length first, to keep long texts away from the regular expressions.
    if len(text) > _LONGEST or not is_valid(text):
        raise ConfigurationError(f"{name} is {_quoted(text)}; it must be {wanted}")
    return text


def _quoted(text: str) -> str:
    return one_line(repr(text[:200]), 80)


def _is_dataset(text: str) -> bool:
    try:
        parse_dataset(text, "")
    except ConfigurationError:
        return False
    return True


def _is_folder(text: str) -> bool:
    return bool(_FOLDER.fullmatch(text)) and not {".", ".."} & set(text.split("/"))


def _is_source(text: str) -> bool:
    if text.startswith("gs://"):
        only_partition = "{" not in text.replace("{partition}", "") and "}" not in text.replace("{partition}", "")
        return bool(_FILES.fullmatch(text)) and only_partition and not {".", ".."} & set(text.split("/"))
    # SourceTable parses the option as part of a URL, in which % and + are special.
    if not re.fullmatch(r"bq://[0-9A-Za-z_.:{}-]+(?:\?partition_column=\w{1,300})?", text, re.ASCII):
        return False
    try:
        SourceTable.parse(text, _ANY_DAY)
    except ConfigurationError:
        return False
    return True


def _key_file(text: str) -> str:
    """Check the path of a service account's key file. Neither prints nor keeps its content."""
    _checked(text, "GCP_KEY_FILE", lambda path: bool(_KEY_FILE.fullmatch(path)), "a path without = , and quotes")
    path = Path(text)
    if not path.is_file():
        raise ConfigurationError(f"GCP_KEY_FILE {_quoted(text)} is not there, or is no regular file")
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_LARGEST_KEY_FILE))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("type") != "service_account":
        raise ConfigurationError(f"GCP_KEY_FILE {_quoted(text)} is not the key file of a service account")
    return text
