"""Put events into the queue at the times of the schedules."""

import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

import attrs
import trio

from ...invocation import Invocation
from ...settings import ACCOUNT_ID
from ..dev_function import DevFunction, Schedule
from .schedule_error import ScheduleError
from .timetable import Timetable, parse_schedule

__all__ = ["PlannedRun", "Scheduler", "scheduled_event"]

CHECK = 30.0
"""Seconds between two looks at the system's clock. While a laptop sleeps, trio's clock stops."""

REGION = "us-east-1"


@attrs.frozen
class PlannedRun:
    """The next run of a schedule.

    Args:
        function: the function's name.
        expression: the schedule's expression.
        timezone: the schedule's time zone.
        at: when it runs, in UTC; None for never.
    """

    function: str
    expression: str
    timezone: str
    at: datetime | None


@attrs.frozen
class _RunningSchedule:
    """A schedule of a function, and its times."""

    function: DevFunction
    number: int
    schedule: Schedule
    timetable: Timetable


@attrs.define(eq=False)
class Scheduler:
    """The schedules of all functions.

    Args:
        functions: the functions.
        put: queues an event of a function, as EventQueue.put does.
        now: the time in seconds since the epoch.

    Raises:
        ScheduleError: an expression or a time zone is wrong.

    Example:
        scheduler = Scheduler(functions, queue.put)
        nursery.start_soon(scheduler.run)
    """

    functions: Iterable[DevFunction]
    put: Callable[[str, Invocation], Awaitable[None]]
    now: Callable[[], float] = time.time
    _entries: list[_RunningSchedule] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        start = self._time()
        self._entries = [
            _RunningSchedule(function, number, schedule, _timetable(function, schedule, start))
            for function in self.functions
            for number, schedule in enumerate(function.schedules, 1)
        ]

    def planned_runs(self) -> list[PlannedRun]:
        """Return the next run of each schedule."""
        return [
            PlannedRun(
                entry.function.settings.name,
                entry.schedule.expression,
                entry.schedule.timezone,
                entry.timetable.next_time(self._time()),
            )
            for entry in self._entries
        ]

    async def run(self) -> None:
        """Put the events at their times, until cancelled or until no schedule has a next time.

        Times that have passed unnoticed, as while a laptop slept, make one event.
        """
        async with trio.open_nursery() as nursery:
            for entry in self._entries:
                nursery.start_soon(self._run_entry, entry)

    async def _run_entry(self, entry: _RunningSchedule) -> None:
        due = entry.timetable.next_time(self._time())
        while due is not None:
            seen = self._time()
            await trio.sleep(min(max((due - seen).total_seconds(), 0.0), CHECK))
            now = self._time()
            if now < seen:
                # The clock was set back.
                due = entry.timetable.next_time(now)
            elif now >= due:
                await self.put(entry.function.settings.name, _invocation(entry, due))
                due = entry.timetable.next_time(now)

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)


def scheduled_event(rule: str) -> str:
    """Return the input of a schedule that is to send what a rule of EventBridge sends.

    It contains keywords of EventBridge Scheduler, which a run replaces by its time and id.

    Args:
        rule: the name of the rule.
    """
    return json.dumps(
        {
            "version": "0",
            "id": "<aws.scheduler.execution-id>",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": "<aws.scheduler.scheduled-time>",
            "region": REGION,
            "resources": [f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{rule}"],
            "detail": {},
        }
    )


def _timetable(function: DevFunction, schedule: Schedule, start: datetime) -> Timetable:
    try:
        return parse_schedule(schedule.expression, schedule.timezone, start)
    except ScheduleError as error:
        raise ScheduleError(f"schedule of {function.settings.name}: {error}") from error


def _invocation(entry: _RunningSchedule, due: datetime) -> Invocation:
    """Make the event of a run: the schedule's input, with the keywords replaced.

    Source: EventBridge Scheduler, context attributes.
    """
    settings = entry.function.settings
    name = f"{settings.name}-{entry.number}"
    text = entry.schedule.input
    for keyword, value in (
        ("schedule-arn", f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{name}"),
        ("scheduled-time", due.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("execution-id", str(uuid.uuid4())),
        ("attempt-number", "1"),
    ):
        text = text.replace(f"<aws.scheduler.{keyword}>", value)
    return Invocation(text.encode(), settings.timeout)
