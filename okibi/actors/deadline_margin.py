"""The end of a wait shortly before the caller's deadline.

A call that ends there raises an error that names what was late. The deadline itself would only
cancel the caller.
"""

import trio

# Seconds before the deadline; less where the deadline is nearer than ten times as much.
MARGIN = 0.1


def time_left() -> float:
    """Return the seconds for which this task may wait; inf without a deadline."""
    left = trio.current_effective_deadline() - trio.current_time()
    return max(0.0, left - MARGIN if left > 10 * MARGIN else 0.9 * left)


def shortly_before_deadline() -> float:
    """Return the time of trio's clock until which this task may wait; inf without a deadline."""
    return trio.current_time() + time_left()
