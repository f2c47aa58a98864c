"""How long one that was asked to end may take: by whom, and by how many, it was asked."""

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import KILLED, SHUTDOWN, Exit, ExitReason, Ref, Server, WhenStopped, start, stop


class Slow(Server):
    """Takes a hundred seconds to clean up."""

    async def leave(self) -> None:
        raise Exit

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(100)


class Drains(Slow):
    when_stopped = WhenStopped.DRAIN

    async def work(self) -> None:
        await trio.sleep(10)


@pytest.mark.parametrize("kind", [Slow, Drains])
async def test_one_that_is_asked_without_a_limit_has_all_the_time_it_needs(
    nursery: trio.Nursery, autojump_clock: MockClock, kind: type[Slow]
) -> None:
    """OTP: `gen_server:stop/3` with infinity"""
    slow = await start(nursery, kind, grace=5)

    assert await stop(slow, grace=math.inf) is SHUTDOWN
    assert trio.current_time() == 100


@pytest.mark.parametrize("first", [2.0, 30.0, 1000.0, math.inf])
@pytest.mark.parametrize("second", [2.0, 30.0, 1000.0, math.inf, None])
async def test_of_several_graces_the_first_that_is_over_ends_it(
    nursery: trio.Nursery, autojump_clock: MockClock, first: float, second: float | None
) -> None:
    slow = await start(nursery, Slow, grace=5)
    slow.stop(grace=first)
    await trio.sleep(1)

    reason = await stop(slow, grace=second)

    until = min(first, 1 + (5 if second is None else second), 100)
    assert (reason, trio.current_time()) == (SHUTDOWN if until == 100 else KILLED, until)


async def test_one_that_cleans_up_after_its_own_end_is_hurried_by_who_asks_it_to_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = await start(nursery, Slow, grace=50)
    await slow.cast(Slow.leave)
    await wait_all_tasks_blocked()

    assert await stop(slow, grace=1) is KILLED
    assert trio.current_time() == 1


async def test_one_that_drains_is_hurried_by_who_asks_it_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    drains: Ref[Drains] = await start(nursery, Drains)
    for _ in range(3):
        await drains.cast(Drains.work)
    drains.stop(grace=math.inf)

    assert await stop(drains, grace=15) is KILLED
    assert trio.current_time() == 15
