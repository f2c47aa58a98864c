"""Graces: how long an actor may take to end, after one stop request and after several."""

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import KILLED, SHUTDOWN, Exit, ExitReason, Ref, Server, WhenStopped, start, stop


class Slow(Server):
    """Takes 100 seconds to clean up."""

    async def leave(self) -> None:
        raise Exit

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(100)


class Drains(Slow):
    when_stopped = WhenStopped.DRAIN

    async def work(self) -> None:
        await trio.sleep(10)


@pytest.mark.parametrize("kind", [Slow, Drains])
async def test_an_infinite_grace_of_stop_replaces_the_actors_own_grace(
    nursery: trio.Nursery, autojump_clock: MockClock, kind: type[Slow]
) -> None:
    """OTP: `gen_server:stop/3` with infinity."""
    slow = await start(nursery, kind, grace=5)

    assert await stop(slow, grace=math.inf) is SHUTDOWN
    assert trio.current_time() == 100


@pytest.mark.parametrize("first", [2.0, 30.0, 1000.0, math.inf])
@pytest.mark.parametrize("second", [2.0, 30.0, 1000.0, math.inf, None])
async def test_the_earliest_end_of_several_graces_kills_the_actor(
    nursery: trio.Nursery, autojump_clock: MockClock, first: float, second: float | None
) -> None:
    slow = await start(nursery, Slow, grace=5)
    slow.stop(grace=first)
    await trio.sleep(1)

    reason = await stop(slow, grace=second)

    until = min(first, 1 + (5 if second is None else second), 100)
    assert (reason, trio.current_time()) == (SHUTDOWN if until == 100 else KILLED, until)


async def test_a_stop_shortens_a_running_terminate(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = await start(nursery, Slow, grace=50)
    await slow.cast(Slow.leave)
    await wait_all_tasks_blocked()

    assert await stop(slow, grace=1) is KILLED
    assert trio.current_time() == 1


async def test_a_second_stop_shortens_the_grace_of_a_draining_actor(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    drains: Ref[Drains] = await start(nursery, Drains)
    for _ in range(3):
        await drains.cast(Drains.work)
    drains.stop(grace=math.inf)

    assert await stop(drains, grace=15) is KILLED
    assert trio.current_time() == 15
