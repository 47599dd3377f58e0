"""Reads model files as plain data, without calling anything that they name."""
