"""Tests that need `.venv-deploy` and `.venv-ministack`: run by `make test-deploy` only."""

from importlib.util import find_spec

# Elsewhere, `pytest` finds nothing in this folder.
collect_ignore_glob = [] if find_spec("cfnlint") else ["test_*.py"]
