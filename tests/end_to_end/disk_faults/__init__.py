"""Faults of a disk at each call of a writer, made by a library that is preloaded (faults.c)."""
