"""`beam-pcc encoder ...`: exports the serving encoder of text from the published weights."""

from __future__ import annotations

import argparse

from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.terminal import say


def add(commands: Commands) -> None:
    """Declare the commands."""
    encoder = group(
        commands, "encoder", "the encoder of messages", example="export --from weights --to models/encoders"
    )
    export = command(
        encoder,
        "export",
        "make the serving encoder from the published weights",
        _export,
        example="--from weights --to models/encoders",
    )
    export.add_argument("--from", dest="weights", required=True, help="folder of all-MiniLM-L6-v2 as published")
    export.add_argument(
        "--to", required=True, help="folder of encoders, such as MODELS/encoders, or gs://BUCKET/FOLDER"
    )


def _export(flags: argparse.Namespace) -> int:
    from beam_pcc.features.encoders.export import export

    exported = export(flags.weights, flags.to)
    say(f"{exported.address}{'' if exported.is_new else ' (was there already)'}")
    say(f"  sha256      {exported.sha256}")
    say(f"  size        {exported.size / 2**20:.0f} MiB")
    return 0
