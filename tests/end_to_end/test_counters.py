"""The Beam counters of a run in namespace pcc, which a runner's user interface shows."""

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter

from beam_pcc.config.settings import RunConfig
from beam_pcc.pipeline import graph
from beam_pcc.pipeline.launch import Launch
from beam_pcc.pipeline.options import beam_options
from tests.end_to_end.conftest import DATE

pytestmark = pytest.mark.end_to_end


def test_counters_add_up_to_what_the_table_holds(tmp_path: Path, models: Path) -> None:
    warehouse = str(tmp_path / "pcc.duckdb")
    plan = Launch.of(RunConfig.of(DATE, source="sample://4000", warehouse=warehouse, models=str(models))).plan()
    pipeline = beam.Pipeline(options=beam_options([]))
    graph.build(pipeline, plan)
    result = pipeline.run()
    result.wait_until_finish()
    results = result.metrics().query(MetricsFilter().with_namespace("pcc"))["counters"]
    counters = {counter.key.metric.name: counter.result for counter in results}
    row = plan.warehouse.monitoring(plan.run.run_id)

    assert row is not None
    assert counters["batches"] == 2
    assert counters["rows_read"] == row.total_cases == 4_000
    assert counters["rows_scored"] == counters["label_pc"] + counters["label_not_pc"]
    assert counters["rows_scored"] == row.passed_validation + counters["rows_rejected_duplicate_case_id"]
    rejected = {name: n for name, n in counters.items() if name.startswith("rows_rejected_")}
    assert sum(rejected.values()) == row.dropped_cases
    assert counters["rows_valid"] == counters["rows_scored"] + counters["rows_rejected_model_error"]
    assert 0 < row.review_cases <= counters["review"]
