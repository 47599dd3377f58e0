"""Every setting of a run, declared once, in groups: source, model, publish, encoder, limits. Knows nothing of Beam."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from beam_pcc.cases import schemas
from beam_pcc.config.durations import parse_duration
from beam_pcc.config.files import read_file
from beam_pcc.config.options import Group, add_arguments, between, not_negative, option, options_of, resolve, unknown
from beam_pcc.config.partitions import parse_partition as parse_partition
from beam_pcc.config.run_ids import is_run_id
from beam_pcc.config.threads import CORES_VARIABLE
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.gcp.names import RETRY_TIMEOUT

Action: TypeAlias = Callable[[argparse.Namespace], int]
ReadMethod = Literal["direct", "export", "arrow"]
Backend = Literal["onnx", "openvino", "sentence-transformers"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
READ_METHODS: tuple[ReadMethod, ...] = get_args(ReadMethod)
DEFAULT_REVIEW_BAND = 0.10
WAREHOUSE_ADDRESSES = "PATH.duckdb | bq://PROJECT.DATASET"


@dataclass(frozen=True)
class Signer:
    """Whose signature is asked for: that of a public key, or one by a certificate that leads to one of these.

    Attributes:
        public_key: A PEM file of an elliptic curve key.
        certificates: PEM files of the certificates that are trusted, roots included.
    """

    public_key: str | None = None
    certificates: tuple[str, ...] = ()


def _is_column(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", name):
        return "is no name of a column"
    return "has another meaning: name the column of messages" if name.lower() in schemas.INPUT_COLUMNS else None


def _mapped(text: str) -> tuple[dict[str, str], str | None]:
    """The names that --columns maps, and what is wrong with it. Case does not matter in names of columns."""
    own_names: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        name, _, own_name = (part.strip() for part in pair.partition("="))
        name = name.lower()
        if not name or not own_name or not own_name.isprintable():
            return own_names, "must be pairs such as case_id=id,embedding_vector=vec"
        if name not in schemas.INPUT_COLUMNS:
            return own_names, f"maps {one_line(name, 60)}, which is none of {', '.join(schemas.INPUT_COLUMNS)}"
        if name in own_names:
            return own_names, f"maps {name} twice: leave one out"
        own_names[name] = own_name
    names = [own_names.get(name, name).lower() for name in schemas.INPUT_COLUMNS]
    twice = next((name for name in names if names.count(name) > 1), None)
    return own_names, None if twice is None else f"makes two columns of {one_line(twice, 60)}: name one for each"


def _is_digest(digest: str) -> str | None:
    return None if re.fullmatch(r"[0-9a-fA-F]{64}", digest) else "must be 64 hexadecimal digits"


def _is_duration(text: str) -> str | None:
    return "is no length of time: write 90s, 30m, 2h or 1h30m" if parse_duration(text) is None else None


@dataclass(frozen=True)
class Source(Group):
    """What is scored, and how it is read."""

    title = "what to score"

    address: str = option(
        "",
        flag="source",
        help="sample://ROWS | a path or glob of .parquet or .jsonl, {partition} allowed | "
        "bq://PROJECT.DATASET.TABLE_{partition} | bq://PROJECT.DATASET.TABLE?partition_column=COLUMN",
        environment="BQ_SOURCE_TABLE",
    )
    read_method: ReadMethod = option(
        READ_METHODS[0],
        help="of BigQuery. direct and export: Beam's ReadFromBigQuery; arrow: the Storage Read API's batches, faster",
        choices=READ_METHODS,
    )
    wait_for_source: str | None = option(
        help="wait at most this long for a source that is not there yet or still grows: 90s, 30m, 2h, 1h30m",
        usual="it must be there",
        check=_is_duration,
    )
    columns: str = option(
        "",
        help="the source's names of case_id, embedding_vector or timestamp, where they are others: "
        "case_id=id,embedding_vector=vec",
        check=lambda text: _mapped(text)[1],
    )
    batch_rows: int = option(schemas.BATCH_ROWS, help="rows of one batch at most", check=between(1, 100_000))

    @property
    def wait_seconds(self) -> float:
        """How long to wait for the source."""
        return parse_duration(self.wait_for_source or "0") or 0.0

    @property
    def own_names(self) -> dict[str, str]:
        """Input column to the source's own name of it, where that is another."""
        return _mapped(self.columns)[0]


@dataclass(frozen=True)
class Model(Group):
    """Which model scores, and whose signature it must have."""

    title = "which model (signatures need the signing extra)"

    registry: str = option("", flag="models", help="the model registry: a folder of versions, or gs://BUCKET/FOLDER")
    version: str | None = option(
        flag="model_version",
        help="exactly this version, such as v20261120_020000",
        usual="current.json's, else the day's first, else the latest",
    )
    force_latest: bool = option(False, help="the newest version, whatever current.json and the day's first say")
    sha256: str | None = option(
        flag="model_sha256", help="refuse any model file but the one with this SHA-256 digest", check=_is_digest
    )
    shadow: str | None = option(
        flag="shadow_version",
        help="score each case with this version too, and report how far the two differ; none for none",
        usual="current.json's",
    )
    public_key: str | None = option(
        flag="model_public_key",
        help="PEM file of a public key: refuse a version that it did not sign",
        environment="MODEL_PUBLIC_KEY",
        empty_counts=True,  # a setting that got lost must not turn the check off
    )
    certificates: tuple[str, ...] = option(
        (),
        flag="model_certificates",
        help="PEM files of trusted certificates: refuse a version that was not signed by one that leads to them",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version and self.force_latest:
            raise ConfigurationError("--model_version and --force_latest exclude each other: give one")
        if self.public_key and self.certificates:
            raise ConfigurationError("--model_public_key and --model_certificates exclude each other: give one")
        if self.public_key is not None and not self.public_key.strip():
            raise ConfigurationError(
                "--model_public_key or MODEL_PUBLIC_KEY is empty: name the PEM file of the key, or remove the setting"
            )
        for file in (self.public_key, *self.certificates):
            if file is not None and not Path(file).is_file():
                raise ConfigurationError(f"the key or certificate {one_line(file, 120)} is not there; check the path")

    @property
    def signer(self) -> Signer | None:
        """Whose signature is asked for, if anybody's."""
        return Signer(self.public_key, self.certificates) if self.public_key or self.certificates else None


@dataclass(frozen=True)
class Publish(Group):
    """Where the results go, and what is done about what is there."""

    title = "where to put it"

    warehouse: str = option("", help=f"where the tables are: {WAREHOUSE_ADDRESSES}")
    staging: str | None = option(
        help="folder for the run's staged files; BigQuery needs gs://BUCKET/FOLDER",
        usual="beside a .duckdb file, NAME.duckdb.staging",
    )
    temp_dataset: str | None = option(
        help="PROJECT.DATASET in BigQuery for staging tables, for the query of an export, and for the project that a "
        "read session is billed to",
        usual="the warehouse's, else the source's",
    )
    output_table: str | None = option(
        help="PROJECT.DATASET.TABLE instead of the warehouse's pcc_inference_output", environment="BQ_OUTPUT_TABLE"
    )
    monitoring_table: str | None = option(help="the same for pcc_monitoring_logs", environment="BQ_MONITORING_TABLE")
    quarantine_table: str | None = option(help="the same for pcc_quarantine")
    feedback_table: str | None = option(help="the same for pcc_feedback")
    monitoring_expiry_days: int = option(
        400,
        help="days that BigQuery keeps a row of pcc_monitoring_logs; predictions and rejected rows go after 7",
        check=between(1, 3_650),
    )
    feedback_expiry_days: int = option(
        90, help="the same for pcc_feedback, which has identifiers of cases", check=between(1, 3_650)
    )
    run_id: str | None = option(
        help="the run's own id, PARTITION-TIME-RANDOM, for who starts it and looks for its row later", usual="a new one"
    )
    dry_run: bool = option(False, help="do all but publish; no row is written anywhere", environment="DRY_RUN")
    replace_with_empty: bool = option(
        False, help="an empty partition deletes what was published for it (else it stays)"
    )

    @property
    def tables(self) -> dict[str, str]:
        """Tables that are elsewhere: name in `schemas.TABLES` -> project.dataset.table."""
        given = {
            "pcc_inference_output": self.output_table,
            "pcc_monitoring_logs": self.monitoring_table,
            "pcc_quarantine": self.quarantine_table,
            "pcc_feedback": self.feedback_table,
        }
        return {name: table for name, table in given.items() if table}


@dataclass(frozen=True)
class Encoder(Group):
    """How vectors are made of messages, if they are."""

    title = "text instead of vectors (needs the text extra)"

    text_column: str | None = option(help="make the vectors of the messages in this column", check=_is_column)
    address: str | None = option(
        flag="encoder",
        help="folder of the encoder, a path or gs://BUCKET/FOLDER",
        usual="the one in MODELS/encoders that the model names",
    )
    backend: Backend = option(
        BACKENDS[0],
        flag="encoder_backend",
        help="runtime that computes it (docs/text-mode.md compares them)",
        choices=BACKENDS,
    )
    threads: int = option(
        2, flag="encoder_threads", help="threads that it may use in each worker process", check=between(1, 256)
    )


@dataclass(frozen=True)
class Limits(Group):
    """What a run may not exceed."""

    title = "limits"

    max_drop_rate: float = option(
        0.10, help="refuse to publish above this share of rejected rows", check=between(0.0, 1.0)
    )
    max_psi: float = option(
        0.25, help="warn above this drift of the scores from the model's baseline", check=between(0.0, 1e9)
    )
    min_volume: float = option(
        0.50,
        help="refuse to publish a day that has less than this share of the usual rows, or of those that are published "
        "for it; 0 compares with no other day",
        check=between(0.0, 1.0),
    )
    accept_volume: bool = option(False, help="publish although rows are missing; the monitoring row records it")
    accept_drift: bool = option(
        False, help="publish although a vector block is zeroed, swapped or not normalised as in training"
    )
    review_band: float | None = option(
        help="mark a case for review when its probability is nearer to the threshold",
        usual=f"the one that the model version recommends, else {DEFAULT_REVIEW_BAND:g}",
        dtype=float,
        check=between(0.0, 0.5),
    )
    lock_timeout: float = option(
        600.0, help="seconds to wait for a warehouse file that another process holds", check=not_negative
    )
    retry_timeout: float = option(
        RETRY_TIMEOUT,
        help="seconds to try again for when Google is unwell or a transaction is in the way",
        check=not_negative,
    )


GROUPS: tuple[type[Group], ...] = (Source, Model, Publish, Encoder, Limits)
PARTITION_VARIABLE, JOB_VARIABLE = "PARTITION_DATE", "LAUNCHER_JOB"


def environment_variables() -> dict[str, str]:
    """Each variable that is read, and for what."""
    declared = {
        one.environment: f"as --{one.flag}, where that is not given"
        for group in GROUPS
        for one in options_of(group)
        if one.environment
    }
    return {
        PARTITION_VARIABLE: "as --partition, where that is not given",
        JOB_VARIABLE: "uid of the Kubernetes Job that a launcher runs in, so that its next pod knows the run again",
        **declared,
        CORES_VARIABLE: "cores that a worker process keeps busy with reading, Arrow and the encoder; without it all "
        "that the process may use, or in Flink's worker pool its share of them",
        "TERM": "dumb, or not set: progress is shown in lines, and not as a bar",
        "CI": "anything but 0 and false: the same",
    }


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run, validated. `RunConfig.of` makes one of the names that the command line has."""

    partition: dt.date
    source: Source
    model: Model
    publish: Publish
    encoder: Encoder = Encoder()
    limits: Limits = Limits()
    required: ClassVar[tuple[str, ...]] = ("source", "warehouse", "models")

    def __post_init__(self) -> None:
        given = {
            "source": self.source.address,
            "warehouse": self.publish.warehouse,
            "models": self.model.registry,
        }
        for flag in self.required:
            if not given[flag]:
                raise ConfigurationError(f"--{flag} is missing: say it, or see beam-pcc run --help")
        text_column = (self.encoder.text_column or "").lower()
        for name, own_name in self.source.own_names.items():
            if own_name.lower() == text_column:
                raise ConfigurationError(f"--columns maps {name} to the column of --text_column: name another")
        run_id = self.publish.run_id
        if run_id is not None and not is_run_id(run_id, self.partition):
            raise ConfigurationError(
                f"--run_id {one_line(run_id, 60)} is none of partition {self.partition:%Y%m%d}: write "
                "YYYYMMDD-YYYYMMDDTHHMMSSZ-XXXXXXXX, the X hexadecimal"
            )

    @classmethod
    def of(cls, partition: dt.date | str, **options: Any) -> RunConfig:
        """The settings of one run from Python: the names and meanings of the flags of `beam-pcc run`.

        Args:
            partition: A day, or YYYYMMDD, `today`, `yesterday` (UTC).
            options: `source`, `warehouse` and `models`, and any other, such as `max_drop_rate=0.2`.

        Raises:
            ConfigurationError: A name is unknown, or a value cannot be meant.
        """
        known = {one.flag for group in GROUPS for one in options_of(group)}
        for name in options:
            if name not in known:
                raise ConfigurationError(unknown(name, known))
        day = partition if isinstance(partition, dt.date) else parse_partition(partition)
        return cls(day, *(resolve(group, options) for group in GROUPS))  # type: ignore[arg-type] # in the fields' order

    @classmethod
    def from_flags(
        cls,
        flags: argparse.Namespace,
        *,
        partition: dt.date | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> RunConfig:
        """Join parsed flags, the environment and the file of --config, in this order; the first that says it wins.

        Args:
            flags: As `add_run_arguments` declared them.
            partition: A backfill's own day.
            environment: Variables.

        Raises:
            ConfigurationError: A value cannot be meant, or one is missing.
        """
        given = dict(vars(flags))
        file = read_file(given["config"], GROUPS) if given.get("config") else {}
        if partition is None:
            partition = parse_partition(chosen_partition(given.get("partition"), environment, file))
        environment = _beside(given, environment)
        groups = (resolve(group, given, environment=environment, file=file) for group in GROUPS)
        return cls(partition, *groups)  # type: ignore[arg-type] # in the fields' order


def _beside(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as it is read beside these flags."""
    found = dict(environment)
    table = found.get("BQ_SOURCE_TABLE", "").strip()
    if table and "://" not in table:  # the seed system wrote it without
        found["BQ_SOURCE_TABLE"] = f"bq://{table}"
    if given.get("model_certificates"):  # who asks for certificates does not ask for the environment's key
        found.pop("MODEL_PUBLIC_KEY", None)
    return found


def chosen_partition(
    said: str | None, environment: Mapping[str, str] = os.environ, file: Mapping[str, Any] | None = None
) -> str:
    """The partition as a person wrote it, wherever. Raises ConfigurationError if nobody did."""
    found = said or environment.get(PARTITION_VARIABLE) or (file or {}).get("partition")
    if not found:
        raise ConfigurationError("--partition is missing: say YYYYMMDD, today or yesterday")
    return str(found)


def launcher_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The Job that this launcher runs in, if it runs in one."""
    return environment.get(JOB_VARIABLE) or None


def passed_on(names: Iterable[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of the environment, what a child process gets."""
    return {name: environment[name] for name in names if name in environment}


def add_partition_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the one day of `run`."""
    parser.add_argument(
        "--partition",
        help=f"the day to score: YYYYMMDD, today or yesterday, UTC (default: {PARTITION_VARIABLE})",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare every flag of a run (and of a backfill, which runs each day with them)."""
    parser.add_argument(
        "--config", metavar="FILE.toml", help="settings from a file, by the names of these flags; a flag wins"
    )
    add_arguments(parser, *GROUPS)


def taken_from_file(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What the file of --config says, and the arguments without it, which may go where the file is not.

    Raises:
        ConfigurationError: As for the file of `beam-pcc run`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        found, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigurationError(f"{error}; see beam-pcc run --help") from None
    return read_file(found.config, GROUPS) if found.config else {}, rest


def as_flags(said: Mapping[str, Any]) -> list[str]:
    """The settings of a file as flags; the partition, which has a flag of its own, is left out."""
    flags: list[str] = []
    for one in (one for group in GROUPS for one in options_of(group) if one.flag in said):
        value = said[one.flag]
        if one.value_type is bool:
            flags += [f"--{one.flag}"] if value else []
        elif one.value_type is tuple:
            flags += [f"--{one.flag}", *value]
        else:
            flags.append(f"--{one.flag}={value}")
    return flags


def add_expiry_argument(parser: argparse.ArgumentParser) -> None:
    """Declare how long BigQuery keeps monitoring rows and feedback, for `tables create`."""
    kept = {"monitoring_expiry_days", "feedback_expiry_days"}
    add_arguments(parser, Publish, but={one.flag for one in options_of(Publish)} - kept)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which tables are elsewhere, for commands of feedback."""
    elsewhere = {"output_table", "feedback_table", "temp_dataset"}
    add_arguments(parser, Publish, but={one.flag for one in options_of(Publish)} - elsewhere)


def publish_of(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Publish:
    """The warehouse of a command, with what `add_table_arguments` declared."""
    given = {name: getattr(flags, name) for name in ("warehouse", "output_table", "feedback_table", "temp_dataset")}
    named = {name: environment[name] for name in ("BQ_OUTPUT_TABLE",) if name in environment}
    return resolve(Publish, given, environment=named)


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what text needs, for commands that read labelled rows."""
    add_arguments(parser, Encoder)


def add_signer_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose signature a version must have, for commands that load one."""
    signed = {"model_public_key", "model_certificates"}
    add_arguments(parser, Model, but={one.flag for one in options_of(Model)} - signed)


def encoder_of(flags: argparse.Namespace) -> Encoder:
    """What `add_encoder_arguments` declared, validated."""
    return resolve(Encoder, vars(flags))


def signer_of(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Signer | None:
    """What `add_signer_arguments` declared, if anything was said. Raises ConfigurationError if that is not clear."""
    given = {name: getattr(flags, name, None) for name in ("model_public_key", "model_certificates")}
    return resolve(Model, given, environment=_beside(given, environment)).signer
