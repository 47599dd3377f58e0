"""The flags of the commands that read a warehouse or create its tables."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from beam_pcc.config.settings import WAREHOUSE_ADDRESSES, Limits, Publish

if TYPE_CHECKING:
    from beam_pcc.publishing.warehouse.base import Warehouse


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


def checked_warehouse(publish: Publish, flags: argparse.Namespace) -> Warehouse:
    """Open the warehouse of a command. Raises ConfigurationError if its address cannot be one."""
    from beam_pcc.publishing.warehouse import open_warehouse

    warehouse = open_warehouse(publish, Limits(lock_timeout=flags.lock_timeout))
    warehouse.check()
    return warehouse
