"""Where runs are published: the protocol (`base`) and the warehouses that keep it."""

from __future__ import annotations

from collections.abc import Mapping

from beam_pcc.errors import ConfigurationError
from beam_pcc.gcp.names import DatasetId, TableId, gcp_extra
from beam_pcc.publishing.warehouse.base import Warehouse


def open_warehouse(
    address: str,
    *,
    lock_timeout: float = 600.0,
    retry_timeout: float = 300.0,
    temp_dataset: str | None = None,
    names: Mapping[str, str | None] | None = None,
) -> Warehouse:
    """The warehouse at `address`; nothing is opened or made yet.

    Args:
        address: A path that ends in .duckdb, or bq://project.dataset.
        lock_timeout: Of a DuckDB file that another process holds, in seconds.
        retry_timeout: Of BigQuery, in seconds.
        temp_dataset: For BigQuery's staging tables.
        names: In BigQuery, tables that are elsewhere: name in `schemas.TABLES` -> project.dataset.table.

    Raises:
        ConfigurationError: The address is of no known kind.
    """
    if address.endswith(".duckdb") and "://" not in address:
        from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse

        return DuckDBWarehouse(address, lock_timeout=lock_timeout)
    if address.startswith("bq://"):
        with gcp_extra("--warehouse"):
            from beam_pcc.publishing.warehouse.bigquery.warehouse import BigQueryWarehouse
        return BigQueryWarehouse(
            address,
            names={name: TableId.parse(given, f"the table {name}") for name, given in (names or {}).items() if given},
            temp_dataset=DatasetId.parse(temp_dataset, "--temp_dataset") if temp_dataset else None,
            retry_timeout=retry_timeout,
        )
    raise ConfigurationError(f"--warehouse {address}: write a path that ends in .duckdb, or bq://project.dataset")
