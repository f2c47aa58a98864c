"""Sandboxes of one test that call the same entities."""

from functools import partial

import attrs
import pytest
import trio

from okibi.entities import Entities, Entity
from okibi.entities.calls import LEASE
from okibi.testing import SandboxKilled, entity_world, virtual_time


@attrs.define(eq=False)
class Tally(Entity):
    count: int = 0

    async def add(self, seconds: float = 0) -> int:
        await trio.sleep(seconds)
        self.count += 1
        return self.count

    async def add_later(self) -> None:
        self.send_after(60, Tally.add)


TALLIES = Entities("world tally", Tally)
add = partial(TALLIES["a"].call, Tally.add)


@virtual_time
async def test_sandboxes_share_their_entities_and_a_freeze_delays_no_other() -> None:
    async with entity_world() as world, trio.open_nursery() as nursery:
        first, second = world.sandbox(), world.sandbox(skew=3)
        assert await first.run(add) == 1
        nursery.start_soon(first.run, add)
        await trio.sleep(0.012)
        world.freeze(first, 30)
        assert await second.run(add) == 2
        assert trio.current_time() < 1
    # The frozen one has run again after its thaw.
    assert trio.current_time() == pytest.approx(30, abs=1)
    assert '"count":3' in world.store.rows["world tally/a"].state


@virtual_time
async def test_another_sandbox_takes_over_from_a_killed_one() -> None:
    async with entity_world() as world, trio.open_nursery() as nursery:
        first, second, third = (world.sandbox() for _ in range(3))
        nursery.start_soon(second.run, partial(add, 3))
        await trio.sleep(0.1)

        async def be_killed() -> None:
            with pytest.raises(SandboxKilled):
                await first.run(partial(add, 3))

        nursery.start_soon(be_killed)
        await trio.sleep(4)
        world.kill(first)
        assert await third.run(add) == 3
        assert trio.current_time() == pytest.approx(3 + LEASE / 1000 + 4, abs=2)
        with pytest.raises(SandboxKilled):
            await first.run(add)


@virtual_time
async def test_a_lost_answer_changes_nothing_twice() -> None:
    async with entity_world() as world:
        sandbox = world.sandbox()
        for count in (1, 2, 3):
            world.lose_answers(sandbox, count)
            assert await sandbox.run(add) == count


@virtual_time
async def test_alarms_ring_in_a_sandbox_of_their_own() -> None:
    async with entity_world() as world:
        sandbox = world.sandbox()
        await sandbox.run(TALLIES["a"].call, Tally.add_later)
        world.kill(sandbox)
        await trio.sleep(61)
        assert await world.sandbox().run(add) == 2
