"""`beam-pcc train` and `sample`: train a model from labelled rows, and write synthetic cases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from beam_pcc.cli.parser import Commands, command
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import DEFAULT_REVIEW_BAND, add_encoder_arguments, encoder_of
from beam_pcc.errors import ConfigurationError
from beam_pcc.private_files import private_files
from beam_pcc.terminal import say, table

if TYPE_CHECKING:
    from beam_pcc.models.metadata import Review


def add(commands: Commands) -> None:
    """Declare the commands."""
    train = command(
        commands,
        "train",
        "train a model and add it to a registry",
        _train,
        example="--data labelled.parquet --models models",
    )
    train.add_argument(
        "--data",
        required=True,
        help="labelled .parquet or .jsonl: intent, and case_id with embedding_vector, or messages",
    )
    train.add_argument("--models", required=True, help="the registry: a folder, made if missing, or gs://BUCKET/FOLDER")
    train.add_argument("--seed", type=int, default=0, help="same data and seed, same model (default: %(default)s)")
    train.add_argument(
        "--threshold", type=float, default=0.5, help="of P(PC) at which a case is PC (default: %(default)s)"
    )
    train.add_argument(
        "--min_precision", type=float, help="choose instead the lowest threshold that keeps this precision"
    )
    train.add_argument(
        "--augment",
        nargs="?",
        type=float,
        const=1.0,
        default=0.0,
        metavar="SHARE",
        help="learn also from copies of the messages with quoted mails, footers, forms, HTML and the like: how many of "
        "each, up to 2 (default: none; without a number: 1)",
    )
    train.add_argument(
        "--classifier",
        choices=("logistic", "hist_gradient_boosting", "mlp"),
        default="logistic",
        help="calibrated logistic regression, boosted trees, or a neural network (default: %(default)s)",
    )
    add_encoder_arguments(train)

    sample = command(
        commands, "sample", "write synthetic cases as Parquet", _sample, example="--rows 2000 --output cases.parquet"
    )
    sample.add_argument("--rows", type=int, help="how many (default: 2000, or all messages)")
    sample.add_argument("--messages", metavar="JSONL", help="a partition of the texts in this file instead of vectors")
    sample.add_argument("--output", required=True, help="the .parquet file to write")
    sample.add_argument("--labelled", action="store_true", help="a training set: with intent, and no broken rows")
    sample.add_argument("--partition", default="yesterday", help="the day of the cases (default: %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="same seed, same cases (default: %(default)s)")


def _train(flags: argparse.Namespace) -> int:
    if not 0 < flags.threshold < 1:
        raise ConfigurationError("--threshold must be between 0 and 1")
    if flags.min_precision is not None and not 0 < flags.min_precision <= 1:
        raise ConfigurationError("--min_precision must be above 0 and at most 1")
    text = encoder_of(flags)
    from beam_pcc.features.featurizer import Runtime
    from beam_pcc.training.train import Recipe, metrics_line, train

    recipe = Recipe(
        seed=flags.seed,
        threshold=flags.threshold,
        min_precision=flags.min_precision,
        text_column=text.text_column,
        encoder=text.address,
        runtime=Runtime(text.backend, text.threads),
        augment=flags.augment,
        classifier=flags.classifier,
    )
    metadata = train(flags.data, flags.models, recipe)
    classes = ", ".join(metadata.classes or ())
    say(f"{metadata.version}: trained on {metadata.trained_on['rows']:,} rows, classes {classes}")
    if metadata.trained_on["dropped"]:
        what = "a visible text" if text.text_column else "a valid vector or time"
        say(f"  left out {metadata.trained_on['dropped']:,} rows without {what}")
    for key, reason in (("duplicates", "say again what another says"), ("contradicting", "contradict one another")):
        if metadata.trained_on[key]:
            say(f"  left out {metadata.trained_on[key]:,} rows that {reason}")
    say(f"  hold-out of {metadata.trained_on['holdout']:,}: {metrics_line(metadata.metrics)}")
    if augmented := metadata.trained_on.get("augmented_holdout"):
        say(f"  its {augmented['rows']:,} augmented copies: {metrics_line(augmented['metrics'])}")
    if metadata.review:
        _say_review(metadata.review)
    say(f"  {flags.models.rstrip('/')}/{metadata.version}  (sha256 {str(metadata.sha256)[:12]})")
    return 0


def _say_review(review: Review) -> None:
    """What of the hold-out each review band has, and which one a run uses by default."""
    say("  review bands: P(PC) nearer than this to the threshold, and what of the hold-out is there")
    rows = [["band", "cases", "errors", ""]]
    for band in review.bands:
        mark = "recommended" if band.band == review.recommended else ""
        rows.append([f"{band.band:.2f}", f"{band.cases:.1%}", f"{band.errors:.1%}", mark])
    say(*(f"    {line}" for line in table(rows)))
    if review.recommended is None:
        say(f"    none is recommended, as the hold-out has too few errors; a run uses {DEFAULT_REVIEW_BAND:g}")


@private_files()
def _sample(flags: argparse.Namespace) -> int:
    day = parse_partition(flags.partition)
    if flags.rows is not None and flags.rows < 1:
        raise ConfigurationError("--rows must be at least 1")
    from beam_pcc.sources import synthetic
    from beam_pcc.storage.whole_files import explained_writing

    writing = explained_writing(f"--output {flags.output}")
    if flags.messages is not None:
        try:
            texts = synthetic.read_messages(Path(flags.messages))
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"--messages {flags.messages} cannot be read: it must be JSONL with a text in each line"
            ) from None
        with writing:
            rows = synthetic.write_messages(texts, Path(flags.output), day, flags.rows)
        say(f"{flags.output}: {rows:,} messages")
        return 0
    rows = flags.rows or 2_000
    with writing:
        synthetic.write(Path(flags.output), rows, day, seed=flags.seed, with_intent=flags.labelled)
    say(f"{flags.output}: {rows:,} {'labelled ' if flags.labelled else ''}cases")
    return 0
