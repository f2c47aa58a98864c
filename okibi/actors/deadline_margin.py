"""The end of a wait shortly before the caller's deadline.

A call that ends there raises an error that names what was late. The deadline itself would only
cancel the caller.
"""

import trio

# Seconds before the deadline; less where the deadline is nearer than ten times as much.
MARGIN = 0.1


def shortly_before_deadline() -> float:
    """Return the time of trio's clock until which this task may wait; inf without a deadline."""
    deadline = trio.current_effective_deadline()
    left = max(0.0, deadline - trio.current_time())
    return deadline - min(MARGIN, left / 10)
