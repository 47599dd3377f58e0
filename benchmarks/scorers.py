"""What scores a version: the folded model against the estimator that it was folded from."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from measuring import Bench, quotients, rate, turns
from results import Figure

from beam_pcc.cases import schemas
from beam_pcc.models import artifact, folding

BAR = 1.5
BATCHES = 50


def scorers(bench: Bench) -> Iterator[Figure]:
    """Rows per second of predict_proba in batches as a run has them, BLAS on one thread."""
    data = Path(bench.model_file).read_bytes()
    estimator = artifact.load(data, file_format="joblib", where=str(bench.model_file))
    folded = folding.fold(estimator)
    rows = folding.random_vectors(2 * schemas.BATCH_ROWS)[::2].copy()
    np.testing.assert_allclose(folded.predict_proba(rows), estimator.predict_proba(rows), atol=1e-5)
    name = f"scoring, {len(estimator.classes_)} classes, folded against the estimator"
    print(f"{name}: folded, estimator", flush=True)

    def score(model: Any) -> None:
        for _ in range(BATCHES):
            model.predict_proba(rows)

    with threadpoolctl.threadpool_limits(1):
        ours, peer = turns(bench.repeat, lambda: score(folded), lambda: score(estimator))
    ratios = quotients(peer, ours)
    n = BATCHES * len(rows)
    yield Figure(
        name,
        f"{rate(n, ours)} rows/s",
        f"{rate(n, peer)} rows/s",
        ratios,
        f">= {BAR}",
        statistics.median(ratios) >= BAR,
        {f"folded, seconds of {n:,} rows": ours, f"the estimator, seconds of {n:,} rows": peer},
    )
