"""Every flag of a run, declared once for each command that has them; `beam_pcc.config.settings` validates."""

from __future__ import annotations

import argparse

from beam_pcc.cases import schemas
from beam_pcc.config.settings import BACKENDS, READ_METHODS


def add_partition_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the one day of `run`."""
    parser.add_argument(
        "--partition",
        help="the day to score: YYYYMMDD, today or yesterday, UTC (else PARTITION_DATE is used)",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of one run (and of a backfill, which runs each day with them)."""
    where = parser.add_argument_group("what to score, and where to put it")
    where.add_argument(
        "--source",
        help="sample://ROWS | a path or glob of .parquet or .jsonl, {partition} allowed | "
        "bq://PROJECT.DATASET.TABLE_{partition} | bq://PROJECT.DATASET.TABLE?partition_column=COLUMN "
        "(else BQ_SOURCE_TABLE is used)",
    )
    where.add_argument("--warehouse", help="where the tables are: PATH.duckdb | bq://PROJECT.DATASET")
    where.add_argument("--models", help="the model registry: a folder of versions, or gs://BUCKET/FOLDER")
    where.add_argument(
        "--staging",
        help="folder for the run's staged files (default: beside a .duckdb file, NAME.duckdb.staging; "
        "BigQuery needs gs://BUCKET/FOLDER)",
    )
    add_bigquery_arguments(parser)
    add_text_arguments(parser)
    model = parser.add_argument_group("which model")
    model.add_argument("--model_version", help="exactly this version, such as v20261120_020000")
    model.add_argument(
        "--force_latest",
        action="store_true",
        help="the newest version, whatever current.json and the day's first say",
    )
    model.add_argument("--model_sha256", help="refuse any model file but the one with this SHA-256 digest")
    model.add_argument(
        "--shadow_version",
        help="score each case with this version too, and report how far the two differ (default: current.json's; "
        "none for none)",
    )
    add_signer_arguments(parser)
    rules = parser.add_argument_group("rules of the run")
    rules.add_argument(
        "--run_id", help="the run's own id, for who starts it and looks for its row later (default: a new one)"
    )
    rules.add_argument("--dry_run", action="store_true", help="do all but publish")
    rules.add_argument(
        "--replace_with_empty",
        action="store_true",
        help="an empty partition deletes what was published for it (else it stays)",
    )
    rules.add_argument(
        "--max_drop_rate",
        type=float,
        default=0.10,
        help="refuse to publish above this share of rejected rows (default: %(default)s)",
    )
    rules.add_argument(
        "--max_psi",
        type=float,
        default=0.25,
        help="warn above this drift of the scores from the model's baseline (default: %(default)s)",
    )
    rules.add_argument(
        "--review_band",
        type=float,
        default=0.10,
        help="mark a case for review when its probability is nearer to the threshold (default: %(default)s)",
    )
    rules.add_argument(
        "--batch_rows",
        type=int,
        default=schemas.BATCH_ROWS,
        help="rows of one batch at most (default: %(default)s)",
    )
    rules.add_argument(
        "--lock_timeout",
        type=float,
        default=600.0,
        help="seconds to wait for a warehouse file that another process holds (default: %(default)s)",
    )


def add_bigquery_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only BigQuery needs."""
    bigquery = parser.add_argument_group("BigQuery")
    bigquery.add_argument(
        "--read_method",
        choices=READ_METHODS,
        default=READ_METHODS[0],
        help="direct and export: Beam's ReadFromBigQuery; arrow: the Storage Read API's batches, faster "
        "(default: %(default)s)",
    )
    bigquery.add_argument(
        "--temp_dataset",
        help="PROJECT.DATASET for staging tables and for the query of an export (default: the warehouse's)",
    )
    bigquery.add_argument(
        "--output_table", help="PROJECT.DATASET.TABLE instead of the warehouse's pcc_inference_output"
    )
    bigquery.add_argument("--monitoring_table", help="the same for pcc_monitoring_logs")
    bigquery.add_argument("--quarantine_table", help="the same for pcc_quarantine")
    bigquery.add_argument(
        "--retry_timeout",
        type=float,
        default=300.0,
        help="seconds to try again for when Google is unwell or a transaction is in the way (default: %(default)s)",
    )


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only text needs."""
    text = parser.add_argument_group("text instead of vectors (needs the text extra)")
    text.add_argument("--text_column", help="make the vectors of the messages in this column")
    text.add_argument(
        "--encoder",
        help="folder of the encoder, a path or gs://BUCKET/FOLDER (default: the one in MODELS/encoders that the model "
        "names)",
    )
    text.add_argument(
        "--encoder_backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="what computes it: onnx, or openvino (in bf16 where the CPU has it) (default: %(default)s)",
    )
    text.add_argument(
        "--encoder_threads",
        type=int,
        default=2,
        help="threads that it may use in each worker process (default: %(default)s)",
    )


def add_signer_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose signature a version must have."""
    signed = parser.add_argument_group("whose signature a version must have (needs the signing extra)")
    signed.add_argument(
        "--model_public_key",
        help="PEM file of a public key: refuse a version that it did not sign (else MODEL_PUBLIC_KEY)",
    )
    signed.add_argument(
        "--model_certificates",
        nargs="+",
        default=[],
        help="PEM files of trusted certificates: refuse a version that was not signed by one that leads to them",
    )
