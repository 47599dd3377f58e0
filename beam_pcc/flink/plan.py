"""What is going to run, before anything is created: a namespace's settings, validated, and one FlinkDeployment."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from beam_pcc.errors import ConfigurationError, one_line
from beam_pcc.flink import deployment as rendering
from beam_pcc.flink.cluster_api import Cluster
from beam_pcc.flink.deployment import CONFIG, TEMPLATE, TEMPLATE_FILE, Resource, Submission
from beam_pcc.flink.follow import Patience
from beam_pcc.options import job_jar_options
from beam_pcc.run_ids import new_run_id
from beam_pcc.settings import RunSettings


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
    """A run that is ready to be created: everything that can be known to be wrong was looked at."""

    settings: RunSettings
    submission: Submission
    resource: Resource
    patience: Patience
    keep: int


def plan(manifests: Manifests, given: Sequence[str], partition: dt.date, *, keep: int | None = None) -> Planned:
    """Validate the settings as `beam-pcc run` does, and render the FlinkDeployment.

    Args:
        manifests: Of the namespace.
        given: Flags of the run from the command line; they win over the ConfigMap's.
        partition: The day.
        keep: How many finished FlinkDeployments stay; default: what the ConfigMap says.

    Raises:
        ConfigurationError: As `beam-pcc run` raises it, or for the ConfigMap.
    """
    config = manifests.config
    arguments = rendering.run_arguments(config, given)
    settings, of_beam = rendering.run_settings(arguments, partition)
    job_jar_options(of_beam, "job.jar")  # what is wrong with Beam's flags is told here, and not first in the cluster
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    submission = Submission(new_run_id(partition, now), partition, _who(), now)
    patience = Patience(
        rendering.number(config, "launcher.start_timeout"), rendering.number(config, "launcher.timeout")
    )
    kept = rendering.whole(config, "launcher.keep", least=0) if keep is None else keep
    resource = rendering.render(manifests.template, config, arguments, submission)
    return Planned(settings, submission, resource, patience, kept)


def _who() -> str:
    with contextlib.suppress(Exception):
        return f"{getpass.getuser()}@{socket.gethostname()}"
    return socket.gethostname()
