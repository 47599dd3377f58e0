"""Checks the namespace on Kubernetes, and reads the settings that its ConfigMap gives a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pcc.config.settings import RunConfig
from beam_pcc.kubernetes.cluster_api import Cluster
from beam_pcc.kubernetes.plan import Manifests, plan


@dataclass(frozen=True)
class Namespace:
    """A namespace whose ConfigMaps, template and FlinkDeployments could be read."""

    manifests: Manifests
    message: str

    @classmethod
    def read(cls, name: str | None, context: str | None) -> Namespace:
        """Read it; `name` None: the pod's own, or pcc-system. Raises PccError."""
        cluster = Cluster(name, context)
        manifests = Manifests.of_cluster(cluster)
        deployments = cluster.deployments()
        return cls(manifests, f"namespace {cluster.namespace} at {cluster.server}, {len(deployments)} FlinkDeployments")

    def settings(self, arguments: Sequence[str], partition: dt.date) -> RunConfig:
        """The settings of a run that is submitted with these arguments. Raises ConfigurationError."""
        return plan(self.manifests, arguments, partition).settings
