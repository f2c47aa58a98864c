"""Bare trio: the lower bound of the three operations, without actors.

    call     two tasks that park and wake each other: the minimum of a round trip
    cast     a memory channel of 1,000, and a task that reads it
    start    `nursery.start` of a task in its own cancel scope, then cancelled

There is no mailbox, reply, name or error handling. This is a bound to compare with, not a way to
write a program.
"""

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from .measure import each, read_counts, tell

CAPACITY = 1000


def _abort(_: object) -> Abort:
    return Abort.SUCCEEDED


async def call(warmup: int, count: int) -> float:
    """Return microseconds per round trip between two parked tasks."""
    ping: Task = current_task()

    async def pong(task_status: trio.TaskStatus[Task]) -> None:
        task_status.started(current_task())
        while True:
            await wait_task_rescheduled(_abort)
            reschedule(ping)

    async with trio.open_nursery() as nursery:
        parked = await nursery.start(pong)

        async def loop(times: int) -> None:
            for _ in range(times):
                reschedule(parked)
                await wait_task_rescheduled(_abort)

        taken = await each(loop, warmup, count)
        nursery.cancel_scope.cancel()
    return taken


async def cast(warmup: int, count: int) -> float:
    """Return microseconds per value through a memory channel."""
    send, receive = trio.open_memory_channel[object](CAPACITY)

    async def read() -> None:
        async for value in receive:
            if isinstance(value, trio.Event):
                value.set()

    async with trio.open_nursery() as nursery, send:
        nursery.start_soon(read)

        async def loop(times: int) -> None:
            for number in range(times):
                await send.send(number)
            last = trio.Event()
            await send.send(last)
            await last.wait()

        return await each(loop, warmup, count)


async def start(warmup: int, count: int) -> float:
    """Return microseconds per task started and cancelled."""

    async def child(task_status: trio.TaskStatus[tuple[trio.CancelScope, trio.Event]]) -> None:
        ended = trio.Event()
        with trio.CancelScope() as scope:
            task_status.started((scope, ended))
            await trio.sleep_forever()
        ended.set()

    async with trio.open_nursery() as nursery:

        async def loop(times: int) -> None:
            for _ in range(times):
                scope, ended = await nursery.start(child)
                scope.cancel()
                await ended.wait()

        return await each(loop, warmup, count)


async def main() -> None:
    told = read_counts()
    tell(
        await call(told.warmup, told.calls),
        await cast(told.warmup, told.casts),
        await start(told.warmup, told.starts),
        "trio",
    )


if __name__ == "__main__":
    trio.run(main)
