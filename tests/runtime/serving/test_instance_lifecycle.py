"""The pauses between instances whose background task crashes before their first event."""

from itertools import pairwise
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Ref
from okibi.runtime.handlers.context import Context
from okibi.runtime.serving.instance_lifecycle import PAUSES
from okibi.runtime.serving.worker import Worker
from tests.support.doubles import delivery
from tests.support.worker_bench import LOG, Bench, Event, Player, answer, bench, fresh

pytestmark = pytest.mark.usefixtures(fresh.__name__)


class Crashing(Player):
    """Its background task crashes: at once, or with its first event if `serves`."""

    serves: ClassVar[bool] = False
    cancels: ClassVar[bool] = False
    began: ClassVar[list[float]] = []

    async def init(self) -> None:
        await super().init()
        Crashing.began.append(trio.current_time())
        # Without pauses this would loop for ever.
        assert len(Crashing.began) < 100, "instances are replaced without a pause"
        if not Crashing.serves:
            self.nursery.start_soon(self._cancel if Crashing.cancels else self._crash)

    async def _cancel(self) -> None:
        await trio.lowlevel.checkpoint()
        self.nursery.cancel_scope.cancel()

    async def handle(self, event: Event, context: Context) -> object:
        self.nursery.start_soon(self._crash)
        return self.number


@pytest.fixture(autouse=True)
def reset_crashing() -> None:
    Crashing.serves = Crashing.cancels = False
    Crashing.began = []


def pauses() -> list[float]:
    return [after - before for before, after in pairwise(Crashing.began)]


async def in_a_pause(nursery: trio.Nursery) -> Bench:
    """A worker at the beginning of its longest pause."""
    stage = await bench(nursery, Crashing, stateful=True)
    await trio.sleep(sum(PAUSES) + PAUSES[-1] / 10)
    return stage


async def served(stage: Bench) -> object:
    """Have the worker serve an event, assigned as the dispatcher does."""
    assigned = stage.lane.delivery = delivery(b"{}")
    assert assigned.assign(stage.worker)
    stage.ledger.ready[stage.worker] = assigned
    stage.worker.send_nowait((stage.lane, assigned))
    await wait_all_tasks_blocked()
    return answer(assigned)


def doing(worker: Ref[Worker]) -> str:
    actor = worker.process().actor
    assert isinstance(actor, Worker)
    return actor.doing


@pytest.mark.parametrize("cancels", [False, True])
async def test_instances_that_crash_unused_are_replaced_with_growing_pauses(
    cancels: bool, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    Crashing.cancels = cancels
    stage = await bench(nursery, Crashing, stateful=True)
    await trio.sleep(10)

    assert pauses()[: len(PAUSES) + 2] == pytest.approx([*PAUSES, PAUSES[-1], PAUSES[-1]])
    assert len(Crashing.began) < 10 / PAUSES[-1] + len(PAUSES)
    assert LOG[:3] == ["init 1", "task of 1 ends", "terminate 1 crashed"]
    assert stage.worker.alive


async def test_an_instance_with_an_event_resets_the_pauses(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    Crashing.serves = True
    await trio.sleep(PAUSES[-1])
    Crashing.began.clear()
    for _ in range(5):
        await served(stage)
    assert pauses() == [0] * 4

    Crashing.serves = False
    await served(stage)
    await trio.sleep(10)
    assert pauses()[4 : 5 + len(PAUSES)] == pytest.approx([0, *PAUSES])


async def test_an_event_during_a_pause_is_served_after_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    assert stage.worker not in stage.ledger.ready
    assert doing(stage.worker).startswith("waiting to create the next instance")

    Crashing.serves = True
    await trio.sleep(PAUSES[-1])
    assert stage.worker in stage.ledger.ready
    assert await served(stage) == Player.made - 1


async def test_a_pause_does_not_delay_the_stop(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    before = trio.current_time()

    stage.worker.stop()
    await stage.worker.wait()
    assert trio.current_time() == before
