"""Staging, audits and the one transaction that publishes a run."""
