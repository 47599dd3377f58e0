"""Build shim: Beam stages packages through setup.py; everything it says stands in pyproject.toml."""

from setuptools import setup

setup()
