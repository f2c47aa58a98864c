"""The times of a schedule's expression in its time zone (EventBridge Scheduler: schedule types)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .cron_expression import CronExpression, parse_cron
from .rate_expression import parse_rate
from .schedule_error import ScheduleError

# Returns the first time later than another, both in UTC; None if there is none.
NextTime: TypeAlias = Callable[[datetime], datetime | None]


def parse_schedule(expression: str, timezone: str, start: datetime) -> NextTime:
    """Parse a schedule's expression, and return what tells its times.

    When clocks go forward, a time that does not exist is skipped. When they go back, a time that
    comes twice counts the first time (EventBridge Scheduler).

    Args:
        expression: `rate(…)`, `cron(…)` or `at(yyyy-mm-ddThh:mm:ss)`.
        timezone: a name of the IANA database, such as `Europe/Berlin`, for `cron` and `at`.
        start: the start of the schedule, in UTC. The first time of a rate is one period later.

    Raises:
        ScheduleError: the expression or the time zone is wrong.

    Example:
        >>> start = datetime(2026, 7, 1, tzinfo=UTC)
        >>> next_time = parse_schedule("cron(0 3 * * ? *)", "Europe/Berlin", start)
        >>> print(next_time(start))
        2026-07-01 01:00:00+00:00
    """
    found = re.fullmatch(r"(rate|cron|at)\((.*)\)", expression.strip())
    if found is None:
        raise ScheduleError(
            "expression must be as in rate(5 minutes), cron(0 3 * * ? *) or"
            f" at(2026-01-31T12:00:00), got {expression!r}"
        )
    zone = _zone(timezone)
    if found[1] == "rate":
        return partial(parse_rate(found[2]).next_time, start=start)
    if found[1] == "cron":
        return partial(_next_cron_time, parse_cron(found[2]), zone)
    return partial(_next_single_time, _parse_time(found[2], zone))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(
            f"timezone {name!r}: unknown; give a name of the IANA database, as in Europe/Berlin"
        ) from error


def _parse_time(text: str, zone: ZoneInfo) -> datetime:
    try:
        local = datetime.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        raise ScheduleError(
            f"at({text}): must be yyyy-mm-ddThh:mm:ss, as in at(2026-01-31T12:00:00)"
        ) from error
    moment = _in_zone(local, zone)
    if moment is None:
        raise ScheduleError(f"at({text}): clocks in {zone.key} go forward, and skip this time")
    return moment


def _in_zone(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return a local time in UTC; None if it does not exist. The first of two that are equal."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == local else None


def _next_single_time(moment: datetime, after: datetime) -> datetime | None:
    return moment if moment > after else None


def _next_cron_time(cron: CronExpression, zone: ZoneInfo, after: datetime) -> datetime | None:
    local = cron.next_time(after.astimezone(zone).replace(tzinfo=None))
    while local is not None:
        moment = _in_zone(local, zone)
        # A time in the past is the first of two equal ones.
        if moment is not None and moment > after:
            return moment
        local = cron.next_time(local)
    return None
