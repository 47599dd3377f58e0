"""`beam-pcc models ...`: what is in a registry, whether it is sound, which version runs use."""

from __future__ import annotations

import argparse
import shlex
import time

from beam_pcc.commands import Commands, called_as, command, group

_REGISTRY = "the registry: a folder, or gs://BUCKET/FOLDER"


def add(commands: Commands) -> None:
    """Declare them."""
    models = group(commands, "models", "the model registry")
    listed = command(models, "list", "the versions, and which one a run would use", _models_list)
    listed.add_argument("--models", required=True, help=_REGISTRY)
    verify = command(models, "verify", "load a version as a run would, check it, score its golden rows", _models_verify)
    verify.add_argument("--models", required=True, help=_REGISTRY)
    verify.add_argument("--model_version", help="default: the one that a run would use")
    verify.add_argument("--model_sha256", help="refuse any model file but the one with this digest")
    promote = command(
        models, "promote", "verify a version, and make it the one that runs use (current.json)", _models_promote
    )
    promote.add_argument("version", metavar="VERSION", help="such as v20261120_020000")
    promote.add_argument("--models", required=True, help=_REGISTRY)


def _models_list(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import ALIAS, Registry
    from beam_pcc.training import metrics_line

    registry = Registry(flags.models)
    chosen, current = registry.resolve(), registry.current()
    current = current and registry.find(current, ALIAS)
    for version in reversed(registry.versions()):
        about = registry.metadata(version)
        marks = [
            mark for mark, yes in (("current", version == current), ("used by a run now", version == chosen)) if yes
        ]
        print(
            f"{version}  {about.trained_on.get('rows', '?')} rows  {metrics_line(about) or 'no metrics'}  "
            f"{(about.sha256 or 'no digest')[:12]}  {', '.join(marks)}".rstrip()
        )
    return 0


def _models_verify(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import Registry

    registry = Registry(flags.models)
    started = time.monotonic()
    checked = registry.verify(registry.resolve(flags.model_version), sha256=flags.model_sha256)
    golden = checked.metadata.golden
    print(f"{checked.name}: sound ({time.monotonic() - started:.1f} s)")
    print(f"  file        {checked.file.path}")
    print(f"  sha256      {checked.file.sha256}")
    print(f"  classes     {', '.join(checked.classes)}")
    rescored = "none stored, not checked" if golden is None else f"{len(golden.vectors)} give their scores again"
    print(f"  golden rows {rescored}")
    return 0


def _models_promote(flags: argparse.Namespace) -> int:
    from beam_pcc.models.registry import ALIAS, Registry

    registry = Registry(flags.models)
    version = registry.find(flags.version, "beam-pcc models promote")
    before = registry.promote(version)
    if before == version:
        print(f"current: {version} (already; nothing was changed)")
        return 0
    print(f"current: {version} (was {before or 'none'})")
    again = f"{called_as()} models promote {before} --models {shlex.quote(flags.models)}"
    print(f"  to go back: {again if before else f'remove {registry.root}/{ALIAS}'}")
    return 0
