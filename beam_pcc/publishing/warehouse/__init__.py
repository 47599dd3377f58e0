"""Where runs are published: the protocol (`base`) and the warehouses that keep it."""

from __future__ import annotations

from beam_pcc.addresses import absolute
from beam_pcc.config.settings import WAREHOUSE_ADDRESSES, Limits, Publish
from beam_pcc.errors import ConfigurationError
from beam_pcc.gcp.names import gcp_extra, parse_dataset, parse_table
from beam_pcc.publishing.warehouse.base import Warehouse


def open_warehouse(publish: Publish, limits: Limits | None = None) -> Warehouse:
    """The warehouse that these settings name; nothing is opened or made yet.

    Raises:
        ConfigurationError: Its address is of no known kind.
    """
    limits = limits or Limits()
    address = absolute(publish.warehouse)
    if address.endswith(".duckdb") and "://" not in address:
        from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse

        return DuckDBWarehouse(address, lock_timeout=limits.lock_timeout)
    if address.startswith("bq://"):
        with gcp_extra("--warehouse"):
            from beam_pcc.publishing.warehouse.bigquery.warehouse import BigQueryWarehouse
        return BigQueryWarehouse(
            address,
            names={name: parse_table(given, f"the table {name}") for name, given in publish.tables.items()},
            temp_dataset=parse_dataset(publish.temp_dataset, "--temp_dataset") if publish.temp_dataset else None,
            retry_timeout=limits.retry_timeout,
            monitoring_expiry_days=publish.monitoring_expiry_days,
            feedback_expiry_days=publish.feedback_expiry_days,
        )
    raise ConfigurationError(f"--warehouse {address}: write {WAREHOUSE_ADDRESSES}")
