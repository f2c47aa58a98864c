"""What a benchmark of crashes serves, on whatever runtime: a plain `def` that fails on demand.

It imports nothing of okibi's, so that the official client can serve it too.
"""

import os
import sys
import time
from typing import Any


def handler(event: dict[str, Any], context: Any) -> str:
    """Answer, or fail in the way that the event names."""
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
