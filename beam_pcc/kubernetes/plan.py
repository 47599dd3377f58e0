"""What is going to run, before anything is created: a namespace's settings, validated, and one FlinkDeployment."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from beam_pcc.config.run_ids import is_of_job, new_run_id
from beam_pcc.config.settings import RunConfig, as_flags, taken_from_file
from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.kubernetes import deployment as rendering
from beam_pcc.kubernetes.cluster_api import Cluster
from beam_pcc.kubernetes.deployment import CONFIG, TEMPLATE, TEMPLATE_FILE, Resource, Submission
from beam_pcc.kubernetes.follow import Patience
from beam_pcc.models.registry import Registry
from beam_pcc.pipeline.launch import choose_versions
from beam_pcc.pipeline.options import job_jar_options


@dataclass(frozen=True)
class Manifests:
    """What a namespace says of its runs: the ConfigMap's values and the template."""

    config: dict[str, str]
    template: Resource

    @classmethod
    def of_cluster(cls, cluster: Cluster) -> Manifests:
        """As they are deployed."""
        config, held = cluster.config_map(CONFIG), cluster.config_map(TEMPLATE)
        return cls(config, _template(held.get(TEMPLATE_FILE, ""), f"ConfigMap {TEMPLATE}"))

    @classmethod
    def of_file(cls, path: str) -> Manifests:
        """From what `kubectl kustomize OVERLAY` prints: nothing needs to be deployed."""
        try:
            found = [one for one in yaml.safe_load_all(Path(path).read_text()) if isinstance(one, dict)]
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigurationError(f"--manifests {path} cannot be read: {one_line(error)}") from None
        maps = {one["metadata"]["name"]: one.get("data") or {} for one in found if one.get("kind") == "ConfigMap"}
        if CONFIG not in maps or TEMPLATE_FILE not in maps.get(TEMPLATE, {}):
            raise ConfigurationError(
                f"--manifests {path} lacks the ConfigMaps {CONFIG} and {TEMPLATE}: write what kubectl kustomize prints"
            )
        return cls(maps[CONFIG], _template(maps[TEMPLATE][TEMPLATE_FILE], path))


def _template(text: str, where: str) -> Resource:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: {TEMPLATE_FILE} is not YAML: {one_line(error)}") from None
    if not isinstance(found, dict) or found.get("kind") != "FlinkDeployment":
        raise ConfigurationError(f"{where}: {TEMPLATE_FILE} is no FlinkDeployment; deploy again")
    return found


@dataclass(frozen=True)
class Planned:
    """A run that is ready to be created: everything that can be known to be wrong was looked at.

    Attributes:
        settings: Of the run.
        submission: Who submits it.
        manifests: What it is rendered from.
        arguments: The flags of the run.
        patience: Of who follows it.
        keep: How many finished FlinkDeployments stay.
        job: The Kubernetes Job that this launcher runs in, if it does.
    """

    settings: RunConfig
    submission: Submission
    manifests: Manifests
    arguments: tuple[str, ...]
    patience: Patience
    keep: int
    job: str | None = None

    @property
    def resource(self) -> Resource:
        """The FlinkDeployment."""
        return rendering.render(self.manifests.template, self.manifests.config, self.arguments, self.submission)

    def with_model(self) -> Planned:
        """The same run, with model, digest and shadow fixed as the registry has them now.

        A JobManager that starts again after a promotion then uses the same. Only metadata.json is read where it tells
        the digest: whoever loads the file refuses one of another digest.

        Raises:
            PccError: The registry cannot be read, or has no such version.
        """
        settings = self.settings
        registry = Registry(settings.model.registry, settings.model.signer)
        version, shadow = choose_versions(registry, settings)
        digest, pinned = registry.metadata(version).sha256, (settings.model.sha256 or "").lower()
        if digest is None or (pinned and pinned != digest.lower()):
            digest = registry.load(version, sha256=settings.model.sha256)[0].file.sha256
        arguments = [a for a in self.arguments if a != "--force_latest"]
        fixed = [f"--model_version={version}", f"--model_sha256={digest}", f"--shadow_version={shadow or 'none'}"]
        return dataclasses.replace(self, arguments=(*arguments, *fixed))

    def is_own(self, run_id: str) -> bool:
        """Whether an earlier attempt at this very command started that run: the same Job, or the same --run_id."""
        partition = self.settings.partition
        return run_id == self.settings.publish.run_id or (
            self.job is not None and is_of_job(run_id, partition, self.job)
        )


def plan(
    manifests: Manifests, given: Sequence[str], partition: dt.date, *, keep: int | None = None, job: str | None = None
) -> Planned:
    """Validate the settings as `beam-pcc run` does, and render the FlinkDeployment. Asks nobody.

    Args:
        manifests: Of the namespace.
        given: Flags of the run from the command line; they win over the ConfigMap's.
        partition: The day.
        keep: How many finished FlinkDeployments stay; default: what the ConfigMap says.
        job: The Kubernetes Job that this launcher runs in.

    Raises:
        ConfigurationError: As `beam-pcc run` raises it, or for the ConfigMap.
    """
    config = manifests.config
    said, rest = taken_from_file(given)
    arguments = rendering.run_arguments(config, [*as_flags(said), *rest])
    settings, of_beam = rendering.run_settings(arguments, partition)
    job_jar_options(of_beam, "job.jar")  # what is wrong with Beam's flags is told here, and not first in the cluster
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    run_id = settings.publish.run_id or new_run_id(partition, now, job)
    submission = Submission(run_id, partition, _who(), now)
    patience = Patience(
        start=rendering.number(config, "launcher.start_timeout"),
        whole=rendering.number(config, "launcher.timeout"),
        stall=rendering.number(config, "launcher.stall_timeout", usual=600.0),
        publishing=settings.limits.lock_timeout + settings.limits.retry_timeout,
    )
    kept = rendering.whole(config, "launcher.keep", least=0) if keep is None else keep
    rendering.render(manifests.template, config, arguments, submission)  # what is wrong with the template is told now
    return Planned(settings, submission, manifests, tuple(arguments), patience, kept, job)


def _who() -> str:
    with contextlib.suppress(Exception):
        return f"{getpass.getuser()}@{socket.gethostname()}"
    return socket.gethostname()
