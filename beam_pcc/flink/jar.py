"""A job jar: the pipeline and its options in the form that Beam's Flink runner reads, written without Java.

It holds no classes. They lie in the cluster's lib folder (flink/pom.xml builds them), or `base` brings them along.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability import abstract_job_service
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from beam_pcc.errors import ConfigurationError

_MANIFEST = "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n"


class _JarOnly(abstract_job_service.UberJarBeamJob):
    """Beam's own job that writes itself into a jar; it is never run."""

    def run(self) -> None:
        self._stop_artifact_service()  # writes the pipeline, with what was staged for it


class _JarWriter(abstract_job_service.AbstractJobServiceServicer):
    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def create_beam_job(self, *described: Any) -> _JarOnly:
        self.job = _JarOnly(self._base, *described)
        return self.job


def write_job_jar(
    pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions, output: Path, *, base: str | None = None
) -> None:
    """Write the pipeline and its options to `output`, whole or not at all.

    Args:
        pipeline: The optimized pipeline.
        options: All of Beam's options of the job; those that only Java knows are kept.
        output: Where the jar goes; its folder is made.
        base: A runner bundle to put the pipeline into, for a cluster that has none.

    Raises:
        ConfigurationError: The jar cannot be written, or `base` not be read.
    """
    # A runner's name of the Python side would be looked for as a Java class.
    options.view_as(StandardOptions).runner = None
    options.view_as(FlinkRunnerOptions).flink_master = "[auto]"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".jobjar-") as folder:
            empty = Path(folder) / "empty.jar"
            with zipfile.ZipFile(empty, "w") as jar:
                jar.writestr(*_MANIFEST)
            writer = _JarWriter(base or str(empty))
            JobServiceHandle(writer, options, retain_unknown_options=True).submit(pipeline)
            aside = Path(folder) / "job.jar"
            shutil.move(writer.job._jar, aside)
            aside.chmod(0o644)
            os.replace(aside, output)  # noqa: PTH105 - says what it does
    except OSError as error:
        raise ConfigurationError(
            f"the job jar {output} cannot be written: {error.strerror or error}; check the path and the rights"
        ) from None
