"""The lower floors against bare trio, in the same run: a call, a hop, a start and join."""

import statistics
import time
from collections.abc import Awaitable, Callable

import trio
import trio.testing
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from actors import Actor, Name, Server, start
from supervisors import Child, Restart, Supervision, supervise

COUNT = 5000


class Echo(Server):
    """Answers with what it is given."""

    async def echo(self, value: int) -> int:
        return value


class Short(Actor):
    """Lives for no time."""

    async def run(self) -> None:
        return


async def timed(work: Callable[[], Awaitable[object]], count: int = COUNT) -> float:
    """Microseconds for one."""
    began = time.perf_counter()
    for _ in range(count):
        await work()
    return (time.perf_counter() - began) / count * 1e6


def _abort(_: object) -> Abort:
    return Abort.SUCCEEDED


async def parked_pair() -> float:
    """A round trip between two tasks that only park and wake each other: the physical limit."""
    ping: Task = current_task()
    parked: list[Task] = []

    async def pong() -> None:
        parked.append(current_task())
        while True:
            await wait_task_rescheduled(_abort)
            reschedule(ping)

    async def round_trip() -> None:
        reschedule(parked[0])
        await wait_task_rescheduled(_abort)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pong)
        await trio.testing.wait_all_tasks_blocked()
        each = await timed(round_trip)
        nursery.cancel_scope.cancel()
    return each


async def call() -> float:
    """A call and its reply."""
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, Echo)
        each = await timed(lambda: echo.call(Echo.echo, 1))
        echo.stop()
    return each


class Ping(Actor):
    """Bounces a message with another, as often as it is told."""

    async def run(self) -> None:
        other, count = await self.receive()
        me = self.ref
        for _ in range(count):
            other.send_nowait(me)
            await self.receive()


class Pong(Actor):
    """Sends back whatever comes, to whoever it names."""

    async def run(self) -> None:
        while True:
            sender = await self.receive()
            sender.send_nowait(None)


async def hop() -> float:
    """One way: a message from one actor's task to another's."""
    async with trio.open_nursery() as nursery:
        ping, pong = await start(nursery, Ping), await start(nursery, Pong)
        began = time.perf_counter()
        ping.send_nowait((pong, COUNT))
        await ping.wait()
        each = (time.perf_counter() - began) / COUNT * 1e6 / 2
        pong.stop()
    return each


async def started_task() -> float:
    """`nursery.start` of an empty task in a scope of its own."""

    async def empty(task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope():  # noqa: ASYNC100, its cost is what is measured
            task_status.started()

    async with trio.open_nursery() as nursery:
        return await timed(lambda: nursery.start(empty), COUNT // 5)


async def started_child() -> float:
    """A supervisor starting with one child, less one without, and the child's end."""
    name = Name("short", Short)
    with_child = Supervision([Child(Short, name=name, restart=Restart.TEMPORARY)])

    async def one(flags: Supervision) -> None:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, flags)
            await trio.lowlevel.checkpoint()
            top.stop()

    full = await timed(lambda: one(with_child), COUNT // 10)
    return full - await timed(lambda: one(Supervision()), COUNT // 10)


async def _rounds(rounds: int) -> None:
    found = [
        (
            await parked_pair(),
            await hop(),
            await call(),
            await started_task(),
            await started_child(),
        )
        for _ in range(rounds)
    ]
    medians = (statistics.median(column) for column in zip(*found, strict=True))
    pair, hopped, asked, task, child = medians
    print("\nactors and supervisors, against bare trio")
    for name, value, bar in (
        (f"call round trip {asked:.1f} us, parked pair {pair:.1f} us", asked / pair, 2.0),
        (f"start and join {child:.1f} us, nursery.start {task:.1f} us", child / task, 2.5),
    ):
        print(f"  {name:50} {value:5.2f}  bar {bar:.2f}: {'met' if value <= bar else 'MISSED'}")
    bare = pair / 2
    print(f"  one hop between actors {hopped:.1f} us, between bare tasks {bare:.1f} us")


def measure_actors(rounds: int) -> None:
    """Measure and print."""
    trio.run(_rounds, rounds)
