"""The Kubernetes API, as far as the launcher needs it: FlinkDeployments of a namespace, their pods, events, ConfigMaps.

Works in a cluster (the pod's service account) and outside (kubeconfig). Every failure is one line. A transient one
(408, 429, 5xx, a broken or silent connection) is tried again until `PATIENCE` is over; then sight of the run is lost.
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
_Answer = TypeVar("_Answer")
_GROUP = {"group": "flink.apache.org", "version": "v1beta1", "plural": "flinkdeployments"}
_SECONDS = 30.0  # for one request
_HINT_SECONDS = 10.0  # for pods, events and Flink's figures: the following does not depend on them
_WATCH_GRACE = 5.0  # seconds beyond its own time-out that a watch may be silent
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
NAMESPACE = "pcc-system"
PATIENCE = 120.0  # seconds without a good answer, of whatever request, until sight of the run is lost


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
        LostSightError: From any method: the API server did not answer well for `PATIENCE` seconds.
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
        self._silent_since: float | None = None

    def config_map(self, name: str) -> dict[str, str]:
        """Its data."""
        found = self._ask(
            lambda seconds: self._core.read_namespaced_config_map(name, self.namespace, _request_timeout=seconds),
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

        def create(seconds: float) -> Any:
            nonlocal tries
            tries += 1
            return self._custom.create_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, body=deployment, _request_timeout=seconds
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
            lambda seconds: self._custom.get_namespaced_custom_object(
                **_GROUP, namespace=self.namespace, name=name, _request_timeout=seconds
            ),
            f"FlinkDeployment {name}",
            missing_is_none=True,
        )
        return found

    def deployments(self) -> list[Resource]:
        """All FlinkDeployments of runs."""
        found = self._ask(
            lambda seconds: self._custom.list_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                label_selector="beam-pcc/run-id",
                _request_timeout=seconds,
            ),
            "FlinkDeployments",
        )
        items: list[Resource] = found["items"]
        return items

    def delete(self, name: str) -> None:
        """Delete a FlinkDeployment with all that the operator made for it; it may be gone already."""
        self._ask(
            lambda seconds: self._custom.delete_namespaced_custom_object(
                **_GROUP,
                namespace=self.namespace,
                name=name,
                propagation_policy="Foreground",
                _request_timeout=seconds,
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
                _request_timeout=seconds + _WATCH_GRACE,
            ):
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]
                elif event["type"] == "DELETED":
                    return
        except Exception as error:  # a broken connection has many names; asking anew tells whether it is worse
            if isinstance(error, self._error) and error.status == HTTPStatus.GONE:
                raise ExpiredError from None
            _log.debug("the watch ended: %s", error)
            time.sleep(min(max(1.0, _retry_after(error)), _SECONDS))
        finally:
            watch.stop()

    def pods(self, name: str) -> list[Resource] | None:
        """The pods of a FlinkDeployment; the operator labels them with its name. None if they cannot be listed now."""
        found = self._hint(
            lambda seconds: self._core.list_namespaced_pod(
                self.namespace, label_selector=f"app={name}", _request_timeout=seconds
            ),
            "pods",
        )
        return None if found is None else [self._client.sanitize_for_serialization(pod) for pod in found.items]

    def warnings(self, deployment: Resource, pods: Sequence[Resource]) -> list[Resource]:
        """Warning events of this FlinkDeployment and of what the operator made for it, newest first."""
        found = self._hint(
            lambda seconds: self._core.list_namespaced_event(
                self.namespace, field_selector="type=Warning", _request_timeout=seconds
            ),
            "events",
        )
        events = [] if found is None else [self._client.sanitize_for_serialization(event) for event in found.items]
        return sorted((e for e in events if _is_of(e, deployment, pods)), key=_time, reverse=True)

    def flink(self, name: str, path: str) -> Any:
        """What the REST API of a FlinkDeployment's JobManager answers, through the API server; None if it does not.

        For who is outside of the cluster: it needs the right to get services/proxy.
        """
        answer = self._hint(
            lambda seconds: self._core.connect_get_namespaced_service_proxy_with_path(
                f"{name}-rest:8081", self.namespace, path, _preload_content=False, _request_timeout=seconds
            ),
            "services/proxy",
        )
        try:
            return None if answer is None or answer.status != 200 else json.loads(answer.data or answer.read())
        except ValueError:
            return None

    def _hint(self, call: Callable[[float], _Answer], what: str) -> _Answer | None:
        """As `_ask`, of what only helps to explain: it is asked for a short time, and None if there is no answer."""
        try:
            answer: _Answer = self._ask(call, what, patience=_HINT_SECONDS)
            return answer
        except PccError as error:
            _log.debug("%s are not told: %s", what, error)
            return None

    def _ask(
        self,
        call: Callable[[float], _Answer],
        what: str,
        *,
        missing_is_none: bool = False,
        patience: float | None = None,
    ) -> Any:
        """The answer to `call`, which is told how many seconds one request may take.

        All requests together have `PATIENCE` seconds without a good answer; this one gives up after `patience` seconds.
        """
        began = time.monotonic()

        def seconds_left() -> float:
            silent_since = began if self._silent_since is None else self._silent_since
            ends = silent_since + PATIENCE
            return (ends if patience is None else min(ends, began + patience)) - time.monotonic()

        def once() -> _Answer:
            if self._silent_since is None:
                self._silent_since = began
            answer = call(max(0.1, min(_SECONDS, seconds_left())))
            self._silent_since = None
            return answer

        try:
            return retry(
                once, seconds_left, may_retry=lambda error: not self._is_answer(error), asked_pause=_retry_after
            )
        except Exception as error:
            if not self._is_answer(error):
                raise self._lost_sight(error) from None
            self._silent_since = None
            status = getattr(error, "status", 0)
            if status == HTTPStatus.NOT_FOUND and missing_is_none:
                return None
            if status == HTTPStatus.CONFLICT and "AlreadyExists" in str(getattr(error, "body", "")):
                raise AlreadyExistsError(f"{what} is in namespace {self.namespace} already") from None
            ours = explain(error, f"{what} in namespace {self.namespace}", ConfigurationError)
            raise ours or error from None

    def _is_answer(self, error: BaseException) -> bool:
        """Whether the API server refused for good; whatever else a request raises is worth another try."""
        return isinstance(error, self._error) and not is_transient(error)

    def _lost_sight(self, error: Exception) -> LostSightError:
        words = f"{error.status} {error.reason}" if isinstance(error, self._error) else one_line(error, 160)
        return LostSightError(
            f"the Kubernetes API at {self.server} did not answer well for {PATIENCE:g} s ({words}); a run that was "
            "created goes on: look at the cluster, then follow it with submit --wait --attach"
        )


def _retry_after(error: Any) -> float:
    """Seconds that the API server asks to wait; 0 if it does not say."""
    seconds = str((getattr(error, "headers", None) or {}).get("Retry-After") or "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _is_of(event: Mapping[str, Any], deployment: Resource, pods: Sequence[Resource]) -> bool:
    """Whether an event is of this FlinkDeployment, and not of an earlier one of the same name.

    Known objects are told by uid, others (a ReplicaSet, a pod that is gone) by name and a time since the creation.
    """
    about, metadata = event["involvedObject"], deployment["metadata"]
    name, uid = about.get("name") or "", about.get("uid")
    known = {metadata.get("uid"), *(pod["metadata"].get("uid") for pod in pods)} - {None}
    known |= {owner.get("uid") for pod in pods for owner in pod["metadata"].get("ownerReferences") or []}
    if uid is not None and uid in known:
        return True
    if name == metadata["name"]:
        return uid is None and _time(event) >= _when(metadata.get("creationTimestamp"))
    return name.startswith(f"{metadata['name']}-") and _time(event) >= _when(metadata.get("creationTimestamp"))


def _time(event: Mapping[str, Any]) -> dt.datetime:
    """When an event last happened."""
    series = event.get("series") or {}
    return max(
        _when(series.get("lastObservedTime")),
        _when(event.get("lastTimestamp")),
        _when(event.get("eventTime")),
    )


def _when(text: str | None) -> dt.datetime:
    """A time of the Kubernetes API, to the second, as events and resources tell it; the year 1 if there is none."""
    if not text:
        return dt.datetime.min.replace(tzinfo=dt.timezone.utc)
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(microsecond=0)
