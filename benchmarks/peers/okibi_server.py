"""okibi: a Server called by another actor; children of a DynamicSupervisor.

A start is a call to the supervisor, which waits for the child's `init`. A stop is another call,
which waits for the child's end. As in trio, everything runs on one core.
"""

import trio

from okibi.actors import Actor, start

from ..pool import Echo, open_pool
from .measure import OperationCounts, each, read_counts, tell


class CallingActor(Actor):
    """The calling actor."""

    def __init__(self, told: OperationCounts) -> None:
        self.told = told

    async def run(self) -> None:
        told = self.told
        tell(
            await call(told.warmup, told.calls),
            await cast(told.warmup, told.casts),
            await start_and_stop(told.warmup, told.starts),
            "okibi",
            "trio",
        )


async def call(warmup: int, count: int) -> float:
    """Return microseconds per call with its reply."""
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, Echo)

        async def loop(times: int) -> None:
            for number in range(times):
                await echo.call(Echo.echo, number)

        taken = await each(loop, warmup, count)
        echo.stop()
    return taken


async def cast(warmup: int, count: int) -> float:
    """Return microseconds per cast, sent and handled."""
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, Echo)

        async def loop(times: int) -> None:
            for number in range(times):
                await echo.cast(Echo.note, number)
            await echo.call(Echo.echo, 0)

        taken = await each(loop, warmup, count)
        echo.stop()
    return taken


async def start_and_stop(warmup: int, count: int) -> float:
    """Return microseconds per child started and stopped."""
    async with open_pool() as pool:

        async def loop(times: int) -> None:
            for _ in range(times):
                await pool.terminate_child(await pool.start_child())

        return await each(loop, warmup, count)


async def main() -> None:
    told = read_counts()
    async with trio.open_nursery() as nursery:
        await start(nursery, lambda: CallingActor(told), path="/asking")


if __name__ == "__main__":
    trio.run(main)
