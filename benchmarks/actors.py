"""Actors and supervisors, compared with bare trio in this process.

The bars apply to these rows: okibi and bare trio take turns on the same loop. `peers.table`
compares okibi with its peers, each in its own process.
"""

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import attrs
import trio

from okibi.actors import Actor, Name, Server, StateMachine, start
from okibi.supervisors import Child, Restart, SupervisorSpec, supervise

from .peers import bare_trio, okibi_server
from .peers.measure import each
from .reporting.rows import LAPS, NO_BARS, Bars, RatioRow, compare

A = TypeVar("A", bound=Server)

WARMUP = 200
# Per lap.
COUNT = 1000
# Short enough that the machine does not change meanwhile, long enough to include garbage
# collection.
TURN = 25


class Short(Actor):
    """Ends at once."""

    async def run(self) -> None:
        return


async def timed(work: Callable[[], Awaitable[object]], count: int) -> float:
    """Return microseconds per call of `work`."""
    began = time.perf_counter()
    for _ in range(count):
        await work()
    return (time.perf_counter() - began) / count * 1e6


class Ping(Actor):
    """Exchanges messages with another actor, a given number of times."""

    async def run(self) -> None:
        other, count = await self.receive()
        me = self.ref
        for _ in range(count):
            other.send_nowait(me)
            await self.receive()


class Pong(Actor):
    """Answers each message to the actor that the message names."""

    async def run(self) -> None:
        while True:
            sender = await self.receive()
            sender.send_nowait(None)


async def hop() -> float:
    """Measure one way of a message between the tasks of two actors."""
    async with trio.open_nursery() as nursery:
        ping, pong = await start(nursery, Ping), await start(nursery, Pong)
        began = time.perf_counter()
        ping.send_nowait((pong, COUNT))
        await ping.wait()
        each = (time.perf_counter() - began) / COUNT * 1e6 / 2
        pong.stop()
    return each


async def call_between() -> float:
    """Measure a call and its reply between two actors."""
    found = list[float]()

    class Caller(Actor):
        async def run(self) -> None:
            found.append(await okibi_server.call(WARMUP, COUNT))

    async with trio.open_nursery() as nursery:
        await start(nursery, Caller)
    return found[0]


class EchoMachine(StateMachine[str]):
    """The server of `okibi_server.call` as a state machine."""

    initial = "up"

    async def echo(self, value: int) -> int:
        return value


async def call_of(make: Callable[[], A], method: Callable[[A, int], Awaitable[int]]) -> float:
    """Measure a call of a server and its reply."""
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, make)

        async def loop(times: int) -> None:
            for number in range(times):
                await echo.call(method, number)

        taken = await each(loop, WARMUP, COUNT)
        echo.stop()
    return taken


class EchoOnAsyncio(Server, loop="asyncio"):
    """The server of `okibi_server.call`, on asyncio."""

    async def echo(self, value: int) -> int:
        return value


def _tell(token: trio.lowlevel.TrioToken, tell: Callable[[], None], _: object) -> None:
    token.run_sync_soon(tell)


@attrs.define(eq=False)
class EchoInThread(Server):
    """The server of `okibi_server.call`, with its method on an asyncio loop in another thread."""

    loop: asyncio.AbstractEventLoop

    async def echo(self, value: int) -> int:
        token, answered = trio.lowlevel.current_trio_token(), trio.Event()
        future = asyncio.run_coroutine_threadsafe(_echo(value), self.loop)
        future.add_done_callback(partial(_tell, token, answered.set))
        await answered.wait()
        return future.result()


async def _echo(value: int) -> int:
    return value


async def call_of_second_thread() -> float:
    """Measure a call of an actor that has its method run on asyncio in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    taken = await call_of(lambda: EchoInThread(loop), EchoInThread.echo)
    loop.call_soon_threadsafe(loop.stop)
    await trio.to_thread.run_sync(thread.join)
    loop.close()
    return taken


async def started_task() -> float:
    """Measure `nursery.start` of an empty task in its own scope, in turns as short as a child's."""

    async def empty(task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope():  # noqa: ASYNC100, its cost is what is measured
            task_status.started()

    async with trio.open_nursery() as nursery:
        return statistics.median(
            [await timed(lambda: nursery.start(empty), TURN) for _ in range(COUNT // 5 // TURN)]
        )


async def started_child() -> float:
    """Measure the start and end of a supervisor with one child, minus one without.

    The difference of two long loops is noise on a busy machine. Therefore short loops take turns,
    and the median of their differences counts.
    """
    name = Name("short", Short)
    with_child = SupervisorSpec([Child(Short, name=name, restart=Restart.TEMPORARY)])

    async def one(flags: SupervisorSpec) -> None:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, flags)
            await trio.lowlevel.checkpoint()
            top.stop()

    return statistics.median(
        [
            await timed(lambda: one(with_child), TURN)
            - await timed(lambda: one(SupervisorSpec()), TURN)
            for _ in range(COUNT // 5 // TURN)
        ]
    )


@attrs.frozen
class ActorsLap:
    """The figures of one lap, in microseconds."""

    pair: float
    channel: float
    task: float
    call: float
    between: float
    machine: float
    cast: float
    hop: float
    child: float


ROWS: tuple[tuple[str, str, Bars, Callable[[ActorsLap], tuple[float, float]]], ...] = (
    ("call", "parked pair", (1.7, 1.5), lambda r: (r.call, r.pair)),
    ("call between actors", "parked pair", (1.7, 1.5), lambda r: (r.between, r.pair)),
    ("call of a state machine", "of a server", (1.3, 1.15), lambda r: (r.machine, r.call)),
    ("cast", "memory channel", NO_BARS, lambda r: (r.cast, r.channel)),
    ("hop", "between bare tasks", NO_BARS, lambda r: (r.hop, r.pair / 2)),
    ("start and join", "nursery.start", (2.0, 1.6), lambda r: (r.child, r.task)),
)


async def _lap() -> ActorsLap:
    return ActorsLap(
        pair=await bare_trio.call(WARMUP, COUNT),
        call=await okibi_server.call(WARMUP, COUNT),
        between=await call_between(),
        machine=await call_of(EchoMachine, EchoMachine.echo),
        channel=await bare_trio.cast(WARMUP, COUNT),
        cast=await okibi_server.cast(WARMUP, COUNT),
        hop=await hop(),
        task=await started_task(),
        child=await started_child(),
    )


@attrs.frozen
class AsyncioLap:
    """The figures of a run of trio with an asyncio loop, in microseconds."""

    call: float
    on_asyncio: float
    in_thread: float


ASYNCIO_ROWS: tuple[tuple[str, str, Bars, Callable[[AsyncioLap], tuple[float, float]]], ...] = (
    ("call of an actor on asyncio", "on trio", (2.5, 2.0), lambda r: (r.on_asyncio, r.call)),
    ("the same", "asyncio in a thread", (0.4, 0.3), lambda r: (r.on_asyncio, r.in_thread)),
)


async def _asyncio_lap() -> AsyncioLap:
    return AsyncioLap(
        on_asyncio=await call_of(EchoOnAsyncio, EchoOnAsyncio.echo),
        call=await okibi_server.call(WARMUP, COUNT),
        in_thread=await call_of_second_thread(),
    )


def rows_of(laps: list[ActorsLap], with_asyncio: list[AsyncioLap]) -> list[RatioRow]:
    """Build the rows."""
    made: list[RatioRow] = []
    for name, bare, bars, figure in ROWS:
        pair = [*zip(*map(figure, laps), strict=True)]
        made.append(compare("actors", f"{name} / {bare}", pair, "us", bars, laps=True))
    for name, bare, bars, figures in ASYNCIO_ROWS:
        pair = [*zip(*map(figures, with_asyncio), strict=True)]
        made.append(compare("actors", f"{name} / {bare}", pair, "us", bars, laps=True))
    return made


async def _laps(count: int) -> list[ActorsLap]:
    return [await _lap() for _ in range(count)]


async def _asyncio_laps(count: int) -> list[AsyncioLap]:
    return [await _asyncio_lap() for _ in range(count)]


def measure_actors(rounds: int) -> list[RatioRow]:
    """Measure and return the rows."""
    print("\nactors and supervisors, against bare trio")
    count = rounds * LAPS
    return rows_of(trio.run(_laps, count), trio.run(_asyncio_laps, count))
