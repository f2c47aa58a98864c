"""AWS's rate expressions (EventBridge: rate expressions)."""

import re
from datetime import datetime, timedelta

import attrs

from .schedule_error import ScheduleError

UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
# An upper bound of the period. It keeps the times within Python's.
MOST_DAYS = 365_000


@attrs.frozen
class RateExpression:
    """The times of a `rate(…)`: one a period. Made by `parse_rate`.

    A day is 24 hours, also when clocks change.

    Args:
        period: the time between two runs.
    """

    period: timedelta

    def next_time(self, after: datetime, start: datetime) -> datetime:
        """Return the first time later than `after`.

        Args:
            after: a time in UTC.
            start: the start of the schedule, in UTC: the times are whole periods later.

        Example:
            >>> from datetime import UTC
            >>> start = datetime(2026, 1, 1, tzinfo=UTC)
            >>> parse_rate("5 minutes").next_time(start, start).isoformat()
            '2026-01-01T00:05:00+00:00'
        """
        periods = (after - start) // self.period + 1
        return start + self.period * max(periods, 1)


def parse_rate(text: str) -> RateExpression:
    """Parse a rate, without `rate(` and `)`.

    Args:
        text: a value and a unit: minute, hour or day for 1; minutes, hours or days for more.

    Raises:
        ScheduleError: value or unit is wrong.

    Example:
        >>> parse_rate("1 hour").period
        datetime.timedelta(seconds=3600)
    """
    value, _, unit = text.strip().partition(" ")
    unit = unit.strip()
    if not re.fullmatch("[0-9]+", value) or int(value) < 1:
        raise ScheduleError(f"rate({text}): the value must be an integer >= 1, got {value!r}")
    single = unit.removesuffix("s")
    if single not in UNITS or unit not in (single, single + "s"):
        raise ScheduleError(
            f"rate({text}): the unit must be minutes, hours or days, got {unit!r}; as in"
            " rate(5 minutes)"
        )
    right = single if int(value) == 1 else single + "s"
    if unit != right:
        raise ScheduleError(f"rate({text}): the unit must be {right} with a value of {value}")
    if int(value) > MOST_DAYS * (timedelta(days=1) / UNITS[single]):
        raise ScheduleError(f"rate({text}): the value must be at most {MOST_DAYS} days")
    return RateExpression(int(value) * UNITS[single])
