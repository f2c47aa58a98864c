"""Busy waiting: when the next event is looked for and for how long; and how a poller looks."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from okibi.actors.trio_internals import CONTEXT
from okibi.runtime.handlers.context import Context
from okibi.runtime.serving.busy_poll import MAX_REQUIRED, PRICE, BusyPoll
from tests.support.played_api import ACCEPTED, NEXT, Passes, World, event, world

LIMIT = 0.0003
LOOK = LIMIT / 10
SOON, LATE = LIMIT / 2, LIMIT * 100
KNOWN = pytest.mark.skipif(CONTEXT is None, reason="trio's loop is another than is known")
Handler = Callable[[Any, Context], Any]


@attrs.define(eq=False)
class Waited:
    """A poller in a time that a test tells: each look takes a little of it."""

    now: float = 1000.0
    looks: int = 0
    waits: int = 0
    in_vain: list[int] = attrs.field(factory=list[int])
    busy_poll: BusyPoll = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.busy_poll = BusyPoll(LIMIT, lambda: self.now)

    def event(self, gap: float) -> bool:
        """Have an event come so long after it could; whether it was found by looking."""
        due = self.now + gap
        began = self.looks
        looked = self.busy_poll.should_poll()
        found = looked and self.busy_poll.poll(lambda: self.look(due))
        if looked and not found:
            self.in_vain.append(self.looks - began)
        self.waits += not found
        self.now = max(self.now, due)
        self.busy_poll.record_event()
        return found

    def look(self, due: float) -> bool:
        self.looks += 1
        self.now += LOOK
        return self.now >= due


async def test_the_first_event_is_not_looked_for() -> None:
    assert not Waited().event(SOON)


async def test_an_event_is_looked_for_once_one_has_come_soon() -> None:
    waited = Waited()
    waited.event(SOON)

    assert waited.event(SOON)
    assert waited.waits == 1


async def test_an_event_that_comes_late_is_waited_for_and_the_next_one_too() -> None:
    waited = Waited()
    waited.event(SOON)

    assert not waited.event(LATE)
    assert not waited.event(SOON)
    assert len(waited.in_vain) == 1


async def test_nobody_looks_longer_than_the_limit() -> None:
    waited = Waited()
    waited.event(SOON)
    waited.event(LATE)

    assert waited.in_vain == [pytest.approx(LIMIT / LOOK, abs=1)]


async def test_a_look_that_goes_on_ends_with_the_first_one_s_limit() -> None:
    waited = Waited()
    waited.event(SOON)
    assert waited.busy_poll.should_poll()
    # A status has come, and the event is yet to come.
    waited.now += 2 * LIMIT
    assert waited.busy_poll.should_poll()

    assert not waited.busy_poll.poll(lambda: waited.look(inf))
    assert waited.looks == 1


async def test_a_function_that_is_asked_now_and_then_looks_for_nothing() -> None:
    waited = Waited()
    for _ in range(100):
        waited.event(LATE)

    assert waited.looks == 0


async def test_each_look_in_vain_is_to_be_made_good_for_by_more_that_come_soon() -> None:
    waited = Waited()
    between: list[int] = []
    for _ in range(130):
        soon = 0
        while not waited.busy_poll.should_poll():
            waited.event(SOON)
            soon += 1
        waited.event(LATE)
        between.append(soon)

    assert between[:4] == [1, 1 + PRICE, 1 + 2 * PRICE, 1 + 3 * PRICE]
    assert between[-1] == MAX_REQUIRED


async def test_each_that_is_found_makes_good_for_a_part_of_one_that_was_not() -> None:
    waited = Waited()
    waited.event(SOON)
    waited.event(LATE)
    for _ in range(1 + PRICE):
        assert not waited.event(SOON)
    for _ in range(3):
        assert waited.event(SOON)
    waited.busy_poll.record_event()
    waited.event(LATE)
    soon = 0
    while not waited.busy_poll.should_poll():
        waited.event(SOON)
        soon += 1

    assert soon == 1 + PRICE - 3 + PRICE


async def test_a_status_that_is_found_makes_good_for_nothing() -> None:
    waited = Waited()
    waited.event(SOON)
    waited.event(LATE)
    for _ in range(1 + PRICE):
        waited.event(SOON)
    for _ in range(PRICE):
        assert waited.busy_poll.should_poll()
        assert waited.busy_poll.poll(lambda: True)
    assert waited.event(LATE) is False
    for _ in range(2 * PRICE):
        assert not waited.event(SOON)
        assert not waited.busy_poll.should_poll()


async def test_bursts_that_cost_more_than_they_save_are_not_looked_for() -> None:
    waited = Waited()
    for _ in range(100):
        for gap in (SOON, SOON, SOON, LATE):
            waited.event(gap)

    assert len(waited.in_vain) == 1


async def test_an_event_whose_wait_nobody_has_seen_begin_says_nothing() -> None:
    waited = Waited()
    waited.event(SOON)
    waited.now += LATE
    waited.busy_poll.record_event()

    assert waited.event(SOON)


async def test_nothing_is_looked_for_while_a_task_is_to_have_its_step() -> None:
    waited = Waited()
    waited.event(SOON)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
        assert not waited.busy_poll.should_poll()
        assert not waited.event(SOON)
    assert waited.looks == 0

    assert waited.event(SOON), "which is no look in vain"


async def test_a_limit_of_nothing_never_looks() -> None:
    never = BusyPoll(0.0, lambda: 1.0)
    for _ in range(3):
        assert not never.should_poll()
        never.record_event()


async def test_a_clock_that_stands_still_makes_no_endless_look(mock_clock: MockClock) -> None:
    waiting = BusyPoll(LIMIT)
    waiting.should_poll()
    waiting.record_event()
    assert waiting.should_poll()

    assert not waiting.poll(lambda: False)


@given(st.lists(st.sampled_from([SOON, LATE]), max_size=400))
def test_whatever_comes_what_is_looked_for_is_what_the_table_says(gaps: list[float]) -> None:
    async def main() -> None:
        waited, wanted, in_a_row = Waited(), 1, 0
        for gap in gaps:
            looks, soon = in_a_row >= wanted, gap is SOON
            assert waited.event(gap) == (looks and soon)
            if looks:
                wanted = max(1, wanted - 1) if soon else min(wanted + PRICE, MAX_REQUIRED)
            in_a_row = in_a_row + 1 if soon else 0

    trio.run(main)


class Never(BusyPoll):
    """Not to be asked to look."""

    def poll(self, pending: object) -> bool:
        raise AssertionError


class Told(BusyPoll):
    """Tells of each look whether something was found."""

    def __init__(self) -> None:
        super().__init__(LIMIT, lambda: 1.0)
        self.looks = list[bool]()

    def poll(self, pending: Callable[[], bool]) -> bool:
        self.looks.append(super().poll(pending))
        return self.looks[-1]


async def echo(event: object, context: Context) -> object:
    return event


async def waits(event: object, context: Context) -> object:
    await trio.lowlevel.checkpoint()
    return event


@asynccontextmanager
async def serving(
    busy_wait: BusyPoll, handler: Handler = echo, *, pipelined: bool = True
) -> AsyncIterator[World]:
    """A world whose last event came soon."""
    async with world(pipelined, busy_poll=busy_wait) as stage:
        await stage.serves(handler)
        busy_wait.should_poll()
        busy_wait.record_event()
        yield stage


async def follow(stage: World) -> None:
    """Have eleven events served, each of which comes as the answer to the last is written."""
    stage.wire.answers = [ACCEPTED + event(f"id-{n}") for n in range(2, 12)]
    await stage.say(event())
    assert stage.delivery.request_id == "id-11"


@KNOWN
async def test_an_event_that_follows_upon_its_answer_is_received_without_a_wait() -> None:
    async with serving(BusyPoll(LIMIT, lambda: 1.0)) as stage:
        before = stage.wire.waits
        await follow(stage)

        assert stage.wire.waits == before + 1
        assert stage.wire.interrupts == 0


async def test_the_loop_makes_a_pass_between_two_events_even_so() -> None:
    async with serving(BusyPoll(LIMIT, lambda: 1.0)) as stage:
        passes = Passes()
        trio.lowlevel.add_instrument(passes)
        await follow(stage)
        trio.lowlevel.remove_instrument(passes)

        assert passes.made >= 10


@KNOWN
async def test_so_is_one_whose_handler_has_waited_while_the_poller_was_parked() -> None:
    class Follows(Told):
        """The next event comes while it is looked for."""

        def poll(self, pending: Callable[[], bool]) -> bool:
            if len(self.looks) < 10:
                stage.wire.say(ACCEPTED + event(f"id-{len(self.looks) + 2}"))
            return super().poll(pending)

    told = Follows()
    async with serving(told, waits) as stage:
        before = stage.wire.waits
        await stage.say(event())

        assert stage.delivery.request_id == "id-11"
        assert told.looks == [True] * 10 + [False]
        # Once for each handler, which was ended, and at the end.
        assert stage.wire.waits == before + 11 + 1
        assert stage.wire.interrupts == 11
        assert len(stage.wire.limits) == 11


async def test_while_a_handler_takes_its_time_nothing_is_looked_for() -> None:
    async def sleeps(event: object, context: Context) -> None:
        await trio.sleep_forever()

    async with serving(Never(LIMIT, lambda: 1.0), sleeps) as stage:
        await stage.say(event())

        assert stage.delivery.request_id == "id-1"
        assert stage.pollers[0].alive


@KNOWN
async def test_nor_while_a_stream_has_only_begun() -> None:
    async def pieces(event: object, context: Context) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            for _ in range(5):
                await trio.lowlevel.checkpoint()

    told = Told()
    async with serving(told, pieces) as stage:
        await stage.say(event())

        assert stage.wire.taken().endswith(NEXT)
        assert told.looks == [False]
        assert stage.wire.interrupts == 1


async def test_nor_where_the_next_one_is_not_asked_for_with_the_answer() -> None:
    async with serving(Never(LIMIT, lambda: 1.0), pipelined=False) as stage:
        await stage.say(event())

        assert b"/response" in stage.wire.taken()
        assert stage.pollers[0].alive


@KNOWN
async def test_but_once_it_is() -> None:
    told = Told()
    async with serving(told, pipelined=False) as stage:
        stage.wire.taken()
        await stage.say(event())
        assert told.looks == []
        await stage.say(ACCEPTED)

        assert stage.wire.taken().endswith(NEXT)
        assert told.looks == [False]


async def test_nor_while_the_answer_waits_for_the_connection() -> None:
    async with serving(Never(LIMIT, lambda: 1.0)) as stage:
        stage.wire.room = 20
        await stage.say(event())
        await stage.say(b"HTTP/1.1 100 Continue\r\n\r\n")

        assert stage.lane.outbox
        assert stage.pollers[0].alive
        stage.wire.room = 1 << 30
        stage.wire.drained.set()


@pytest.mark.parametrize("handler", [echo, waits])
async def test_nor_where_the_last_one_was_late(handler: Handler) -> None:
    now = 0.0
    async with serving(Never(LIMIT, lambda: now), handler) as stage:
        stage.busy_poll.should_poll()
        now += LATE
        await stage.say(event())

        assert stage.wire.taken().endswith(NEXT)
        assert stage.pollers[0].alive
        assert stage.wire.interrupts == 0


@KNOWN
@pytest.mark.parametrize("handler", [echo, waits])
async def test_what_does_not_follow_is_looked_for_once_and_waited_for(handler: Handler) -> None:
    told = Told()
    async with serving(told, handler) as stage:
        await stage.say(event())
        before = stage.wire.waits
        assert told.looks == [False]
        await stage.say(ACCEPTED + event("id-2"))

        assert stage.delivery.request_id == "id-2"
        assert stage.wire.waits == before + 1


@KNOWN
async def test_a_handler_s_own_time_is_not_the_next_event_s() -> None:
    now = 0.0

    async def slow(event: object, context: Context) -> object:
        nonlocal now
        now += LATE
        return event

    async with serving(BusyPoll(LIMIT, lambda: now), slow) as stage:
        before = stage.wire.waits
        await follow(stage)

        assert stage.wire.waits == before + 1
