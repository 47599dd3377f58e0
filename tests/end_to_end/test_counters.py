"""The Beam counters of a run, in namespace pcc: what a person sees in a runner's user interface."""

import datetime as dt
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter

from beam_pcc.config.run_ids import new_run_id
from beam_pcc.models.registry import Registry
from beam_pcc.pipeline import graph
from beam_pcc.pipeline.options import beam_options
from beam_pcc.publishing.publish import Rules
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run
from beam_pcc.sources import read_cases
from tests.end_to_end.conftest import DATE
from tests.inputs import settings

pytestmark = pytest.mark.end_to_end


def test_counters_add_up_to_what_the_table_holds(tmp_path: Path, models: Path) -> None:
    registry = Registry(str(models))
    model, _ = registry.load(registry.resolve())
    now = dt.datetime.now(dt.timezone.utc)
    run = Run(new_run_id(DATE, now), DATE, now, model.name, model.metadata.embedding_model, model.file.sha256)
    pipeline = beam.Pipeline(options=beam_options([]))
    warehouse = open_warehouse(str(tmp_path / "pcc.duckdb"))
    graph.build(
        pipeline,
        read=read_cases(settings("sample://4000", DATE), "staging"),
        model=model,
        review_band=0.1,
        warehouse=warehouse,
        run=run,
        area=StagingArea(str(tmp_path / "staging"), run.run_id),
        rules=Rules(),
    )
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("pcc"))["counters"]
    counters = {counter.key.metric.name: counter.result for counter in found}
    row = warehouse.monitoring(run.run_id)

    assert row is not None
    assert counters["batches"] == 2
    assert counters["rows_read"] == row.total_cases == 4_000
    assert counters["rows_scored"] == counters["label_pc"] + counters["label_not_pc"]
    assert counters["rows_scored"] == row.passed_validation + counters["rows_rejected_duplicate_case_id"]
    rejected = {name: n for name, n in counters.items() if name.startswith("rows_rejected_")}
    assert sum(rejected.values()) == row.dropped_cases
    assert counters["rows_valid"] == counters["rows_scored"] + counters["rows_rejected_model_error"]
    assert 0 < row.review_cases <= counters["review"]
