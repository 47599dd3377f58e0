"""The Kubernetes API, as far as the launcher needs it: FlinkDeployments of a namespace, their pods, events, ConfigMaps.

Works in a cluster (the pod's service account) and outside (kubeconfig). Every failure is one line, and one that may
pass is tried again for a while.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from beam_pcc.errors import ConfigurationError, PccError, RunError, one_line
from beam_pcc.flink.deployment import Resource

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_GROUP = {"group": "flink.apache.org", "version": "v1beta1", "plural": "flinkdeployments"}
_SECONDS = 30.0  # for one request
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
NAMESPACE = "pcc-system"
PATIENCE = 120.0  # seconds to try again for when the API server does not answer well


class AlreadyExistsError(PccError):
    """A FlinkDeployment of this name is there."""


class ExpiredError(Exception):
    """The watch is too far behind (410 Gone); ask anew."""


class Cluster:
    """One namespace of one cluster.

    Args:
        namespace: Default: the pod's own, or pcc-system.
        context: Of the kubeconfig; default: its current one. In a cluster: None.

    Raises:
        ConfigurationError: No cluster is configured; or, from any method, a right or the operator is missing.
        RunError: From any method: the API server did not answer well all that time.
    """

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
        try:
            import kubernetes
        except ImportError:
            raise ConfigurationError("submit needs the Kubernetes client: pip install 'beam-pcc[kubernetes]'") from None
        configuration = kubernetes.client.Configuration()
        try:
            if context is None and _NAMESPACE_FILE.exists():
                kubernetes.config.load_incluster_config(client_configuration=configuration)
                namespace = namespace or _NAMESPACE_FILE.read_text().strip()
            else:
                kubernetes.config.load_kube_config(context=context, client_configuration=configuration)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise ConfigurationError(
                f"no Kubernetes cluster is configured ({one_line(error)}): run aws eks update-kubeconfig, "
                "or name --context"
            ) from None
        configuration.retries = False
        self.namespace = namespace or NAMESPACE
        self.server = configuration.host
        self._client = kubernetes.client.ApiClient(configuration)
        self._custom = kubernetes.client.CustomObjectsApi(self._client)
        self._core = kubernetes.client.CoreV1Api(self._client)
        self._error = kubernetes.client.ApiException
        self._watch = kubernetes.watch.Watch

    def config_map(self, name: str) -> dict[str, str]:
        """Its data."""
        found = self._ask(
            lambda: self._core.read_namespaced_config_map(name, self.namespace, _request_timeout=_SECONDS),
            f"ConfigMap {name}",
        )
        return dict(found.data or {})

    def create(self, deployment: Resource) -> Resource:
        """Create a FlinkDeployment. Never an apply: one over a resource that is being deleted is lost without a word.

        Raises:
            AlreadyExistsError: There is one of this name.
        """
        name = deployment["metadata"]["name"]
        tries = 0

        def create() -> Any:
            nonlocal tries
            tries += 1
            return self._custom.create_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, body=deployment, _request_timeout=_SECONDS
            )

        try:
            made: Resource = self._ask(create, f"FlinkDeployment {name}")
            return made
        except AlreadyExistsError:
            # The answer to a request of ours that did arrive may have been lost.
            there = self.get(name)
            if tries > 1 and there and there["metadata"].get("annotations") == deployment["metadata"]["annotations"]:
                return there
            raise

    def get(self, name: str) -> Resource | None:
        """A FlinkDeployment, or None."""
        found: Resource | None = self._ask(
            lambda: self._custom.get_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, name=name, _request_timeout=_SECONDS
            ),
            f"FlinkDeployment {name}",
            missing_is_none=True,
        )
        return found

    def deployments(self) -> list[Resource]:
        """All FlinkDeployments of runs."""
        found = self._ask(
            lambda: self._custom.list_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                label_selector="beam-pcc/run-id",
                _request_timeout=_SECONDS,
            ),
            "FlinkDeployments",
        )
        items: list[Resource] = found["items"]
        return items

    def delete(self, name: str) -> None:
        """Delete a FlinkDeployment with all that the operator made for it; it may be gone already."""
        self._ask(
            lambda: self._custom.delete_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                name=name,
                propagation_policy="Foreground",
                _request_timeout=_SECONDS,
            ),
            f"FlinkDeployment {name}",
            missing_is_none=True,
        )

    def wait_until_gone(self, name: str, seconds: float) -> bool:
        """Wait for a deleted FlinkDeployment to be gone; False if it is still there."""
        deadline, pause = time.monotonic() + seconds, 0.1
        while self.get(name) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
        return True

    def changes(self, name: str, version: str, seconds: float) -> Iterator[Resource]:
        """Each new state of a FlinkDeployment after `version`, for at most `seconds`; ends when the connection does.

        Raises:
            ExpiredError: `version` is too old.
        """
        watch = self._watch()
        try:
            for event in watch.stream(
                self._custom.list_namespaced_custom_object,
                **_GROUP,
                namespace=self.namespace,
                field_selector=f"metadata.name={name}",
                resource_version=version,
                timeout_seconds=max(1, int(seconds)),
                _request_timeout=seconds + _SECONDS,
            ):
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]
                elif event["type"] == "DELETED":
                    return
        except self._error as error:
            if error.status == 410:
                raise ExpiredError from None
            _log.debug("the watch ended: %s", error)
            time.sleep(1)
        except Exception as error:  # a broken connection has many names; asking anew tells whether it is worse
            _log.debug("the watch broke: %s", error)
            time.sleep(1)
        finally:
            watch.stop()

    def pods(self, name: str) -> list[Resource]:
        """The pods of a FlinkDeployment; the operator labels them with its name."""
        found = self._ask(
            lambda: self._core.list_namespaced_pod(
                self.namespace, label_selector=f"app={name}", _request_timeout=_SECONDS
            ),
            "pods",
        )
        return [self._client.sanitize_for_serialization(pod) for pod in found.items]

    def warnings(self, name: str) -> list[Resource]:
        """Warning events of a FlinkDeployment and of what the operator made for it, newest first."""
        found = self._ask(
            lambda: self._core.list_namespaced_event(
                self.namespace, field_selector="type=Warning", _request_timeout=_SECONDS
            ),
            "events",
        )
        events = [self._client.sanitize_for_serialization(event) for event in found.items]
        ours = [
            e
            for e in events
            if (about := e["involvedObject"].get("name") or "") == name or about.startswith(f"{name}-")
        ]
        return sorted(ours, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), reverse=True)

    def _ask(self, call: Callable[[], _Answer], what: str, *, missing_is_none: bool = False) -> Any:
        deadline, pause = time.monotonic() + PATIENCE, 0.5
        while True:
            try:
                return call()
            except self._error as error:
                if error.status == 404 and missing_is_none:
                    return None
                _raise_what_stays(error, what, self.namespace)
                said = f"{error.status} {error.reason}"
            except Exception as error:  # urllib3's, for connections
                said = one_line(error, 160)
            if time.monotonic() + pause > deadline:
                raise RunError(
                    f"the Kubernetes API at {self.server} did not answer well for {PATIENCE:g} s ({said}); "
                    "look at the cluster, and at the run in it, then submit again"
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 10.0)


def _raise_what_stays(error: Any, what: str, namespace: str) -> None:
    """Errors of the API server that trying again does not mend; the others are let pass."""
    said = ""
    with contextlib.suppress(Exception):
        said = json.loads(error.body)["message"]
    said = one_line(said or error.reason)
    if error.status == 409 and "AlreadyExists" in (error.body or ""):
        raise AlreadyExistsError(said) from None
    if error.status in (401, 403):
        raise ConfigurationError(
            f"Kubernetes refused {what} in namespace {namespace} ({said}); see docs/eks-deployment.md"
        ) from None
    if error.status == 404:
        raise ConfigurationError(
            f"{what} is not in namespace {namespace} ({said}); run deploy-to-eks.sh check, then deploy"
        ) from None
    if error.status in (400, 409, 422):
        raise ConfigurationError(f"Kubernetes did not take {what}: {said}") from None
