"""Tables in BigQuery."""
