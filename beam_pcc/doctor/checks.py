"""What is checked of the settings of a run. Nothing is changed; a probe in the staging folder is removed again."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import platform
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from beam_pcc import __version__
from beam_pcc.config.settings import RunConfig
from beam_pcc.doctor.deadlines import NotNeededError
from beam_pcc.errors import ConfigurationError, RunError, missing_extra
from beam_pcc.errors.foreign import explained
from beam_pcc.gcp.names import gcp_extra

_GOOGLE = ("bq://", "gs://")
_MODULES = {
    "gcp": ("google.cloud.bigquery", "google.cloud.bigquery_storage", "google.cloud.storage"),
    "text": ("onnxruntime", "tokenizers"),
    "openvino": ("openvino", "tokenizers"),
    "sentence-transformers": ("sentence_transformers", "torch"),
    "signing": ("model_signing",),
    "kubernetes": ("kubernetes", "yaml"),
}


def checks_of(
    config: RunConfig, beam_arguments: Sequence[str], *, on_kubernetes: bool, timeout: float
) -> dict[str, Callable[[], str]]:
    """The checks of a run with these settings, by name.

    Args:
        config: The settings.
        beam_arguments: Flags of Beam's own.
        on_kubernetes: Whether the run is submitted to Kubernetes.
        timeout: Seconds that a check may take; those of the settings are shortened, so that their errors come first.
    """
    shorter = dataclasses.replace(
        config.limits,
        lock_timeout=min(config.limits.lock_timeout, timeout / 2),
        retry_timeout=min(config.limits.retry_timeout, timeout / 2),
    )
    config = dataclasses.replace(config, limits=shorter)
    return {
        "packages": functools.partial(packages, config, on_kubernetes=on_kubernetes),
        "source": functools.partial(source, config),
        "models": functools.partial(models, config),
        "warehouse": functools.partial(warehouse, config),
        "staging": functools.partial(staging, config),
        "credentials": functools.partial(credentials, config),
        "flink": functools.partial(flink, beam_arguments, on_kubernetes=on_kubernetes, timeout=timeout / 2),
    }


def _addresses(config: RunConfig) -> list[str]:
    publish = config.publish
    addresses = (
        config.source.address,
        publish.warehouse,
        publish.staging,
        config.model.registry,
        config.encoder.address,
    )
    return [address for address in addresses if address]


def _uses_google(config: RunConfig) -> bool:
    return any(address.startswith(_GOOGLE) for address in _addresses(config))


def packages(config: RunConfig, *, on_kubernetes: bool) -> str:
    """Whether the extras that the settings need are installed. Raises ConfigurationError."""
    encoder = config.encoder.backend if config.encoder.text_column else None
    needed = {
        "gcp": ("a bq:// or gs:// address", _uses_google(config)),
        "text": ("--text_column", encoder is not None),
        "openvino": ("--encoder_backend", encoder == "openvino"),
        "sentence-transformers": ("--encoder_backend", encoder == "sentence-transformers"),
        "signing": ("a signature", config.model.signer is not None),
        "kubernetes": ("--on-kubernetes", on_kubernetes),
    }
    extras = [extra for extra, (_, is_needed) in needed.items() if is_needed]
    for extra in extras:
        for module in _MODULES[extra]:
            if not _is_installed(module):
                raise missing_extra(extra, needed[extra][0], ImportError(f"No module named '{module}'"))
    return f"beam-pcc {__version__}, Python {platform.python_version()}, extras needed: {', '.join(extras) or 'none'}"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # a parent is missing
        return False


def source(config: RunConfig) -> str:
    """Whether the source of the day is there, and can be cases."""
    from beam_pcc.sources import ReadCases

    ReadCases(config, config.publish.staging or "")
    address = config.source.address.replace("{partition}", f"{config.partition:%Y%m%d}")
    return f"{address} has something for {config.partition:%Y%m%d}"


def models(config: RunConfig) -> str:
    """Whether the version that a run would use loads, its shadow too, and what its vectors are made with."""
    from beam_pcc.pipeline.launch import load_models
    from beam_pcc.pipeline.text_mode import text_mode

    model, shadow = load_models(config)
    text_mode(config, model.metadata, shadow.metadata if shadow else None)
    return f"{model.name} loads (sha256 {model.file.sha256[:12]}){f', shadow {shadow.name}' if shadow else ''}"


def warehouse(config: RunConfig) -> str:
    """Whether the tables fit, and can be written."""
    from beam_pcc.publishing.warehouse import open_warehouse
    from beam_pcc.publishing.warehouse.base import prepare_tables

    opened = open_warehouse(config.publish, config.limits)
    opened.check()
    if config.publish.warehouse.startswith("bq://"):
        opened.query("SELECT 1")  # the right to run a query, which reads nothing
    else:
        _require_writable_file(Path(opened.address))
    missing = prepare_tables(opened, dry_run=True).create
    there = f"a run makes {', '.join(missing)}" if missing else "all tables are there"
    return f"{opened.address}: {there}"


def _require_writable_file(path: Path) -> None:
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"--warehouse {path} cannot be written; check the rights of this account")
    _require_writable_folder(path.parent, "--warehouse")


def _require_writable_folder(folder: Path, flag: str) -> None:
    """Raise ConfigurationError unless the folder is there and can be written, or can be made."""
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{flag}: nothing can be written in {existing}; check the path and the rights")


def staging(config: RunConfig) -> str:
    """Whether files can be staged: writes a probe there and removes it. A folder that is missing is not made."""
    from beam_pcc.publishing.staging import StagingArea
    from beam_pcc.publishing.warehouse import open_warehouse

    folder = open_warehouse(config.publish, config.limits).staging(config.publish.staging)
    if "://" not in folder and not Path(folder).exists():
        _require_writable_folder(Path(folder), "--staging")
        return f"{folder} can be made"
    probe = StagingArea(folder, f"doctor-{secrets.token_hex(8)}")
    try:
        probe.begin()
    finally:
        probe.remove()
    return f"{folder} can be written"


def credentials(config: RunConfig) -> str:
    """Whether Google gives a token. Raises ConfigurationError."""
    if not _uses_google(config):
        raise NotNeededError("no address is at Google")
    with gcp_extra("a bq:// or gs:// address"):
        import google.auth
        import google.auth.transport.requests
    with explained("Google's credentials", ConfigurationError):
        found, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        found.refresh(google.auth.transport.requests.Request())
    return f"Google gives a token ({type(found).__module__.rpartition('.')[2].replace('_', ' ')})"


def flink(beam_arguments: Sequence[str], *, on_kubernetes: bool, timeout: float) -> str:
    """Whether the Flink cluster of `--flink_master` answers and has slots. Also reports wrong flags of Beam."""
    from beam_pcc.flink.options import check_master
    from beam_pcc.flink.rest import FlinkCluster
    from beam_pcc.flink.runner import SessionRunner
    from beam_pcc.pipeline.options import beam_options

    options = beam_options(beam_arguments).get_all_options()
    if on_kubernetes:
        raise NotNeededError("the operator starts a cluster for each run")
    if options["runner"] not in (SessionRunner, f"{SessionRunner.__module__}.{SessionRunner.__qualname__}"):
        raise NotNeededError("the run is not on Flink: no --runner FlinkRunner")
    address = check_master(options["flink_master"])
    slots = FlinkCluster(address, retry_timeout=timeout, timeout=timeout).slots()
    if not slots.total:
        raise RunError(f"the Flink at {address} has no TaskManager; start one, and look at its log")
    return f"{address}: {slots.free} of {slots.total} slots are free"
