"""Bare trio: what the three cost at least, with nothing of an actor left.

    call     two tasks that only park and wake each other: the physical limit of a round trip
    cast     a memory channel with room for 1,000, and a task that reads it
    start    `nursery.start` of a task in a cancel scope of its own, which is then cancelled

Its limits: no mailbox, no reply slot, no name, no failure that anybody would hear of. It is a
floor to measure against and not a way to write a program.
"""

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from .measure import counts, each, tell

CAPACITY = 1000


def _abort(_: object) -> Abort:
    return Abort.SUCCEEDED


async def call(warmup: int, count: int) -> float:
    """A round trip between two parked tasks, in microseconds."""
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
    """A value through a memory channel, in microseconds."""
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
    """A task started and cancelled, in microseconds."""

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
    told = counts()
    tell(
        await call(told.warmup, told.calls),
        await cast(told.warmup, told.casts),
        await start(told.warmup, told.starts),
        "trio",
    )


if __name__ == "__main__":
    trio.run(main)
