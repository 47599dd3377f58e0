"""Plans a run before anything is created: validates the settings and renders its FlinkDeployment."""

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
from beam_pcc.kubernetes.follow import Timeouts
from beam_pcc.models.registry import Registry
from beam_pcc.pipeline.launch import choose_versions
from beam_pcc.pipeline.options import job_jar_options


@dataclass(frozen=True)
class Manifests:
    """The ConfigMap's values and the template of a namespace."""

    config: dict[str, str]
    template: Resource

    @classmethod
    def of_cluster(cls, cluster: Cluster) -> Manifests:
        """Read those that are deployed."""
        config, template = cluster.config_map(CONFIG), cluster.config_map(TEMPLATE)
        return cls(config, _parse_template(template.get(TEMPLATE_FILE, ""), f"ConfigMap {TEMPLATE}"))

    @classmethod
    def of_file(cls, path: str) -> Manifests:
        """Read the output of `kubectl kustomize OVERLAY`, without a cluster."""
        try:
            resources = [one for one in yaml.safe_load_all(Path(path).read_text()) if isinstance(one, dict)]
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigurationError(f"--manifests {path} cannot be read: {one_line(error)}") from None
        maps = {one["metadata"]["name"]: one.get("data") or {} for one in resources if one.get("kind") == "ConfigMap"}
        if CONFIG not in maps or TEMPLATE_FILE not in maps.get(TEMPLATE, {}):
            raise ConfigurationError(
                f"--manifests {path} lacks the ConfigMaps {CONFIG} and {TEMPLATE}: write what kubectl kustomize prints"
            )
        return cls(maps[CONFIG], _parse_template(maps[TEMPLATE][TEMPLATE_FILE], path))


def _parse_template(text: str, where: str) -> Resource:
    try:
        template = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: {TEMPLATE_FILE} is not YAML: {one_line(error)}") from None
    if not isinstance(template, dict) or template.get("kind") != "FlinkDeployment":
        raise ConfigurationError(f"{where}: {TEMPLATE_FILE} is no FlinkDeployment; deploy again")
    return template


@dataclass(frozen=True)
class DeploymentPlan:
    """A validated run that is ready to be created.

    Attributes:
        settings: The settings of the run.
        submission: Who submits it.
        manifests: What it is rendered from.
        arguments: The arguments of `beam-pcc run`.
        timeouts: How long the launcher follows it.
        keep: How many finished FlinkDeployments to keep.
        job: The Kubernetes Job that this launcher runs in, or None.
    """

    settings: RunConfig
    submission: Submission
    manifests: Manifests
    arguments: tuple[str, ...]
    timeouts: Timeouts
    keep: int
    job: str | None = None

    @property
    def resource(self) -> Resource:
        """The FlinkDeployment."""
        return rendering.render(self.manifests.template, self.manifests.config, self.arguments, self.submission)

    def with_model(self) -> DeploymentPlan:
        """The same run with the model, its digest and the shadow that the registry names now.

        A JobManager that restarts after a promotion then uses the same model. Reads only metadata.json if that holds
        the digest; loading the model checks the digest of the file.

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
        """Whether an earlier attempt at this command started that run: the same Job, or the same --run_id."""
        partition = self.settings.partition
        return run_id == self.settings.publish.run_id or (
            self.job is not None and is_of_job(run_id, partition, self.job)
        )


def plan(
    manifests: Manifests,
    overrides: Sequence[str],
    partition: dt.date,
    *,
    keep: int | None = None,
    job: str | None = None,
) -> DeploymentPlan:
    """Validate the settings as `beam-pcc run` does, and render the FlinkDeployment. Needs no network.

    Args:
        manifests: Of the namespace.
        overrides: Arguments of `beam-pcc run` from the command line; they win over the ConfigMap.
        partition: The day.
        keep: How many finished FlinkDeployments to keep; default: the ConfigMap's.
        job: The Kubernetes Job that this launcher runs in.

    Raises:
        ConfigurationError: As `beam-pcc run` raises it, or for the ConfigMap.
    """
    config = manifests.config
    from_file, rest = taken_from_file(overrides)
    arguments = rendering.run_arguments(config, [*as_flags(from_file), *rest])
    settings, beam_arguments = rendering.run_settings(arguments, partition)
    job_jar_options(beam_arguments, "job.jar")  # reports wrong Beam flags before anything is created
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    run_id = settings.publish.run_id or new_run_id(partition, now, job)
    submission = Submission(run_id, partition, user_at_host(), now)
    wait = settings.source.wait_seconds  # the job waits for its source before it starts
    timeouts = Timeouts(
        start=rendering.number(config, "launcher.start_timeout") + wait,
        total=rendering.number(config, "launcher.timeout") + wait,
        stall=rendering.number(config, "launcher.stall_timeout", default=600.0),
        publishing=settings.limits.lock_timeout + settings.limits.retry_timeout,
    )
    if keep is None:
        keep = rendering.integer(config, "launcher.keep", minimum=0)
    rendering.render(manifests.template, config, arguments, submission)  # reports a wrong template now
    return DeploymentPlan(settings, submission, manifests, tuple(arguments), timeouts, keep, job)


def user_at_host() -> str:
    """Who runs this process, and where."""
    with contextlib.suppress(Exception):
        return f"{getpass.getuser()}@{socket.gethostname()}"
    return socket.gethostname()
