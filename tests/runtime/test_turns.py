"""Where a turn is given on an event's way, and where it is not."""

import time
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Actor, start
from runtime.delivery import Delivery, Outcome, State
from runtime.dispatcher import Dispatcher
from runtime.handler import Awaited, event_type
from runtime.lane import ANSWER_LIMIT, Lane
from runtime.ledger import ABANDON_LIMIT, DISPATCHER, give_turn
from runtime.marshal import decoder_for
from runtime.worker import Worker
from tests.runtime.played import NEXT, event, world
from tests.runtime.player import Player
from tests.runtime.stage import SETTINGS, delivery, ledger_of


class Inbox(Actor):
    """A worker that takes no notice of its mail."""

    async def run(self) -> None:
        while True:
            await self.receive()


async def test_an_event_is_with_a_worker_when_the_step_that_has_read_it_ends(
    nursery: trio.Nursery,
) -> None:
    ledger = ledger_of()
    await start(nursery, partial(Dispatcher, ledger), name=DISPATCHER)
    ledger.worker_ready(await start(nursery, Inbox))
    await wait_all_tasks_blocked()
    made = ledger.lanes[0].delivery = delivery()
    ledger.received(ledger.lanes[0], made)

    assert made.state is State.ASSIGNED


async def test_an_answer_is_out_when_the_step_that_has_settled_it_ends() -> None:
    async with world() as stage:
        await stage.say(event())
        stage.wire.taken()
        assert stage.delivery.settle(Outcome(b"1"))
        stage.ledger.settled(stage.lane, at_once=True)

        assert stage.wire.taken().endswith(NEXT)


@pytest.mark.parametrize(
    ("length", "sets_off", "at_once"),
    [(20, False, True), (ANSWER_LIMIT + 1, False, False), (20, True, False)],
)
async def test_a_worker_s_answer_is_out_when_it_goes_on_if_it_is_whole_and_nothing_comes_first(
    length: int, sets_off: bool, at_once: bool
) -> None:
    out: list[bool] = []

    async def handler(event: object, context: object) -> str:
        if sets_off:
            other.kill()
        return "x" * length

    async with world() as stage:
        other = await start(stage.nursery, Inbox)

        class Looks(Worker):
            def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
                super()._settle(lane, delivery, outcome)
                out.append(stage.wire.taken().startswith(b"POST "))

        make = partial(Awaited, handler)
        factory = partial(Looks, stage.ledger, SETTINGS, make, decoder_for(Any), False)
        await start(stage.nursery, factory)
        await start(stage.nursery, partial(Dispatcher, stage.ledger), name=DISPATCHER)
        await wait_all_tasks_blocked()
        stage.wire.taken()
        await stage.say(event())

        assert out == [at_once]
        assert stage.delivery.state is State.STAGED


async def test_what_the_dispatcher_answers_goes_out_when_all_is_done_about_it(
    autojump_clock: MockClock,
) -> None:
    async with world() as stage:

        def fail(why: str) -> None:
            # No event is asked for by a process that is to end.
            stage.failures.append(why)
            stage.lane.closing = True
            assert stage.wire.taken() == b""

        stage.ledger.fail = fail
        for _ in range(ABANDON_LIMIT):
            stage.ledger.abandon("a thread", lambda: True)
        worker = await start(stage.nursery, Inbox)
        stage.ledger.worker_ready(worker)
        await start(stage.nursery, partial(Dispatcher, stage.ledger), name=DISPATCHER)
        due = int((time.time() + 1) * 1000)
        await stage.say(event(head=b"Lambda-Runtime-Deadline-Ms: %d\r\n" % due))
        assert stage.delivery.begin(worker)
        stage.wire.taken()
        await trio.sleep(0.96)
        assert give_turn(stage.ledger.dispatcher, None)

        assert stage.failures
        await wait_all_tasks_blocked()
        said = stage.wire.taken()
        assert b"/error HTTP" in said
        assert not said.endswith(NEXT)


async def test_what_a_worker_that_is_stopped_has_not_begun_goes_to_another(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Player):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(5)

    ledger = ledger_of()
    factory = partial(Worker, ledger, SETTINGS, Slow, decoder_for(event_type(Player)), True)
    first, second = [await start(nursery, factory, grace=10) for _ in range(2)]
    await start(nursery, partial(Dispatcher, ledger), name=DISPATCHER)
    made = ledger.lanes[0].delivery = delivery()
    assert made.assign(first)
    first.stop()
    await trio.sleep(1)

    assert first.reason is not None
    assert made.worker == second
    assert not made.unsettled


async def test_what_waits_is_not_given_to_an_instance_that_has_crashed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Crashes(Player):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(0.5)

    ledger = ledger_of(2)
    decoder = decoder_for(event_type(Player))
    worker = await start(nursery, partial(Worker, ledger, SETTINGS, Crashes, decoder, True))
    await start(nursery, partial(Dispatcher, ledger), name=DISPATCHER)
    await wait_all_tasks_blocked()
    for lane in ledger.lanes:
        # Both at once: the second waits while the first runs, and crashes in a task of its own.
        lane.delivery = delivery(b'{"do": "crash beside"}', due=trio.current_time() + 30)
        ledger.received(lane, lane.delivery)
    first, second = (lane.delivery for lane in ledger.lanes)
    assert first is not None
    assert second is not None
    await trio.sleep(0.1)

    assert first.worker == worker
    assert not first.unsettled
    assert second.state is State.RECEIVED
