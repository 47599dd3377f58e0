"""`beam-pcc encoder ...`: exports the serving encoder of text from the published weights."""

from __future__ import annotations

import argparse

from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.errors import one_line
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
    export.add_argument("--from", dest="weights", required=True, help="folder of the encoder as published")
    export.add_argument("--prefix", help="what is written before each text (default: what its files say)")
    export.add_argument("--name", help="of the encoder (default: that of the folder)")
    export.add_argument(
        "--int8", action="store_true", help="multiply integers of 8 bits: faster with onnx, and less exact"
    )
    export.add_argument(
        "--to", required=True, help="folder of encoders, such as MODELS/encoders, or gs://BUCKET/FOLDER"
    )


def _export(flags: argparse.Namespace) -> int:
    from beam_pcc.features.encoders.export import export

    exported = export(flags.weights, flags.to, prefix=flags.prefix, name=flags.name, is_int8=flags.int8)
    say(f"{exported.address}{'' if exported.is_new else ' (was there already)'}")
    unit = "unit length" if exported.is_normalised else "not normalised"
    say(f"  encoder     {one_line(exported.name, 80)}: {exported.pooling} pooling, {unit}")
    prefix = f"prefix {exported.input.prefix!r}" if exported.input.prefix else "no prefix"
    say(f"  texts       {prefix}, {exported.input.max_tokens} tokens")
    say(f"  sha256      {exported.sha256}")
    say(f"  size        {exported.size / 2**20:.0f} MiB")
    return 0
