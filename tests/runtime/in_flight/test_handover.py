"""Actors hand an event over: at once within one step, or by a message."""

import sys
import time
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Name, NoProcess, start
from okibi.actors.trio_internals import CONTEXT
from okibi.runtime.codec.typed_json import decoder_for, encode_handler_result
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import AsyncHandler, event_type
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import ABANDON_LIMIT, DISPATCHER
from okibi.runtime.in_flight.outbox import RESPONSE_JOIN_LIMIT
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.dispatcher import Dispatcher
from okibi.runtime.serving.worker import Worker
from okibi.supervisors import Child, SupervisorSpec, supervise
from tests.support.doubles import SETTINGS, Inbox, delivery, ledger_of, plain_beside
from tests.support.played_api import ACCEPTED, NEXT, event, world
from tests.support.worker_bench import Player


@pytest.mark.skipif(CONTEXT is None, reason="okibi does not know this release of trio")
@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_handler_begins_within_the_step_that_read_its_event(
    seconds: int, autojump_clock: MockClock
) -> None:
    async def handler(event: object, context: Context) -> object:
        if seconds:
            await trio.sleep(seconds)
        return event

    async with world() as stage:
        await stage.serves(handler)
        stage.wire.taken()
        made = stage.lane.delivery = delivery()
        stage.ledger.dispatch(stage.lane, made)
        assert made.state is (DeliveryState.RUNNING if seconds else DeliveryState.STAGED)
        assert stage.wire.taken().endswith(NEXT) is (not seconds)
        await trio.sleep(2)

        assert made.state is DeliveryState.STAGED


async def test_tasks_woken_before_the_event_run_before_its_handler() -> None:
    """For example an actor that is notified of a freeze."""
    begun: list[str] = []

    async def handler(event: object, context: Context) -> None:
        begun.append("handler")

    async with world() as stage:
        await stage.serves(handler)
        woken = trio.Event()
        stage.nursery.start_soon(woken.wait)
        await wait_all_tasks_blocked()
        woken.set()
        made = stage.lane.delivery = delivery()
        stage.ledger.dispatch(stage.lane, made)
        assert made.state is DeliveryState.ASSIGNED
        await wait_all_tasks_blocked()

        assert begun == ["handler"]


async def test_no_frame_keeps_the_event_or_the_last_response_alive() -> None:
    held: list[str] = []

    async def handler(event: object, context: Context) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None:
            for name, value in frame.f_locals.items():
                parts = value if isinstance(value, (list, tuple)) else (value,)
                for part in parts:
                    answered = isinstance(part, Delivery) and part.outcome is not None
                    if answered or (isinstance(part, bytes) and b"long" in part):
                        held.append(name)
            frame = frame.f_back

    async with world() as stage:
        await stage.serves(handler)
        stage.wire.taken()
        await stage.say(event(body=b'"%s"' % (b"long" * 300)))
        assert stage.delivery.state is DeliveryState.STAGED
        await stage.say(ACCEPTED + event("id-2", body=b'"%s"' % (b"long" * 300)))
        assert stage.delivery.request_id == "id-2"
        assert stage.delivery.state is DeliveryState.STAGED

        assert held == []


@pytest.mark.parametrize(
    ("length", "sets_off", "at_once"),
    [(20, False, True), (RESPONSE_JOIN_LIMIT + 1, False, True), (20, True, False)],
)
async def test_a_worker_writes_its_response_at_once_if_no_task_waits(
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

        make = partial(AsyncHandler, handler)
        factory = partial(
            Looks, stage.ledger, SETTINGS, make, decoder_for(Any), False, encode_handler_result,
            plain_beside,
        )  # fmt: skip
        await start(stage.nursery, factory)
        await start(stage.nursery, partial(Dispatcher, stage.ledger), name=DISPATCHER)
        await wait_all_tasks_blocked()
        stage.wire.taken()
        await stage.say(event())

        assert out == [at_once]
        assert stage.delivery.state is DeliveryState.STAGED


async def test_the_next_event_sees_an_actor_restarted_that_was_killed() -> None:
    name = Name("beside", Inbox)
    found: list[str] = []

    async def handler(event: object, context: Context) -> None:
        try:
            name.process().kill()
        except NoProcess:
            found.append("nobody")
        else:
            found.append("there")

    for _ in range(20):  # trio picks the order of two ready tasks at random
        async with world() as stage:
            await supervise(stage.nursery, SupervisorSpec([Child(Inbox, name=name)], intensity=9))
            await stage.serves(handler)
            # The next event arrives as the first response is written.
            stage.wire.answers = [ACCEPTED + event("id-2")]
            await stage.say(event())

    assert found == ["there"] * 40


async def test_a_failing_process_responds_without_a_further_get(
    autojump_clock: MockClock,
) -> None:
    async with world() as stage:

        def fail(why: str) -> None:
            # A process that ends requests no event.
            stage.failures.append(why)
            stage.lane.stop_asking()
            assert stage.wire.taken() == b""

        stage.ledger.fail = fail
        for _ in range(ABANDON_LIMIT):
            stage.ledger.count_abandoned("a thread", lambda: True)
        worker = await start(stage.nursery, Inbox)
        stage.ledger.add_worker(worker)
        await start(stage.nursery, partial(Dispatcher, stage.ledger), name=DISPATCHER)
        due = int((time.time() + 1) * 1000)
        await stage.say(event(head=b"Lambda-Runtime-Deadline-Ms: %d\r\n" % due))
        assert stage.delivery.begin(worker)
        stage.wire.taken()
        await trio.sleep(0.96)
        assert wake(stage.ledger.dispatcher, now=True)

        assert stage.failures
        await wait_all_tasks_blocked()
        said = stage.wire.taken()
        assert b"/error HTTP" in said
        assert not said.endswith(NEXT)


async def test_an_event_of_a_stopping_worker_goes_to_another_worker(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Slow(Player):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(5)

    ledger = ledger_of()
    factory = partial(
        Worker,
        ledger,
        SETTINGS,
        Slow,
        decoder_for(event_type(Player)),
        True,
        encode_handler_result,
        plain_beside,
    )
    first, second = [await start(nursery, factory, grace=10) for _ in range(2)]
    await start(nursery, partial(Dispatcher, ledger), name=DISPATCHER)
    made = ledger.lanes[0].delivery = delivery()
    assert made.assign(first)
    first.stop()
    await trio.sleep(1)

    assert first.reason is not None
    assert made.worker == second
    assert not made.unsettled


async def test_a_waiting_event_is_not_given_to_a_crashed_instance(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Crashes(Player):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(0.5)

    ledger = ledger_of(2)
    decoder = decoder_for(event_type(Player))
    worker = await start(
        nursery,
        partial(
            Worker, ledger, SETTINGS, Crashes, decoder, True, encode_handler_result, plain_beside
        ),
    )
    await start(nursery, partial(Dispatcher, ledger), name=DISPATCHER)
    await wait_all_tasks_blocked()
    for lane in ledger.lanes:
        # Both at once: the second waits while the first runs and its background task crashes.
        lane.delivery = delivery(b'{"do": "crash beside"}', due=trio.current_time() + 30)
        ledger.dispatch(lane, lane.delivery)
    first, second = (lane.delivery for lane in ledger.lanes)
    assert first is not None
    assert second is not None
    await trio.sleep(0.1)

    assert first.worker == worker
    assert not first.unsettled
    assert second.state is DeliveryState.RECEIVED
