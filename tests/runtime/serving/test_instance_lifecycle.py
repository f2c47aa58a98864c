"""Instances that a task of their own ends before any event is theirs: how soon another follows."""

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


class Vain(Player):
    """Has a task that crashes at once; or, if it is to, with the event that it is given."""

    serves: ClassVar[bool] = False
    cancels: ClassVar[bool] = False
    began: ClassVar[list[float]] = []

    async def init(self) -> None:
        await super().init()
        Vain.began.append(trio.current_time())
        # Without pauses no other task's time would ever come.
        assert len(Vain.began) < 100, "they spin"
        if not Vain.serves:
            self.nursery.start_soon(self._cancel if Vain.cancels else self._crash)

    async def _cancel(self) -> None:
        await trio.lowlevel.checkpoint()
        self.nursery.cancel_scope.cancel()

    async def handle(self, event: Event, context: Context) -> object:
        self.nursery.start_soon(self._crash)
        return self.number


@pytest.fixture(autouse=True)
def anew() -> None:
    Vain.serves = Vain.cancels = False
    Vain.began = []


def pauses() -> list[float]:
    return [after - before for before, after in pairwise(Vain.began)]


async def in_a_pause(nursery: trio.Nursery) -> Bench:
    """A worker that will be in its longest pause for a while."""
    stage = await bench(nursery, Vain, stateful=True)
    await trio.sleep(sum(PAUSES) + PAUSES[-1] / 10)
    return stage


async def served(stage: Bench) -> object:
    """Have it serve an event, given out as the dispatcher does it."""
    made = stage.lane.delivery = delivery(b"{}")
    assert made.assign(stage.worker)
    stage.ledger.ready[stage.worker] = made
    stage.worker.send_nowait((stage.lane, made))
    await wait_all_tasks_blocked()
    return answer(made)


def doing(worker: Ref[Worker]) -> str:
    actor = worker.process().actor
    assert isinstance(actor, Worker)
    return actor.doing


@pytest.mark.parametrize("cancels", [False, True])
async def test_those_that_end_one_after_the_other_are_made_with_pauses_that_grow(
    cancels: bool, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    Vain.cancels = cancels
    stage = await bench(nursery, Vain, stateful=True)
    await trio.sleep(10)

    assert pauses()[: len(PAUSES) + 2] == pytest.approx([*PAUSES, PAUSES[-1], PAUSES[-1]])
    assert len(Vain.began) < 10 / PAUSES[-1] + len(PAUSES)
    assert LOG[:3] == ["init 1", "task of 1 ends", "terminate 1 crashed"]
    assert stage.worker.alive


async def test_one_that_had_an_event_is_followed_at_once_and_they_are_counted_anew(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    Vain.serves = True
    await trio.sleep(PAUSES[-1])
    Vain.began.clear()
    for _ in range(5):
        await served(stage)
    assert pauses() == [0] * 4

    Vain.serves = False
    await served(stage)
    await trio.sleep(10)
    assert pauses()[4 : 5 + len(PAUSES)] == pytest.approx([0, *PAUSES])


async def test_an_event_that_comes_in_a_pause_is_served_behind_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    assert stage.worker not in stage.ledger.ready
    assert doing(stage.worker).startswith("waiting to create the next instance")

    Vain.serves = True
    await trio.sleep(PAUSES[-1])
    assert stage.worker in stage.ledger.ready
    assert await served(stage) == Player.made - 1


async def test_a_pause_does_not_hold_the_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await in_a_pause(nursery)
    before = trio.current_time()

    stage.worker.stop()
    await stage.worker.wait()
    assert trio.current_time() == before
