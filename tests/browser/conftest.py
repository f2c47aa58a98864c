"""Tests that need `.venv-browser` and Chromium: run by `make test-browser` only."""

from importlib.util import find_spec

# Elsewhere, `pytest` finds nothing in this folder.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]
