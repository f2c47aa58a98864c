"""What the benchmark serves of its own; this folder is on the path of the processes it measures."""

from pathlib import Path

__all__ = ["CRASHING", "FUNCTIONS", "RESTARTING", "STAND_IN"]

FUNCTIONS = Path(__file__).parent
CRASHING, STAND_IN = "okibi_crashing.handler", "okibi_stand_in.handler"
RESTARTING = "okibi_restarting.function"
"""As `_HANDLER` has them."""
