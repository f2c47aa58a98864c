"""Alarms and doorbells: how an entity runs without a caller.

On Lambda something else must invoke the function: EventBridge Scheduler at the time of an alarm,
and Lambda itself, asynchronously, for a doorbell. Both send an event that is called a ring. okibi
takes it before the handler sees it. Elsewhere a task of the EntityStore rings.

The entity's state says which alarms are due. A ring that finds none due changes nothing, and a ring
that comes twice finds none. So an alarm is scheduled first, and saved afterwards.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import trio

from ..actors import logs

logger = logs.logger("okibi")

# The only field of a ring, and how its JSON begins.
RING: Final = "okibi.entities"
# Seconds until a ring that has failed is repeated, where no platform repeats it.
REPEATED: Final = 60
# Seconds that a schedule is ahead of its creation, at least, by a clock that may be 10 s behind.
AHEAD: Final = 15
# Seconds that the task sleeps at most: the clock of the machine may be set.
LONGEST_SLEEP: Final = 60.0


class Alarm(NamedTuple):
    """When an entity is to be rung.

    Attributes:
        due: milliseconds since 1970, by the store's clock.
        key: the entity.
    """

    due: int
    key: str


# Runs what is due in an entity at a time in milliseconds; its mail for None.
Ring: TypeAlias = Callable[[str, int | None], Awaitable[None]]


class Rings(Protocol):
    """Has entities rung."""

    def time_of(self, due: int, now: int) -> int:
        """Return the time of the ring for what is due at a time."""
        ...

    async def ring_at(self, alarm: Alarm) -> None:
        """Have an entity rung at a time that `time_of` has returned."""
        ...

    async def ring_now(self, key: str) -> None:
        """Have the mail of an entity run soon."""
        ...

    async def run(self, ring: Ring) -> None:
        """Ring, for as long as the EntityStore runs."""
        ...


@runtime_checkable
class KeepsAlarms(Protocol):
    """A store of one machine, which keeps alarms beside the rows."""

    def now(self) -> int:
        """Return the milliseconds since 1970."""
        ...

    async def add_alarm(self, alarm: Alarm) -> None:
        """Add an alarm; nothing is done if it is there."""
        ...

    async def first_alarm(self) -> Alarm | None:
        """Return the first alarm; None if there is none."""
        ...

    async def remove_alarm(self, alarm: Alarm) -> None:
        """Remove an alarm; nothing is done if it is not there."""
        ...


class LocalRings:
    """Rings in this process.

    Args:
        store: keeps the alarms.
    """

    def __init__(self, store: KeepsAlarms) -> None:
        self._store = store
        self._bells = list[str]()
        self._woken = trio.Event()

    def time_of(self, due: int, now: int) -> int:
        """Return the very time."""
        return due

    async def ring_at(self, alarm: Alarm) -> None:
        """Keep an alarm; see Rings."""
        await self._store.add_alarm(alarm)
        self._woken.set()

    async def ring_now(self, key: str) -> None:
        """Ring soon; see Rings."""
        await trio.lowlevel.checkpoint()
        self._bells.append(key)
        self._woken.set()

    async def run(self, ring: Ring) -> None:
        """Ring what is due, one after the other; see Rings."""
        while True:
            self._woken = trio.Event()
            while self._bells:
                await _ring(ring, self._bells.pop(0), None)
            alarm = await self._store.first_alarm()
            wait = LONGEST_SLEEP if alarm is None else (alarm.due - self._store.now()) / 1000
            if alarm is None or wait > 0:
                with trio.move_on_after(min(wait, LONGEST_SLEEP)):
                    await self._woken.wait()
                continue
            if not await _ring(ring, alarm.key, alarm.due):
                again = self._store.now() + 1000 * REPEATED
                await self._store.add_alarm(alarm._replace(due=again))
            await self._store.remove_alarm(alarm)


async def _ring(ring: Ring, key: str, due: int | None) -> bool:
    try:
        await ring(key, due)
    except Exception:
        logger.exception("%s: a ring has failed", key)
        return False
    return True


class LambdaRings:
    """Rings by EventBridge Scheduler and by Lambda.

    Attributes:
        function: the ARN by which this function is invoked; known from the first event on.
    """

    def __init__(self) -> None:
        self.function = ""

    def time_of(self, due: int, now: int) -> int:
        """Return the next whole minute, to which schedules are due.

        >>> LambdaRings().time_of(60_000, 0)
        120000
        """
        return (max(due, now + 1000 * AHEAD) // 60_000 + 1) * 60_000

    async def ring_at(self, alarm: Alarm) -> None:
        """Create a schedule; see Rings."""
        from ..aws import CallFailed, call

        schedule = schedule_of(alarm, self._arn(), os.environ)
        try:
            await call("scheduler", "CreateSchedule", schedule)
        except CallFailed as error:
            # It is scheduled already.
            if error.code != "ConflictException":
                raise

    async def ring_now(self, key: str) -> None:
        """Invoke this function; see Rings."""
        from ..aws import call

        event = {"FunctionName": self._arn(), "InvocationType": "Event", "Payload": ring_of(key)}
        await call("lambda", "Invoke", event)

    async def run(self, ring: Ring) -> None:
        """Wait: others ring; see Rings."""
        await trio.sleep_forever()

    def _arn(self) -> str:
        if not self.function:
            raise RuntimeError(
                "an alarm or a doorbell needs the function's ARN, which its first event brings: "
                "do not send to entities before it"
            )
        return self.function


def ring_of(key: str, due: int | None = None) -> dict[str, Any]:
    """Return the event that rings an entity."""
    return {RING: {"key": key} if due is None else {"key": key, "due": due}}


def read_ring(event: object) -> tuple[str, int | None] | None:
    """Return the key and the time of a ring; None for another event.

    >>> read_ring({"okibi.entities": {"key": "cart/bob", "due": 1764670000000}})
    ('cart/bob', 1764670000000)
    >>> read_ring({"key": "cart/bob"}) is None
    True
    """
    match event:
        case {"okibi.entities": {"key": str(key), "due": int(due)}}:
            return key, due
        case {"okibi.entities": {"key": str(key)}}:
            return key, None
        case _:
            return None


def schedule_of(alarm: Alarm, function: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of CreateSchedule.

    Args:
        alarm: the alarm, at a whole minute.
        function: the ARN of the function to invoke.
        environment: has OKIBI_ENTITIES_ROLE, and may have OKIBI_ENTITIES_GROUP.

    Raises:
        RuntimeError: there is no role.
    """
    from hashlib import sha256

    role = environment.get("OKIBI_ENTITIES_ROLE")
    if not role:
        raise RuntimeError(
            "OKIBI_ENTITIES_ROLE is not set: name the role by which EventBridge Scheduler may "
            "invoke this function; `entities = true` in pyproject.toml declares one"
        )
    at = datetime.fromtimestamp(alarm.due / 1000, UTC)
    return {
        # Of one entity and minute there is one schedule.
        "Name": f"okibi-{sha256(f'{alarm.due} {alarm.key}'.encode()).hexdigest()[:40]}",
        "GroupName": environment.get("OKIBI_ENTITIES_GROUP") or "default",
        "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": function,
            "RoleArn": role,
            "Input": json.dumps(ring_of(alarm.key, alarm.due)),
        },
    }
