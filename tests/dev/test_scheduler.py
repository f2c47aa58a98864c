"""Schedules put events into the queue, on a virtual clock."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio
import trio.testing

from okibi.dev.dev_function import DevFunction, Schedule
from okibi.dev.scheduler import Scheduler, scheduled_event
from okibi.local import FunctionSettings, Invocation
from okibi.local.services.sample_events import sample_event

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERY_MINUTE = "cron(* * * * ? *)"


def function(*schedules: Schedule, name: str = "visits") -> DevFunction:
    settings = FunctionSettings("app.handler", name=name, task_root=Path(__file__).parent)
    return DevFunction(settings, schedules=schedules)


@attrs.define(eq=False)
class Machine:
    """A clock that can be set, and the events that have been put."""

    offset: float = 0.0
    events: list[tuple[str, str, bytes]] = attrs.field(factory=list[tuple[str, str, bytes]])

    def now(self) -> float:
        return START.timestamp() + self.offset + trio.current_time() - self._begin

    _begin: float = attrs.field(factory=trio.current_time, init=False)

    async def put(self, name: str, invocation: Invocation) -> None:
        time = datetime.fromtimestamp(self.now(), UTC).strftime("%H:%M:%S")
        self.events.append((time, name, invocation.payload))

    @property
    def times(self) -> list[str]:
        return [time for time, *_ in self.events]


@asynccontextmanager
async def running(*schedules: Schedule) -> AsyncIterator[Machine]:
    machine = Machine()
    scheduler = Scheduler([function(*schedules)], machine.put, machine.now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.run)
        yield machine
        nursery.cancel_scope.cancel()


async def test_each_schedule_puts_its_events(autojump_clock: trio.testing.MockClock) -> None:
    schedules = Schedule("rate(2 minutes)", input='"a"'), Schedule(EVERY_MINUTE, input='"b"')
    async with running(*schedules) as machine:
        await trio.sleep(150)

    assert sorted(machine.events) == [
        ("12:01:00", "visits", b'"b"'),
        ("12:02:00", "visits", b'"a"'),
        ("12:02:00", "visits", b'"b"'),
    ]


async def test_an_at_schedule_runs_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Schedule("at(2026-01-01T12:00:10)")) as machine:
        await trio.sleep(80_000)

    assert machine.events == [("12:00:10", "visits", b"{}")]


async def test_runs_missed_while_a_laptop_slept_make_one_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Schedule(EVERY_MINUTE)) as machine:
        await trio.sleep(100)
        # trio's clock stands still while the machine sleeps.
        machine.offset += 3610
        await trio.sleep(80)

    assert machine.times == ["12:01:00", "13:02:10", "13:03:00"]


async def test_a_clock_that_is_set_back_keeps_its_schedule(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Schedule("cron(0 * * * ? *)")) as machine:
        await trio.sleep(600)
        machine.offset -= 7200
        await trio.sleep(3600)

    assert machine.times == ["11:00:00"]


async def test_keywords_of_the_input_are_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source = '{"at": "<aws.scheduler.scheduled-time>", "n": "<aws.scheduler.attempt-number>"}'
    async with running(Schedule(EVERY_MINUTE, input=source)) as machine:
        await trio.sleep(61)

    assert json.loads(machine.events[0][2]) == {"at": "2026-01-01T12:01:00Z", "n": "1"}


async def test_a_rule_s_event_has_the_shape_of_the_sample(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Schedule(EVERY_MINUTE, input=scheduled_event("nightly"))) as machine:
        await trio.sleep(61)

    event, sample = json.loads(machine.events[0][2]), sample_event("schedule")
    assert event["time"] == "2026-01-01T12:01:00Z"
    assert event["resources"][0].endswith(":rule/nightly")
    assert {**event, "time": 0, "id": 0, "resources": 0} == {
        **sample,
        "time": 0,
        "id": 0,
        "resources": 0,
    }
