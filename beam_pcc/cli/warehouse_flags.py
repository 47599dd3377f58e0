"""The flags of the commands that read a warehouse or create its tables."""

from __future__ import annotations

import argparse

from beam_pcc.config.settings import WAREHOUSE_ADDRESSES


def add_warehouse_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which warehouse a command reads or creates, and how long it waits for the file of a DuckDB one."""
    parser.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    parser.add_argument(
        "--lock_timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for a warehouse file that another process holds (default: %(default)g)",
    )
