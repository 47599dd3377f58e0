"""Trains a model from labelled rows."""
