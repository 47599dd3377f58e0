"""Tests of labels that came later."""
