"""Explains the score of one case: of a partition's source, as a run reads it, or of one message.

The case is validated, made a vector, scored and labelled by the steps of a run. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import secrets
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import content, schemas
from beam_pcc.cases.columns import case_ids
from beam_pcc.cases.text_validation import has_visible, validate_texts
from beam_pcc.cases.validation import validate
from beam_pcc.errors import ConfigurationError, RunError, one_line
from beam_pcc.errors.messages import from_runner
from beam_pcc.features.featurizer import TextMode, featurize
from beam_pcc.models import explaining
from beam_pcc.models.handler import PccModelHandler
from beam_pcc.models.loading import ModelVersion
from beam_pcc.models.postprocess import postprocess
from beam_pcc.models.scoring import privacy_probability
from beam_pcc.pipeline import coders
from beam_pcc.pipeline.options import beam_options
from beam_pcc.shielding import shielded
from beam_pcc.sources import ReadCases

# One worker in this process: what it finds stays in memory.
_IN_THIS_PROCESS = ("--direct_num_workers=1", "--direct_running_mode=in_memory")
_SPLIT_CASES = schemas.CASES.append(pa.field(schemas.WINDOWS, schemas.WINDOW_LIST))
_EVERY_CASE = 2.0  # a band that P(PC) is within, whatever the threshold


class Term(NamedTuple):
    """A term of the vocabulary: what it adds to the log-odds, and whether the case has it."""

    term: str
    contribution: float
    present: bool


@dataclass(frozen=True)
class Explanation:
    """The score of one case.

    Attributes:
        probability: P(PC).
        label: PC or NOT_PC.
        subtype: Of a PC case, if it has one.
        confidence: The probability of the label.
        log_odds: Of the label; `base` and `blocks` are it in sum.
        base: The log-odds of the label for the mean training vector in as many windows; None, as `blocks`, if nothing
            can be explained.
        blocks: What each block of the vector adds.
        terms: Every term of a version that was trained on texts, the largest first; with `rest` they are the TF-IDF
            block in sum.
        rest: What cannot be told of single terms; 0 where the log-odds are linear.
        window: Which part of the message decided; None if it was scored as a whole.
    """

    probability: float
    label: str
    subtype: str | None
    confidence: float
    log_odds: float
    base: float | None = None
    blocks: dict[str, float] | None = None
    terms: tuple[Term, ...] = ()
    rest: float = 0.0
    window: str | None = None


@shielded
def explain_text(text: str, version: ModelVersion, mode: TextMode) -> Explanation:
    """Explain what a run would say of a message.

    Raises:
        ConfigurationError: It has no visible character.
        RunError: No vector can be made of it, or the model cannot score it.
    """
    column = pa.array([text], pa.string())
    if not has_visible(column)[0]:
        raise ConfigurationError("--text has no visible character, and a run would reject it; give it a message")
    now = pa.array([dt.datetime.now(dt.timezone.utc)], schemas.TEXTS.field("timestamp").type)
    columns = [pa.array(["-"]), column, now, content.of_texts(column)]
    cases, rejected = featurize(pa.RecordBatch.from_arrays(columns, schema=schemas.TEXTS), mode.featurizer)
    return _explain(cases, rejected, version)


@shielded
def explain_case(case_id: str, read: ReadCases, version: ModelVersion, mode: TextMode | None) -> Explanation:
    """Find a case in a source, and explain what a run would publish of it.

    Of several rows with the id, that is the latest one, then the most confident.

    Raises:
        ConfigurationError: No row has this case_id.
        RunError: Its rows are rejected, or the source cannot be read.
    """
    cases, rejected = [], []
    for rows in _find(case_id, read):
        if rows.schema.equals(schemas.STAGED_REJECTED):
            rejected.append(rows)
        elif mode is None:
            valid, invalid = validate(rows)
            cases.append(valid)
            rejected.append(invalid)
        else:
            texts, valid, invalid = validate_texts(rows, mode.column)
            made, failed = featurize(texts, mode.featurizer)
            cases += [valid, made]
            rejected += [invalid, failed]
    if not cases and not rejected:
        raise ConfigurationError(
            f"no row of the source has the case_id {one_line(case_id, 120)}; check --case, --partition and --source"
        )
    return _explain(
        _joined([schemas.with_windows(batch) for batch in cases]), _joined(rejected, schemas.STAGED_REJECTED), version
    )


def _find(case_id: str, read: ReadCases) -> list[pa.RecordBatch]:
    """The rows of a source with this id, as it has them."""
    coders.register()
    search = secrets.token_hex(8)
    _found[search] = []
    try:
        with redirect_stderr(io.StringIO()):  # workers print tracebacks there
            pipeline = beam.Pipeline(options=beam_options(_IN_THIS_PROCESS))
            pipeline | "Read" >> read | "Find" >> beam.ParDo(_Find(search, case_id))
            pipeline.run().wait_until_finish()
        return _found[search]
    except Exception as error:
        raise from_runner(error) from error
    finally:
        del _found[search]


_found: dict[str, list[pa.RecordBatch]] = {}
_lock = threading.Lock()


@shielded
class _Find(beam.DoFn):
    """Puts the rows with one case_id aside, in this process."""

    def __init__(self, search: str, case_id: str) -> None:
        self._search = search
        self._case_id = case_id

    def process(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Look at one batch."""
        is_it = pc.fill_null(pc.equal(case_ids(rows.column("case_id")), self._case_id), False)
        if pc.any(is_it).as_py():
            with _lock:
                _found[self._search].append(rows.filter(is_it))
        yield from ()


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema = _SPLIT_CASES) -> pa.RecordBatch:
    table = pa.Table.from_batches([batch.cast(schema) for batch in batches], schema=schema).combine_chunks()
    return next(iter(table.to_batches()), pa.RecordBatch.from_pylist([], schema=schema))


def _explain(cases: pa.RecordBatch, rejected: pa.RecordBatch, version: ModelVersion) -> Explanation:
    """Score CASES rows of one case, and explain the one that a run would publish."""
    if not cases.num_rows:
        reason, detail = (rejected.column(name)[0].as_py() for name in ("reason", "detail"))
        raise RunError(f"a run rejects this case as {reason} ({detail}), so it has no score; correct its row")
    handler = PccModelHandler(version, _EVERY_CASE)
    model = handler.load_model()
    (result,) = handler.run_inference([cases], model)
    cases, scores, metadata = result.example, result.inference, version.metadata
    predictions, failed = postprocess(
        cases,
        scores,
        classes=version.classes,
        threshold=metadata.threshold,
        review_band=0.0,
        now=dt.datetime.now(dt.timezone.utc),
    )
    if not predictions.num_rows:
        return _explain(cases.slice(0, 0), failed, version)
    scored = [row for row in range(cases.num_rows) if row not in scores.errors]
    best = _published(predictions)
    row, prediction = scored[best], predictions.slice(best, 1).to_pylist()[0]
    probability = privacy_probability(scores.probabilities[row : row + 1], version.classes)
    odds = float(explaining.log_odds(probability)[0])
    sign = 1.0 if prediction["predicted_label"] == schemas.PC else -1.0
    said = Explanation(
        float(probability[0]),
        prediction["predicted_label"],
        prediction["subtype_label"],
        prediction["confidence"],
        sign * odds,
        window=scores.places[row] if scores.places else None,
    )
    if model.explainer is None or scores.blocks is None or not np.isfinite([scores.base, *scores.blocks[row]]).all():
        return said
    blocks = dict(zip(schemas.BLOCKS, (sign * scores.blocks[row]).tolist(), strict=True))
    discount = 0.0 if scores.discounts is None else float(scores.discounts[row])
    said = dataclasses.replace(said, base=sign * (scores.base - discount), blocks=blocks)
    if metadata.features is None:
        return said
    vector = schemas.vectors_of(cases)[row]
    parts = model.explainer.terms(vector, odds + discount, float(scores.blocks[row, 1]))
    if not np.isfinite(parts.terms).all():
        return said
    present = vector[schemas.BLOCKS["tfidf"]] != 0
    terms = [
        Term(term, sign * float(part), bool(is_there))
        for term, part, is_there in zip(metadata.features.tfidf.terms, parts.terms, present, strict=True)
    ]
    terms.sort(key=lambda one: -abs(one.contribution))
    return dataclasses.replace(said, terms=tuple(terms), rest=sign * parts.rest)


def _published(predictions: pa.RecordBatch) -> int:
    """The row that the warehouse keeps of several with one id."""
    order = [(name, "descending") for name in ("case_timestamp", "confidence", "predicted_label")]
    return int(pc.sort_indices(predictions, sort_keys=[*order, ("subtype_label", "ascending")])[0].as_py())
