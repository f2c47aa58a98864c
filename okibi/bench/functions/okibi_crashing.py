"""A plain `def` handler that fails on request, for the benchmark of crashes.

This module does not import okibi: the official client serves it too.
"""

import os
import sys
import time
from typing import Any


def handler(event: dict[str, Any], context: Any) -> str:
    """Answer, or fail as the event says."""
    way = event["way"]
    if way == "exception":
        raise ValueError("on demand")
    if way == "exit":
        sys.exit(1)
    if way == "death":
        os._exit(1)
    if way == "time-out":
        time.sleep(event["seconds"])
    return "good"
