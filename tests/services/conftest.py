"""Tests that need `.venv-services` and real servers: run by `make test-services` only."""

from importlib.util import find_spec

# Elsewhere, `pytest` finds nothing in this folder.
collect_ignore_glob = [] if find_spec("moto") else ["test_*.py"]
