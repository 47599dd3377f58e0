"""The part of the Kubernetes API that the launcher uses: FlinkDeployments, pods, events and ConfigMaps of a namespace.

Works in a cluster (the pod's service account) and outside (kubeconfig). Every error is one line. Transient errors
(408, 429, 5xx, a broken or silent connection) are retried for `RETRY_TIMEOUT` seconds, then raise LostSightError.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from beam_pcc.errors import ConfigurationError, LostSightError, PccError, missing_extra, one_line
from beam_pcc.errors.foreign import explain, is_transient
from beam_pcc.errors.retrying import retry
from beam_pcc.kubernetes.deployment import Resource
from beam_pcc.terminal import logger

_log = logger(__name__)
_Response = TypeVar("_Response")
_GROUP = {"group": "flink.apache.org", "version": "v1beta1", "plural": "flinkdeployments"}
_REQUEST_TIMEOUT = 30.0  # seconds
_OPTIONAL_TIMEOUT = 10.0  # seconds for pods, events and Flink's metrics, which only explain a run's state
_WATCH_GRACE = 5.0  # seconds that a watch may be silent after its own timeout
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
NAMESPACE = "pcc-system"
RETRY_TIMEOUT = 120.0  # seconds without a successful response to any request


class AlreadyExistsError(PccError):
    """A FlinkDeployment of this name exists."""


class ExpiredError(Exception):
    """The resource version of a watch is too old (410 Gone); read the resource again."""


class Cluster:
    """One namespace of one cluster.

    Args:
        namespace: Default: the pod's own, or pcc-system.
        context: A context of the kubeconfig; default: the current one. None in a cluster.

    Raises:
        ConfigurationError: No cluster is configured; or, from any method, a permission or the operator is missing.
        LostSightError: From any method: no request succeeded for `RETRY_TIMEOUT` seconds.
    """

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
        try:
            import kubernetes
        except ImportError as error:
            raise missing_extra("kubernetes", "submit", error) from None
        configuration = kubernetes.client.Configuration()
        try:
            self.inside = context is None and _NAMESPACE_FILE.exists()
            if self.inside:
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
        configuration.safe_chars_for_path_param = "/:"  # of the paths below a service proxy
        self.namespace = namespace or NAMESPACE
        self.server = configuration.host
        self._client = kubernetes.client.ApiClient(configuration)
        self._custom = kubernetes.client.CustomObjectsApi(self._client)
        self._core = kubernetes.client.CoreV1Api(self._client)
        self._error = kubernetes.client.ApiException
        self._watch = kubernetes.watch.Watch
        self._failing_since: float | None = None

    def config_map(self, name: str) -> dict[str, str]:
        """The data of a ConfigMap."""
        config_map = self._request(
            lambda timeout: self._core.read_namespaced_config_map(name, self.namespace, _request_timeout=timeout),
            f"ConfigMap {name}",
        )
        return dict(config_map.data or {})

    def create(self, deployment: Resource) -> Resource:
        """Create a FlinkDeployment. Not an apply, which is lost silently if the resource is being deleted.

        Raises:
            AlreadyExistsError: There is one of this name.
        """
        name = deployment["metadata"]["name"]
        attempts = 0

        def create(timeout: float) -> Any:
            nonlocal attempts
            attempts += 1
            return self._custom.create_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, body=deployment, _request_timeout=timeout
            )

        try:
            created: Resource = self._request(create, f"FlinkDeployment {name}")
            return created
        except AlreadyExistsError:
            # An earlier attempt may have succeeded although its response was lost.
            existing = self.get(name)
            annotations = deployment["metadata"]["annotations"]
            if attempts > 1 and existing and existing["metadata"].get("annotations") == annotations:
                return existing
            raise

    def get(self, name: str) -> Resource | None:
        """A FlinkDeployment, or None."""
        deployment: Resource | None = self._request(
            lambda timeout: self._custom.get_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, name=name, _request_timeout=timeout
            ),
            f"FlinkDeployment {name}",
            missing_is_none=True,
        )
        return deployment

    def deployments(self) -> list[Resource]:
        """All FlinkDeployments of runs."""
        response = self._request(
            lambda timeout: self._custom.list_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                label_selector="beam-pcc/run-id",
                _request_timeout=timeout,
            ),
            "FlinkDeployments",
        )
        items: list[Resource] = response["items"]
        return items

    def delete(self, name: str) -> None:
        """Delete a FlinkDeployment and what the operator created for it. No error if it does not exist."""
        self._request(
            lambda timeout: self._custom.delete_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                name=name,
                propagation_policy="Foreground",
                _request_timeout=timeout,
            ),
            f"FlinkDeployment {name}",
            missing_is_none=True,
        )

    def wait_until_gone(self, name: str, timeout: float) -> bool:
        """Wait at most `timeout` seconds until a FlinkDeployment is deleted; False if it still exists."""
        deadline, pause = time.monotonic() + timeout, 0.1
        while self.get(name) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
        return True

    def changes(self, name: str, version: str, timeout: float) -> Iterator[Resource]:
        """Each new state of a FlinkDeployment after `version`, for at most `timeout` seconds or until the watch breaks.

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
                timeout_seconds=max(1, int(timeout)),
                _request_timeout=timeout + _WATCH_GRACE,
            ):
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]
                elif event["type"] == "DELETED":
                    return
        except Exception as error:  # a broken connection has many types; the next request shows a lasting error
            if isinstance(error, self._error) and error.status == HTTPStatus.GONE:
                raise ExpiredError from None
            _log.debug("the watch ended: %s", error)
            time.sleep(min(max(1.0, _retry_after(error)), _REQUEST_TIMEOUT))
        finally:
            watch.stop()

    def pods(self, name: str) -> list[Resource] | None:
        """The pods of a FlinkDeployment; the operator labels them with its name. None if they cannot be listed now."""
        pods = self._request_optional(
            lambda timeout: self._core.list_namespaced_pod(
                self.namespace, label_selector=f"app={name}", _request_timeout=timeout
            ),
            "pods",
        )
        return None if pods is None else [self._client.sanitize_for_serialization(pod) for pod in pods.items]

    def warnings(self, deployment: Resource, pods: Sequence[Resource]) -> list[Resource]:
        """Warning events of this FlinkDeployment and of what the operator created for it, newest first."""
        response = self._request_optional(
            lambda timeout: self._core.list_namespaced_event(
                self.namespace, field_selector="type=Warning", _request_timeout=timeout
            ),
            "events",
        )
        events = [] if response is None else [self._client.sanitize_for_serialization(e) for e in response.items]
        return sorted((e for e in events if _belongs_to(e, deployment, pods)), key=_event_time, reverse=True)

    def flink(self, name: str, path: str) -> Any:
        """The response of a JobManager's REST API, through the API server; None if there is none.

        Used outside of the cluster. Needs the permission to get services/proxy.
        """
        response = self._request_optional(
            lambda timeout: self._core.connect_get_namespaced_service_proxy_with_path(
                f"{name}-rest:8081", self.namespace, path, _preload_content=False, _request_timeout=timeout
            ),
            "services/proxy",
        )
        try:
            return None if response is None or response.status != 200 else json.loads(response.data or response.read())
        except ValueError:
            return None

    def _request_optional(self, call: Callable[[float], _Response], what: str) -> _Response | None:
        """As `_request`, for what only explains a run's state: a short timeout, and None instead of an error."""
        try:
            response: _Response = self._request(call, what, retry_timeout=_OPTIONAL_TIMEOUT)
            return response
        except PccError as error:
            _log.debug("%s cannot be read: %s", what, error)
            return None

    def _request(
        self,
        call: Callable[[float], _Response],
        what: str,
        *,
        missing_is_none: bool = False,
        retry_timeout: float | None = None,
    ) -> Any:
        """The response to `call`, whose argument is the timeout of one request in seconds.

        Retries for `retry_timeout` seconds, and at most `RETRY_TIMEOUT` after the last success of any request.
        """
        began = time.monotonic()

        def seconds_left() -> float:
            failing_since = began if self._failing_since is None else self._failing_since
            deadline = failing_since + RETRY_TIMEOUT
            return (deadline if retry_timeout is None else min(deadline, began + retry_timeout)) - time.monotonic()

        def attempt() -> _Response:
            if self._failing_since is None:
                self._failing_since = began
            response = call(max(0.1, min(_REQUEST_TIMEOUT, seconds_left())))
            self._failing_since = None
            return response

        try:
            return retry(
                attempt, seconds_left, may_retry=lambda error: not self._is_permanent(error), asked_pause=_retry_after
            )
        except Exception as error:
            if not self._is_permanent(error):
                raise self._lost_sight(error) from None
            self._failing_since = None
            status = getattr(error, "status", 0)
            if status == HTTPStatus.NOT_FOUND and missing_is_none:
                return None
            if status == HTTPStatus.CONFLICT and "AlreadyExists" in str(getattr(error, "body", "")):
                raise AlreadyExistsError(f"{what} is in namespace {self.namespace} already") from None
            ours = explain(error, f"{what} in namespace {self.namespace}", ConfigurationError)
            raise ours or error from None

    def _is_permanent(self, error: BaseException) -> bool:
        """Whether the API server refused the request; any other error is retried."""
        return isinstance(error, self._error) and not is_transient(error)

    def _lost_sight(self, error: Exception) -> LostSightError:
        reason = f"{error.status} {error.reason}" if isinstance(error, self._error) else one_line(error, 160)
        return LostSightError(
            f"the Kubernetes API at {self.server} did not answer well for {RETRY_TIMEOUT:g} s ({reason}); a run that "
            "was created goes on: look at the cluster, then follow it with submit --wait --attach"
        )


def _retry_after(error: Any) -> float:
    """Seconds in the Retry-After header; 0 without one."""
    seconds = str((getattr(error, "headers", None) or {}).get("Retry-After") or "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _belongs_to(event: Mapping[str, Any], deployment: Resource, pods: Sequence[Resource]) -> bool:
    """Whether an event is of this FlinkDeployment, and not of an earlier one of the same name.

    Compares uids of known objects. Others (a ReplicaSet, a deleted pod) match by name and a time after the creation.
    """
    about, metadata = event["involvedObject"], deployment["metadata"]
    name, uid = about.get("name") or "", about.get("uid")
    known = {metadata.get("uid"), *(pod["metadata"].get("uid") for pod in pods)} - {None}
    known |= {owner.get("uid") for pod in pods for owner in pod["metadata"].get("ownerReferences") or []}
    if uid is not None and uid in known:
        return True
    if name == metadata["name"]:
        return uid is None and _event_time(event) >= _parse_time(metadata.get("creationTimestamp"))
    created = _parse_time(metadata.get("creationTimestamp"))
    return name.startswith(f"{metadata['name']}-") and _event_time(event) >= created


def _event_time(event: Mapping[str, Any]) -> dt.datetime:
    """When an event last happened."""
    series = event.get("series") or {}
    return max(
        _parse_time(series.get("lastObservedTime")),
        _parse_time(event.get("lastTimestamp")),
        _parse_time(event.get("eventTime")),
    )


def _parse_time(text: str | None) -> dt.datetime:
    """A timestamp of the Kubernetes API, rounded down to the second; the year 1 for None."""
    if not text:
        return dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(microsecond=0)
