"""The settings of a run, validated, from flags (`beam_pcc.config.flags` declares them) and environment variables.

Knows nothing of Beam, so that `--help` is quick; `beam_pcc.pipeline.options` hands the same flags to Beam.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from beam_pcc.cases import schemas
from beam_pcc.config.partitions import parse_partition as parse_partition
from beam_pcc.config.run_ids import is_run_id
from beam_pcc.errors import ConfigurationError, one_line

ENVIRONMENT = {
    "PARTITION_DATE": "the partition, where --partition is not given",
    "DRY_RUN": "true, 1 or yes: as --dry_run",
    "BQ_SOURCE_TABLE": "project.dataset.table[_{partition}], where --source is not given",
    "BQ_OUTPUT_TABLE": "project.dataset.table, where --output_table is not given",
    "BQ_MONITORING_TABLE": "project.dataset.table, where --monitoring_table is not given",
    "LAUNCHER_JOB": "uid of the Kubernetes Job that a launcher runs in, so that its next pod knows the run again",
    "MODEL_PUBLIC_KEY": "PEM file of the key that signs versions, where --model_public_key is not given",
}
Action: TypeAlias = Callable[[argparse.Namespace], int]
ReadMethod = Literal["direct", "export", "arrow"]
Backend = Literal["onnx", "openvino"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
READ_METHODS: tuple[ReadMethod, ...] = get_args(ReadMethod)
_NAMES = {
    "source": "BQ_SOURCE_TABLE",
    "output_table": "BQ_OUTPUT_TABLE",
    "monitoring_table": "BQ_MONITORING_TABLE",
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Signer:
    """Whose signature is asked for: that of a public key, or one by a certificate that leads to one of these.

    Attributes:
        public_key: A PEM file of an elliptic curve key.
        certificates: PEM files of the certificates that are trusted, roots included.
    """

    public_key: str | None = None
    certificates: tuple[str, ...] = ()


def default_partition(environment: Mapping[str, str] = os.environ) -> str | None:
    """What PARTITION_DATE says, for where --partition is not given."""
    return environment.get("PARTITION_DATE") or None


def launcher_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The Job that this launcher runs in, if it runs in one."""
    return environment.get("LAUNCHER_JOB") or None


def passed_on(names: Iterable[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of the environment, what a child process gets."""
    return {name: environment[name] for name in names if name in environment}


def signer(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Signer | None:
    """Whose signature is asked for, if anybody's. Raises ConfigurationError if that is not clear."""
    key = getattr(flags, "model_public_key", None)
    certificates = tuple(getattr(flags, "model_certificates", None) or ())
    if key and certificates:
        raise ConfigurationError("--model_public_key and --model_certificates exclude each other: give one")
    if not certificates and key is None:
        key = environment.get("MODEL_PUBLIC_KEY")
    if key is not None and not key.strip():  # a setting that got lost must not turn the check off
        raise ConfigurationError(
            "--model_public_key or MODEL_PUBLIC_KEY is empty: name the PEM file of the key, or remove the setting"
        )
    for file in (key, *certificates):
        if file is not None and not Path(file).is_file():
            raise ConfigurationError(f"the key or certificate {one_line(file, 120)} is not there; check the path")
    return Signer(key, certificates) if key or certificates else None


def require_text_settings(text_column: str | None, encoder_threads: int) -> None:
    """Refuse what cannot be meant. Raises ConfigurationError."""
    if text_column is not None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", text_column):
            raise ConfigurationError(f"--text_column {one_line(text_column, 60)} is no name of a column")
        if text_column in schemas.INPUT_COLUMNS:
            raise ConfigurationError(f"--text_column {text_column} has another meaning: name the column of messages")
    if not 1 <= encoder_threads <= 256:
        raise ConfigurationError("--encoder_threads must be between 1 and 256")


@dataclass(frozen=True)
class RunSettings:
    """The settings of one run, validated. Raises ConfigurationError naming the flag and the mend."""

    partition: dt.date
    source: str
    warehouse: str
    models: str
    staging: str | None = None
    model_version: str | None = None
    force_latest: bool = False
    model_sha256: str | None = None
    dry_run: bool = False
    replace_with_empty: bool = False
    max_drop_rate: float = 0.10
    max_psi: float = 0.25
    review_band: float = 0.10
    batch_rows: int = schemas.BATCH_ROWS
    lock_timeout: float = 600.0
    read_method: ReadMethod = READ_METHODS[0]
    temp_dataset: str | None = None
    output_table: str | None = None
    monitoring_table: str | None = None
    quarantine_table: str | None = None
    retry_timeout: float = 300.0
    text_column: str | None = None
    encoder: str | None = None
    encoder_backend: Backend = BACKENDS[0]
    encoder_threads: int = 2
    shadow_version: str | None = None
    signer: Signer | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("source", "warehouse", "models"):
            if not getattr(self, name):
                raise ConfigurationError(f"--{name} is missing: say it, or see beam-pcc run --help")
        if self.model_version and self.force_latest:
            raise ConfigurationError("--model_version and --force_latest exclude each other: give one")
        if self.model_sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", self.model_sha256):
            raise ConfigurationError("--model_sha256 must be 64 hexadecimal digits")
        if self.run_id is not None and not is_run_id(self.run_id, self.partition):
            raise ConfigurationError(
                f"--run_id {one_line(self.run_id, 60)} is none of partition {self.partition:%Y%m%d}: write "
                "YYYYMMDD-YYYYMMDDTHHMMSSZ-XXXXXXXX, the X hexadecimal"
            )
        for name, low, high in (
            ("max_drop_rate", 0.0, 1.0),
            ("review_band", 0.0, 0.5),
            ("max_psi", 0.0, 1e9),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"--{name} must be between {low:g} and {high:g}")
        if not 1 <= self.batch_rows <= 100_000:
            raise ConfigurationError("--batch_rows must be between 1 and 100000")
        require_text_settings(self.text_column, self.encoder_threads)
        for name in ("lock_timeout", "retry_timeout"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"--{name} must not be negative")

    @classmethod
    def from_flags(
        cls,
        flags: argparse.Namespace,
        *,
        partition: dt.date | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> RunSettings:
        """Join parsed flags with the environment; a flag wins. `partition` is a backfill's own day."""
        if partition is None:
            said = getattr(flags, "partition", None) or environment.get("PARTITION_DATE")
            if not said:
                raise ConfigurationError("--partition is missing: say YYYYMMDD, today or yesterday")
            partition = parse_partition(said)
        dry = environment.get("DRY_RUN", "").strip().lower()
        if dry not in _TRUE | _FALSE:
            raise ConfigurationError(f"DRY_RUN is '{dry}': use true or false")
        values = {name: getattr(flags, name) for name in cls.__dataclass_fields__ if hasattr(flags, name)}
        for name, variable in _NAMES.items():
            values[name] = values.get(name) or environment.get(variable)
        if values["source"] and "://" not in values["source"] and not getattr(flags, "source", None):
            values["source"] = f"bq://{values['source']}"
        values["signer"] = signer(flags, environment)
        return cls(**{**values, "partition": partition, "dry_run": bool(flags.dry_run) or dry in _TRUE})
