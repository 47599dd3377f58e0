"""The subcommands of `beam-pcc deploy`. Each function returns an exit code."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from beam_pcc.deploy import cluster as clusters
from beam_pcc.deploy import images, jobs, layer, settings
from beam_pcc.deploy.cluster import Cluster
from beam_pcc.deploy.console import Console, command_line
from beam_pcc.deploy.layer import CONFIG, CRON_JOB, GOOGLE_KEY, PREVIOUS_IMAGE, SESSION, Installation
from beam_pcc.deploy.overlays import Checkout
from beam_pcc.deploy.settings import Google, Image
from beam_pcc.errors import EXIT_PUBLISHED, ConfigurationError, PccError, RunError, one_line

_CHECK_TIMEOUT = 300.0  # seconds for a dry run of the launcher
_VERSION = re.compile(r"v[0-9]{8}_?[0-9]{6}")
# Longer than the PodMonitor's interval, so that a manual run ends the alerts of its day.
_METRICS = ("--metrics_port=9249", "--metrics_linger=20")
_KINDS = "cronjobs,jobs,flinkdeployments,pods"


def connect(console: Console, overlay: str) -> Cluster:
    """Connect to the cluster that the environment names. Raises ConfigurationError, RunError."""
    checkout = Checkout.find()
    return Cluster.connect(console, checkout, settings.aws(), checkout.overlay(overlay))


def apply(console: Console, called_as: str, *, overlay: str, image: str | None, alerts: bool) -> int:
    """Build, push and deploy, then check that the launcher works."""
    checkout = Checkout.find()
    selected = checkout.overlay(overlay)
    aws, pipeline, google = settings.aws(), settings.pipeline(), settings.google()
    named = Image.parse(image) if image else None
    cluster = Cluster.connect(console, checkout, aws, selected)
    new_image = named or images.publish(console, checkout, aws, _now()) or images.placeholder(aws)
    console.say(f"image              {new_image}")
    cluster.install_operators()
    deployed = cluster.get("cronjob", CRON_JOB, "--ignore-not-found")
    alerts = alerts and selected.has_alerts
    if alerts and not cluster.has_crd(clusters.PROMETHEUS_CRD) and not console.dry_run:
        console.say("Prometheus         operator missing: alerts and PodMonitor are left out")
        alerts = False
    installation = Installation(selected, new_image, pipeline, google, alerts, _rollback_image(deployed, new_image))
    _write_layer(console, checkout, installation)
    cluster.console.change(
        *cluster.kubectl("apply", "--kustomize", checkout.shown(checkout.layer(selected))), to_stderr=True
    )
    if google.key_file:
        _apply_key(cluster, google)
    if not selected.has_session:
        # Delete the session cluster of an earlier deployment, which would keep its resources.
        cluster.change("delete", "flinkdeployment", SESSION, "--ignore-not-found", to_stderr=True)
    cluster.wait_for_operator()
    _check_launcher(cluster)
    schedule = _schedule(cluster)
    overlay_flag = "" if selected.name == "prod" else f" --overlay {selected.name}"
    console.say(f"deployed           {schedule}; try {called_as} run{overlay_flag} --partition yesterday")
    return EXIT_PUBLISHED


def render(console: Console, *, overlay: str, image: str | None, alerts: bool, output: str) -> int:
    """Print every manifest of an installation, or write them to a folder. Needs no cluster."""
    checkout = Checkout.find()
    selected = checkout.overlay(overlay)
    pipeline, google = settings.pipeline(), settings.google()
    installation = Installation(
        selected, images.require_digest(image), pipeline, google, alerts and selected.has_alerts
    )
    text = layer.rendered(console, checkout, installation)
    if console.dry_run:
        return EXIT_PUBLISHED
    secret = (
        f"kubectl --namespace {selected.namespace} create secret generic {GOOGLE_KEY} "
        "--from-file=credentials.json=KEY_FILE"
    )
    if google.key_file:
        text = f"# Not in here, because it is secret: {secret}\n{text}"
        console.say(f"to be created      {secret}")
    if output == "-":
        for line in text.rstrip("\n").split("\n"):
            console.show(line)
        return EXIT_PUBLISHED
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,1000}", output):
        raise ConfigurationError("--output must be a folder, or - for standard output")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["manifests.yaml"],
    }
    files = {"manifests.yaml": text.rstrip("\n") + "\n", "kustomization.yaml": layer.to_yaml(kustomization)}
    layer.write(Path(output), files)
    console.say(f"written            {', '.join(str(Path(output) / name) for name in files)}")
    return EXIT_PUBLISHED


def run(console: Console, *, overlay: str, partition: dt.date, replace: bool) -> int:
    """Score one day now and follow the run; returns its exit code."""
    cluster = connect(console, overlay)
    arguments = [f"--partition={partition:%Y%m%d}", "--wait", "--attach", *_METRICS]
    arguments += ["--replace"] if replace else []
    return _follow(cluster, f"pcc-manual-{_time(console)}", ["beam-pcc", "submit"], arguments)


def backfill(console: Console, *, overlay: str, first: dt.date, last: dt.date, parallel: int) -> int:
    """Score each day of a range and follow the backfill; returns its exit code."""
    if first > last:
        raise ConfigurationError(f"--from {first:%Y%m%d} is after --to {last:%Y%m%d}; swap them")
    cluster = connect(console, overlay)
    days = [f"--from={first:%Y%m%d}", f"--to={last:%Y%m%d}"]
    arguments = ["--on-kubernetes", *days, f"--parallel={parallel}"]
    name = f"pcc-backfill-{_time(console)}"
    return _follow(cluster, name, ["beam-pcc", "backfill"], arguments, deadline=False)


def status(console: Console, *, overlay: str) -> int:
    """Print what is deployed and what runs."""
    cluster = connect(console, overlay)
    cluster.change("get", _KINDS, "--output", "wide")
    deployed = cluster.get("cronjob", CRON_JOB)
    config = cluster.get("configmap", CONFIG)
    if not console.dry_run:
        pinned = (config.get("data") or {}).get("run.model_version")
        for name, value in {
            "image": _image(deployed),
            "before": _previous_image(deployed) or "none",
            "model": pinned or "the registry's current version",
            "daily run": _schedule_of(deployed),
        }.items():
            console.show(f"{name:10}{one_line(value)}")
    return EXIT_PUBLISHED


def logs(console: Console, *, overlay: str, partition: dt.date | None, of: str) -> int:
    """Print the logs of the last launchers, of a day's launcher, or of a day's run."""
    if of != "launcher" and partition is None:
        raise ConfigurationError(f"--of {of} needs --partition YYYYMMDD")
    cluster = connect(console, overlay)
    if partition is None:
        cluster.change("logs", "--selector", jobs.LAUNCHERS, "--container", jobs.LAUNCHER, "--tail=200", "--prefix")
    elif of == "launcher":
        _launcher_logs(cluster, partition)
    else:
        part = "jobmanager" if of == "jobmanager" else "taskmanager"
        containers = {
            "jobmanager": ["--all-containers"],
            "taskmanager": ["--container", "flink-main-container"],
            "workers": ["--container", "python-workers"],
        }[of]
        selector = f"app=pcc-{partition:%Y%m%d},component={part}"
        cluster.change("logs", "--selector", selector, *containers, "--tail=-1", "--prefix")
    return EXIT_PUBLISHED


def _launcher_logs(cluster: Cluster, partition: dt.date) -> None:
    pods = cluster.get("pods", "--selector", jobs.LAUNCHERS, instead={})
    items: list[Any] = sorted(
        (pod for pod in pods.get("items") or [] if jobs.ran_for(pod, partition)),
        key=lambda pod: str(pod["metadata"]["creationTimestamp"]),
    )
    names = ["POD"] if cluster.console.dry_run else [str(pod["metadata"]["name"]) for pod in items]
    if not names:
        raise RunError(
            f"no launcher of partition {partition:%Y%m%d} is left in {cluster.namespace}; its run's own pods: "
            "--of jobmanager, taskmanager or workers"
        )
    for earlier in names[:-1]:
        cluster.console.say(f"an earlier one     {cluster.shown('logs', f'pod/{earlier}')}")
    cluster.change("logs", f"pod/{names[-1]}", "--container", jobs.LAUNCHER, "--tail=-1")


def ui(console: Console, *, overlay: str | None, partition: dt.date | None, session: bool) -> int:
    """Forward Flink's UI of a day's run or of the session cluster to this machine."""
    checkout = Checkout.find()
    selected = checkout.overlay(overlay or ("dev" if session else "prod"))
    if session and not selected.has_session:
        raise ConfigurationError(f"the overlay {selected.name} has no session cluster; it is in dev")
    cluster = Cluster.connect(console, checkout, settings.aws(), selected)
    service = f"service/{SESSION if partition is None else f'pcc-{partition:%Y%m%d}'}-rest"
    console.say("http://localhost:8081 until Ctrl-C")
    try:
        cluster.change("port-forward", service, "8081:8081")
    except KeyboardInterrupt:
        console.say("ended")
    return EXIT_PUBLISHED


def rollback(console: Console, *, overlay: str, model: str | None) -> int:
    """Deploy the previous image; or with `model` pin runs to a model version."""
    if model is not None:
        return _pin_model(console, overlay, model)
    cluster = connect(console, overlay)
    digest = "sha256:" + "0" * 64
    instead = {
        "metadata": {"annotations": {PREVIOUS_IMAGE: f"previous@{digest}"}},
        "spec": _cron_spec(f"current@{digest}"),
    }
    deployed = cluster.get("cronjob", CRON_JOB, instead=instead)
    previous = _previous_image(deployed)
    if not previous:
        raise ConfigurationError("no image was deployed before this one; apply --image NAME@sha256:... takes any")
    current = Image.parse(_image(deployed), f"the image of the CronJob {CRON_JOB}")
    cluster.change("set", "image", f"cronjob/{CRON_JOB}", f"{jobs.LAUNCHER}={previous}", to_stderr=True)
    patch = json.dumps({"data": {"image": previous}}, separators=(",", ":"))
    cluster.change("patch", "configmap", CONFIG, "--type=merge", "--patch", patch, to_stderr=True)
    cluster.change("annotate", "--overwrite", "cronjob", CRON_JOB, f"{PREVIOUS_IMAGE}={current}", to_stderr=True)
    console.say(f"image              {previous} (was {current}; rollback again goes back)")
    return EXIT_PUBLISHED


def _pin_model(console: Console, overlay: str, model: str) -> int:
    if model != "none" and not _VERSION.fullmatch(model):
        raise ConfigurationError(
            f"--model {one_line(repr(model), 60)} is no version: write vYYYYMMDD_HHMMSS, or none; "
            "see beam-pcc models list"
        )
    cluster = connect(console, overlay)
    version = "" if model == "none" else model
    patch = json.dumps({"data": {"run.model_version": version}}, separators=(",", ":"))
    cluster.change("patch", "configmap", CONFIG, "--type=merge", "--patch", patch, to_stderr=True)
    console.say(f"runs from now on use {version or 'the current version of the registry'}")
    return EXIT_PUBLISHED


def destroy(console: Console, *, overlay: str, confirmed: bool) -> int:
    """Remove the namespace with every run in it."""
    checkout = Checkout.find()
    selected = checkout.overlay(overlay)
    if not confirmed:
        raise ConfigurationError(
            f"destroy removes the namespace {selected.namespace} with every run in it; say destroy --yes"
        )
    cluster = Cluster.connect(console, checkout, settings.aws(), selected)
    if cluster.has_crd(clusters.OPERATOR_CRD) or console.dry_run:
        # Delete the FlinkDeployments first: the operator cleans up after them while the namespace exists.
        runs = ("flinkdeployments", "--all", "--ignore-not-found", "--timeout=300s")
        cluster.change("delete", *runs, to_stderr=True)
    delete = ("delete", "namespace", selected.namespace, "--ignore-not-found", "--timeout=300s")
    console.change(*cluster.kubectl(*delete), to_stderr=True)
    uninstall = command_line(
        [*cluster.helm(), "uninstall", "flink-kubernetes-operator", "--namespace", "flink-operator"]
    )
    console.say(f"left               the operator ({uninstall}), the ECR repository, everything at Google")
    return EXIT_PUBLISHED


def _write_layer(console: Console, checkout: Checkout, installation: Installation) -> None:
    folder = checkout.layer(installation.overlay)
    files = installation.files(checkout)
    if not console.dry_run:
        layer.write(folder, files)
        return
    for name, text in files.items():
        console.show(f"# {checkout.shown(folder / name)}:")
        for line in text.rstrip("\n").split("\n"):
            console.show(f"    {line}")


def _apply_key(cluster: Cluster, google: Google) -> None:
    """Store the key file as a Secret. Its content is piped from one kubectl to the other and never printed."""
    create = ("create", "secret", "generic", GOOGLE_KEY, f"--from-file=credentials.json={google.key_file}")
    cluster.console.pipe(
        cluster.kubectl_in_namespace(*create, "--dry-run=client", "--output=yaml"),
        cluster.kubectl_in_namespace("apply", "--filename", "-"),
    )
    # The ConfigMap has a file of the same name.
    cluster.change("delete", "configmap", layer.CREDENTIALS_CONFIG, "--ignore-not-found", to_stderr=True)


def _check_launcher(cluster: Cluster) -> None:
    """Check image, ConfigMaps and permissions by having the launcher render a run."""
    console = cluster.console
    name = f"pcc-check-{_time(console)}"
    yesterday = _now().date() - dt.timedelta(days=1)
    console.say("checking           a launcher plans a run and creates nothing")
    arguments = [f"--partition={yesterday:%Y%m%d}", "--render"]
    jobs.start(cluster, name, ["beam-pcc", "submit"], arguments)
    state = jobs.follow(cluster, name, logs=False, timeout=_CHECK_TIMEOUT)
    if state.exit_code != EXIT_PUBLISHED:
        cluster.console.watch(*cluster.kubectl_in_namespace("logs", f"job/{name}", "--tail=5"), to_stderr=True)
        raise _error_with_code(
            f"the launcher cannot do its work ({state.description}): {cluster.shown('logs', f'job/{name}')}",
            state.exit_code,
        )
    cluster.change("delete", "job", name, to_stderr=True)


def _follow(cluster: Cluster, name: str, command: list[str], arguments: list[str], *, deadline: bool = True) -> int:
    jobs.start(cluster, name, command, arguments, deadline=deadline)
    cluster.console.say(f"following          {name}")
    try:
        state = jobs.follow(cluster, name)
    except KeyboardInterrupt:
        again = cluster.shown("logs", "--follow", f"job/{name}")
        raise RunError(f"stopped following; the Job {name} goes on: {again}") from None
    if state.exit_code != EXIT_PUBLISHED:
        cluster.console.say(f"{name} failed with exit code {state.exit_code}: {state.description}")
    return state.exit_code


def _error_with_code(message: str, exit_code: int) -> PccError:
    error = RunError(message)
    error.exit_code = exit_code
    return error


def _schedule(cluster: Cluster) -> str:
    return _schedule_of(cluster.get("cronjob", CRON_JOB))


def _schedule_of(cron_job: dict[str, Any]) -> str:
    """The schedule of the daily run as a sentence."""
    spec = cron_job.get("spec") or {}
    if not spec or spec.get("suspend"):
        return "there is no daily run (the CronJob is suspended)"
    return one_line(f"the daily run is at {spec.get('schedule')} (cron, {spec.get('timeZone') or 'its own time zone'})")


def _image(cron_job: dict[str, Any]) -> str:
    """The image of the launcher; empty if there is none."""
    try:
        containers = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        return str(next(c["image"] for c in containers if c["name"] == jobs.LAUNCHER))
    except (KeyError, TypeError, StopIteration):
        return ""


def _rollback_image(cron_job: dict[str, Any], image: Image) -> str:
    """The image that `rollback` restores once `image` is deployed; empty if there is none."""
    current = _image(cron_job)
    try:
        return _previous_image(cron_job) if current == str(image) else str(Image.parse(current))
    except ConfigurationError:
        return ""


def _previous_image(cron_job: dict[str, Any]) -> str:
    """The previous image in the CronJob's annotation; empty if the annotation is missing or malformed."""
    annotations = (cron_job.get("metadata") or {}).get("annotations") or {}
    try:
        return str(Image.parse(str(annotations.get(PREVIOUS_IMAGE) or "")))
    except ConfigurationError:
        return ""


def _cron_spec(image: str) -> dict[str, Any]:
    pod = {"containers": [{"name": jobs.LAUNCHER, "image": image}]}
    return {"jobTemplate": {"spec": {"template": {"spec": pod}}}}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _time(console: Console) -> str:
    """A timestamp for the names of Jobs."""
    return "TIME" if console.dry_run else f"{_now():%Y%m%d%H%M%S}"
