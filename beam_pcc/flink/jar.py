"""Writes a job jar, the pipeline and its options in the format of Beam's Flink runner, without Java.

The jar contains no classes. They are in the cluster's lib folder (flink/pom.xml builds them) or in the `base` jar.
"""

from __future__ import annotations

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
from beam_pcc.errors.machine import explain_machine
from beam_pcc.storage.whole_files import written_whole

_MANIFEST = "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n"


class _JarOnly(abstract_job_service.UberJarBeamJob):
    """Beam's own job that writes itself into a jar; it does not run."""

    def run(self) -> None:
        self._stop_artifact_service()  # writes the pipeline and its staged artifacts


class _JarWriter(abstract_job_service.AbstractJobServiceServicer):
    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def create_beam_job(self, *arguments: Any) -> _JarOnly:
        self.job = _JarOnly(self._base, *arguments)
        return self.job


def write_job_jar(
    pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions, output: Path, *, base: str | None = None
) -> None:
    """Write the pipeline and its options to `output` atomically.

    Args:
        pipeline: The optimized pipeline.
        options: All Beam options of the job, including those that only the Java runner knows.
        output: The path of the jar; its folder is created.
        base: A runner bundle to add the pipeline to, for a cluster that has none.

    Raises:
        ConfigurationError: The jar cannot be written, or `base` cannot be read.
    """
    # Java would look for a class with the name of the Python runner.
    options.view_as(StandardOptions).runner = None
    options.view_as(FlinkRunnerOptions).flink_master = "[auto]"
    try:
        with written_whole(output) as file, tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "empty.jar"
            with zipfile.ZipFile(empty, "w") as jar:
                jar.writestr(*_MANIFEST)
            writer = _JarWriter(base or str(empty))
            JobServiceHandle(writer, options, retain_unknown_options=True).submit(pipeline)
            try:
                shutil.copyfile(writer.job._jar, file)
            finally:
                Path(writer.job._jar).unlink()  # Beam leaves it
            if file != output:
                file.chmod(0o644)
    except OSError as error:
        raise explain_machine(error, f"the job jar {output}", ConfigurationError) or ConfigurationError(
            f"the job jar {output} cannot be written: {error.strerror or error}; check the path and the rights"
        ) from None
