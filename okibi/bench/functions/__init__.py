"""Handlers of the benchmark itself; this folder is on the path of the measured processes."""

from pathlib import Path

__all__ = ["CRASHING", "FUNCTIONS", "RESTARTING", "STAND_IN"]

FUNCTIONS = Path(__file__).parent
CRASHING, STAND_IN = "okibi_crashing.handler", "okibi_stand_in.handler"
# Handlers as in `_HANDLER`.
RESTARTING = "okibi_restarting.function"
