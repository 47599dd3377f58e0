r"""The whole graph on one screen: the wiring only.

read -> validate -> (featurize) -> score -> stage -> publish
           \-> rejected ------------\-> rejected -/   /
            \-> run statistics -------\-------------/
"""

from __future__ import annotations

import apache_beam as beam

from beam_pcc.pipeline import coders
from beam_pcc.pipeline.launch import LaunchPlan
from beam_pcc.pipeline.transforms import Publish, Score, Stage, ValidateCases
from beam_pcc.publishing.publish import Outcome


def build(pipeline: beam.Pipeline, plan: LaunchPlan) -> beam.PCollection[Outcome]:
    """Wire one run into `pipeline`. What flows is RecordBatches; the one element that comes out is the Outcome."""
    coders.register()
    text = plan.text
    checked = (
        pipeline
        | "Read" >> plan.read
        | "Validate" >> (ValidateCases(text.column, text.featurizer) if text else ValidateCases())
    )
    scored = checked.rows | "Score" >> Score(plan.model, plan.shadow, plan.review_band)
    files = (scored.rows, {**checked.rejected, **scored.rejected}) | "Stage" >> Stage(plan.area)
    stats = (*checked.stats, *scored.stats) | "Statistics" >> beam.Flatten()
    return (files, stats) | "Publish" >> Publish(plan.warehouse, plan.run, plan.area, plan.rules)
