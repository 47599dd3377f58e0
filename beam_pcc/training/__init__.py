"""A model from labelled rows."""
