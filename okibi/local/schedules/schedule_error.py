"""An expression that EventBridge would refuse."""


class ScheduleError(ValueError):
    """An expression is wrong. The message says which field and what to write."""
