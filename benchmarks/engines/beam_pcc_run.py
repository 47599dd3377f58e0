"""beam_pcc itself: a whole run into a DuckDB file, with the defaults of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from protocol import Job, serve

sys.path.insert(1, str(Path(__file__).parent.parent))
import one_run


def run(job: Job) -> None:
    one_run.publish(job.source, job.model, job.output)


if __name__ == "__main__":
    one_run.quiet()
    serve(run)
