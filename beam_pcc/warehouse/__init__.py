"""Where runs are published: the protocol (`base`) and the warehouses that keep it."""

from __future__ import annotations

from beam_pcc.errors import ConfigurationError
from beam_pcc.warehouse.base import Warehouse


def open_warehouse(address: str, *, lock_timeout: float = 600.0) -> Warehouse:
    """The warehouse at `address`; nothing is opened or made yet.

    Raises:
        ConfigurationError: The address is of no known kind.
    """
    if address.endswith(".duckdb") and "://" not in address:
        from beam_pcc.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(address, lock_timeout=lock_timeout)
    if address.startswith("bq://"):
        raise ConfigurationError(f"--warehouse {address}: this version publishes to DuckDB files, not to BigQuery")
    raise ConfigurationError(f"--warehouse {address}: write a path that ends in .duckdb")
