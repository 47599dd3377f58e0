"""Evaluates models: metrics, labelled rows, comparison of two versions, gates of a promotion."""
