"""Put events into the queue at the times of the schedules."""

import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

import attrs
import trio

from ..local.platform.invocation import Invocation
from ..local.settings import ACCOUNT_ID, REGION
from .dev_function import DevFunction, Schedule

# Seconds between two looks at the system's clock. While a laptop sleeps, trio's clock stops.
CHECK = 30.0


@attrs.define(eq=False)
class Scheduler:
    """The schedules of all functions.

    Args:
        functions: the functions.
        put: queues an event of a function, as EventQueue.put does.
        now: the time in seconds since the epoch.

    Example:
        scheduler = Scheduler(functions, queue.put)
        nursery.start_soon(scheduler.run)
    """

    functions: Iterable[DevFunction]
    put: Callable[[str, Invocation], Awaitable[None]]
    now: Callable[[], float] = time.time

    async def run(self) -> None:
        """Put the events at their times, until cancelled or until no schedule has a next time.

        Times that have passed unnoticed, as while a laptop slept, make one event.
        """
        async with trio.open_nursery() as nursery:
            for function in self.functions:
                for number, schedule in enumerate(function.schedules, 1):
                    arn = schedule_arn("default", f"{function.name}-{number}")
                    nursery.start_soon(self.run_schedule, function, schedule, arn)

    async def run_schedule(
        self, function: DevFunction, schedule: Schedule, arn: str, start: datetime | None = None
    ) -> None:
        """Put the events of one schedule at their times, until it has no next time.

        Args:
            function: the function.
            schedule: the schedule.
            arn: the ARN of the schedule.
            start: the time in UTC after which the schedule begins; None for now.
        """
        start = start or self._time()
        due = schedule.next_time(start)
        while due is not None:
            seen = self._time()
            await trio.sleep(min(max((due - seen).total_seconds(), 0.0), CHECK))
            now = self._time()
            if now < seen:
                # The clock was set back.
                due = schedule.next_time(now, start)
            elif now >= due:
                await self.put(function.name, _invocation(function, schedule, arn, due))
                due = schedule.next_time(now, start)

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


def schedule_arn(group: str, name: str) -> str:
    """Return the ARN of a schedule."""
    return f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/{group}/{name}"


def _invocation(function: DevFunction, schedule: Schedule, arn: str, due: datetime) -> Invocation:
    """Make the event of a run: the schedule's input, with the keywords replaced.

    Source: EventBridge Scheduler, context attributes.
    """
    text = schedule.input
    for keyword, value in (
        ("schedule-arn", arn),
        ("scheduled-time", due.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("execution-id", str(uuid.uuid4())),
        ("attempt-number", "1"),
    ):
        text = text.replace(f"<aws.scheduler.{keyword}>", value)
    return Invocation(text.encode(), function.settings.timeout)
