r"""The whole graph on one screen: the wiring only.

read -> validate -> (featurize) -> score -> postprocess -> stage -> publish
           \-> rejected -----------------------\-> rejected --/
            \-> run statistics ------------------\----------/
"""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa
from apache_beam.ml.inference.base import PredictionResult, RunInference

from beam_pcc.cases import schemas
from beam_pcc.features.featurizer import TextMode
from beam_pcc.models.handler import PccModelHandler
from beam_pcc.models.registry import ModelVersion
from beam_pcc.pipeline import coders
from beam_pcc.pipeline.shadow import CompareShadow
from beam_pcc.pipeline.transforms import Featurize, Label, Validate
from beam_pcc.publishing.publish import Outcome, Publish, Rules, StageRows
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.statistics import RunStats, SumStats
from beam_pcc.publishing.warehouse.base import Run, StagedFile, Warehouse


def build(
    pipeline: beam.Pipeline,
    *,
    read: beam.PTransform,
    text: TextMode | None = None,
    model: ModelVersion,
    shadow: ModelVersion | None = None,
    review_band: float,
    warehouse: Warehouse,
    run: Run,
    area: StagingArea,
    rules: Rules,
) -> beam.PCollection[Outcome]:
    """Wire one run into `pipeline`. What flows is RecordBatches; the one element that comes out is the Outcome."""
    coders.register()
    rows = pipeline | "Read" >> read
    checked = rows | "Validate" >> beam.ParDo(Validate(text.column if text else None)).with_output_types(
        pa.RecordBatch
    ).with_outputs("rejected", "stats", "texts", main="cases")
    cases, rejects, sums = checked.cases, [checked.rejected], [checked.stats]
    if text is not None:
        made = checked.texts | "Featurize" >> beam.ParDo(Featurize(text.featurizer)).with_output_types(
            pa.RecordBatch
        ).with_outputs("rejected", "stats", main="cases")
        cases = (checked.cases, made.cases) | "Cases" >> beam.Flatten()
        rejects, sums = [*rejects, made.rejected], [*sums, made.stats]
    scores = cases | "Score" >> RunInference(PccModelHandler(model, review_band)).with_output_types(PredictionResult)
    if shadow is not None:
        compare = CompareShadow(shadow, model.classes, model.metadata.threshold)
        sums = [*sums, scores | "Shadow" >> beam.ParDo(compare).with_output_types(RunStats)]
    label = Label(model.classes, model.metadata.threshold, review_band)
    labelled = scores | "Postprocess" >> beam.ParDo(label).with_output_types(pa.RecordBatch).with_outputs(
        "rejected", "stats", main="predictions"
    )

    predictions = labelled.predictions | "StagePredictions" >> beam.ParDo(
        StageRows(area, "predictions", schemas.STAGED_PREDICTIONS)
    ).with_output_types(StagedFile)
    rejected = (
        (*rejects, labelled.rejected)
        | "Rejected" >> beam.Flatten()
        | "StageRejected"
        >> beam.ParDo(StageRows(area, "rejected", schemas.STAGED_REJECTED)).with_output_types(StagedFile)
    )
    stats = (
        (*sums, labelled.stats) | "Statistics" >> beam.Flatten() | "SumStatistics" >> beam.CombineGlobally(SumStats())
    )
    files = (predictions, rejected) | "Staged" >> beam.Flatten() | "AllStaged" >> beam.combiners.ToList()
    return files | "Publish" >> beam.ParDo(Publish(warehouse, run, area, rules), beam.pvalue.AsSingleton(stats))
