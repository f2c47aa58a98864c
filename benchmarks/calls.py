"""A call to a server that has calls in flight, compared with a call to a server without.

   beside    Tasks beside the server's loop make the calls, as in a gateway. The server answers:
             measured is a call with its reply.
   behind    A method of the server makes the calls in a nursery and holds the loop. The server does
             not answer: measured is a call that its caller gives up.

Another actor waits for the caller, so each call could close a cycle of waits.
"""

import gc
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, MailboxPolicy, Ref, Server, start

from .reporting.rows import LAPS, RatioRow, compare

BESIDE = (100, 1_000, 20_000)
BEHIND = 20_000
BAR, GOAL = 1.5, 1.2
# Per lap and server.
WARMUP, COUNT = 20, 200
# Seconds until a call is given up: at trio's next look at the clock.
AT_ONCE = 1e-6


class Silent(Server):
    """Never answers."""

    mailbox = MailboxPolicy(2 * BEHIND + sum(BESIDE))

    async def ask(self) -> None:
        await trio.sleep_forever()


@attrs.define(eq=False)
class Gateway(Server):
    """Has calls to the silent server in flight."""

    mailbox = MailboxPolicy(1_000_000)
    silent: Ref[Silent]
    beside: int

    async def answer(self, value: int) -> int:
        return value

    async def scatter(self, count: int) -> None:
        async with trio.open_nursery() as nursery:
            self._ask(nursery, count)
            await trio.sleep_forever()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._ask(nursery, self.beside)
            await super().run()

    def _ask(self, nursery: trio.Nursery, count: int) -> None:
        for _ in range(count):
            nursery.start_soon(self.silent.call, Silent.ask)


@attrs.frozen
class CallsLap:
    """The figures of one lap, in microseconds, by the number of calls in flight."""

    beside: dict[int, float]
    behind: dict[int, float]


@attrs.define(eq=False)
class MeasuringServer(Server):
    """Makes the measured calls while another actor waits for it."""

    beside: dict[int, Ref[Gateway]]
    behind: dict[int, Ref[Gateway]]

    async def laps(self, count: int) -> list[CallsLap]:
        return [await self._lap() for _ in range(count)]

    async def _lap(self) -> CallsLap:
        return CallsLap(
            {n: await each(partial(answered, ref)) for n, ref in self.beside.items()},
            {n: await each(partial(given_up, ref)) for n, ref in self.behind.items()},
        )


async def each(loop: Callable[[int], Awaitable[None]]) -> float:
    """Return microseconds of CPU time per call. Wall time of so short a lap would be a
    neighbour's.
    """
    await loop(WARMUP)
    began = time.process_time()
    await loop(COUNT)
    return (time.process_time() - began) / COUNT * 1e6


async def answered(ref: Ref[Gateway], times: int) -> None:
    for number in range(times):
        await ref.call(Gateway.answer, number)


async def given_up(ref: Ref[Gateway], times: int) -> None:
    for number in range(times):
        with trio.move_on_after(AT_ONCE):
            await ref.call(Gateway.answer, number)


@attrs.define(eq=False)
class MeasurementClient(Actor):
    """Waits for `MeasuringServer`."""

    asking: Ref[MeasuringServer]
    laps: int
    found: Callable[[list[CallsLap]], None]

    async def run(self) -> None:
        self.found(await self.asking.call(MeasuringServer.laps, self.laps))


async def measure(
    laps: int, beside: tuple[int, ...] = BESIDE, behind: int = BEHIND
) -> list[CallsLap]:
    """Measure laps over the same servers."""
    found: list[CallsLap] = []
    async with trio.open_nursery() as nursery:
        silent = await start(nursery, Silent)

        async def gateway(count: int) -> Ref[Gateway]:
            return await start(nursery, partial(Gateway, silent, count))

        busy = {count: await gateway(count) for count in (0, *beside)}
        held = {count: await gateway(0) for count in (0, behind)}
        for count, ref in held.items():
            await ref.cast(Gateway.scatter, count)
        await wait_all_tasks_blocked()
        with not_collected():
            asking = await start(nursery, partial(MeasuringServer, busy, held))
            await (
                await start(nursery, partial(MeasurementClient, asking, laps, found.extend))
            ).wait()
        nursery.cancel_scope.cancel()
    return found


@contextmanager
def not_collected() -> Generator[None]:
    """Keep the garbage collector from traversing all waiting calls again and again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def rows_of(laps: list[CallsLap]) -> list[RatioRow]:
    """Build a row for each number of calls in flight."""
    found = {
        f"beside {count:,} in flight / alone": [(lap.beside[count], lap.beside[0]) for lap in laps]
        for count in laps[0].beside
        if count
    }
    for count in laps[0].behind:
        if count:
            name = f"behind {count:,} that hold the loop / none"
            found[name] = [(lap.behind[count], lap.behind[0]) for lap in laps]
    return [
        compare("calls", name, [*zip(*pairs, strict=True)], "us", (BAR, GOAL), laps=True)
        for name, pairs in found.items()
    ]


def measure_calls(rounds: int) -> list[RatioRow]:
    """Measure and return the rows."""
    print("\na call to a server that has calls in flight")
    return rows_of(trio.run(measure, rounds * LAPS))
