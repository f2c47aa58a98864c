"""Busy polling: when and how long `BusyPoll` polls, and how a poller uses it."""

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
CHECK = LIMIT / 10
QUICK, LATE = LIMIT / 2, LIMIT * 100
KNOWN = pytest.mark.skipif(CONTEXT is None, reason="okibi does not know this release of trio")
Handler = Callable[[Any, Context], Any]


@attrs.define(eq=False)
class SimulatedPoller:
    """A poller on a simulated clock: each check takes a tenth of the limit."""

    now: float = 1000.0
    checks: int = 0
    waits: int = 0
    in_vain: list[int] = attrs.field(factory=list[int])
    busy_poll: BusyPoll = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.busy_poll = BusyPoll(LIMIT, lambda: self.now)

    def event(self, gap: float) -> bool:
        """Have an event arrive `gap` seconds after it could; return whether polling found it."""
        due = self.now + gap
        checks_before = self.checks
        polled = self.busy_poll.should_poll()
        found = polled and self.busy_poll.poll(lambda: self.check(due))
        if polled and not found:
            self.in_vain.append(self.checks - checks_before)
        self.waits += not found
        self.now = max(self.now, due)
        self.busy_poll.record_event()
        return found

    def check(self, due: float) -> bool:
        self.checks += 1
        self.now += CHECK
        return self.now >= due


async def test_a_poll_does_not_exceed_the_limit() -> None:
    poller = SimulatedPoller()
    poller.event(QUICK)
    poller.event(LATE)

    assert poller.in_vain == [pytest.approx(LIMIT / CHECK, abs=1)]


async def test_a_second_poll_for_the_same_event_shares_the_limit() -> None:
    poller = SimulatedPoller()
    poller.event(QUICK)
    assert poller.busy_poll.should_poll()
    # A status has arrived; the event is still to come.
    poller.now += 2 * LIMIT
    assert poller.busy_poll.should_poll()

    assert not poller.busy_poll.poll(lambda: poller.check(inf))
    assert poller.checks == 1


async def test_a_status_found_does_not_reduce_the_required_number() -> None:
    poller = SimulatedPoller()
    poller.event(QUICK)
    poller.event(LATE)
    for _ in range(1 + PRICE):
        poller.event(QUICK)
    for _ in range(PRICE):
        assert poller.busy_poll.should_poll()
        assert poller.busy_poll.poll(lambda: True)
    assert poller.event(LATE) is False
    for _ in range(2 * PRICE):
        assert not poller.event(QUICK)
        assert not poller.busy_poll.should_poll()


async def test_an_event_without_a_start_time_is_not_counted() -> None:
    poller = SimulatedPoller()
    poller.event(QUICK)
    poller.now += LATE
    poller.busy_poll.record_event()

    assert poller.event(QUICK)


async def test_there_is_no_poll_while_a_task_is_ready() -> None:
    poller = SimulatedPoller()
    poller.event(QUICK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
        assert not poller.busy_poll.should_poll()
        assert not poller.event(QUICK)
    assert poller.checks == 0

    assert poller.event(QUICK), "it was not a vain poll"


async def test_a_limit_of_zero_turns_polling_off() -> None:
    never = BusyPoll(0.0, lambda: 1.0)
    for _ in range(3):
        assert not never.should_poll()
        never.record_event()


async def test_a_clock_that_stands_still_ends_the_poll(mock_clock: MockClock) -> None:
    waiting = BusyPoll(LIMIT)
    waiting.should_poll()
    waiting.record_event()
    assert waiting.should_poll()

    assert not waiting.poll(lambda: False)


@given(st.lists(st.sampled_from([QUICK, LATE]), max_size=400))
def test_polling_follows_the_table_for_any_sequence(gaps: list[float]) -> None:
    async def main() -> None:
        poller, required, in_a_row = SimulatedPoller(), 1, 0
        for gap in gaps:
            polls, quick = in_a_row >= required, gap is QUICK
            assert poller.event(gap) == (polls and quick)
            if polls:
                required = max(1, required - 1) if quick else min(required + PRICE, MAX_REQUIRED)
            in_a_row = in_a_row + 1 if quick else 0

    trio.run(main)


class Never(BusyPoll):
    """Fails if it is polled."""

    def poll(self, pending: object) -> bool:
        raise AssertionError


class Recording(BusyPoll):
    """Records of each poll whether something was found."""

    def __init__(self) -> None:
        super().__init__(LIMIT, lambda: 1.0)
        self.polls = list[bool]()

    def poll(self, pending: Callable[[], bool]) -> bool:
        self.polls.append(super().poll(pending))
        return self.polls[-1]


async def echo(event: object, context: Context) -> object:
    return event


async def waits(event: object, context: Context) -> object:
    await trio.lowlevel.checkpoint()
    return event


@asynccontextmanager
async def serving(
    busy_poll: BusyPoll, handler: Handler = echo, *, pipelined: bool = True
) -> AsyncIterator[World]:
    """A lane whose last event arrived quickly."""
    async with world(pipelined, busy_poll=busy_poll) as stage:
        await stage.serves(handler)
        busy_poll.should_poll()
        busy_poll.record_event()
        yield stage


async def follow(stage: World) -> None:
    """Serve eleven events; each arrives as the response to the last one is written."""
    stage.wire.answers = [ACCEPTED + event(f"id-{n}") for n in range(2, 12)]
    await stage.say(event())
    assert stage.delivery.request_id == "id-11"


@KNOWN
async def test_an_event_right_after_the_response_is_read_without_a_wait() -> None:
    async with serving(BusyPoll(LIMIT, lambda: 1.0)) as stage:
        before = stage.wire.waits
        await follow(stage)

        assert stage.wire.waits == before + 1
        assert stage.wire.interrupts == 0


async def test_the_loop_makes_a_pass_between_two_polled_events() -> None:
    async with serving(BusyPoll(LIMIT, lambda: 1.0)) as stage:
        passes = Passes()
        trio.lowlevel.add_instrument(passes)
        await follow(stage)
        trio.lowlevel.remove_instrument(passes)

        assert passes.made >= 10


@KNOWN
async def test_a_parked_poller_is_woken_to_poll_after_the_response() -> None:
    class Follows(Recording):
        """The next event arrives during the poll."""

        def poll(self, pending: Callable[[], bool]) -> bool:
            if len(self.polls) < 10:
                stage.wire.say(ACCEPTED + event(f"id-{len(self.polls) + 2}"))
            return super().poll(pending)

    recording = Follows()
    async with serving(recording, waits) as stage:
        before = stage.wire.waits
        await stage.say(event())

        assert stage.delivery.request_id == "id-11"
        assert recording.polls == [True] * 10 + [False]
        # One interrupted wait per handler, and the last wait.
        assert stage.wire.waits == before + 11 + 1
        assert stage.wire.interrupts == 11
        assert len(stage.wire.limits) == 11


async def test_there_is_no_poll_while_a_handler_runs() -> None:
    async def sleeps(event: object, context: Context) -> None:
        await trio.sleep_forever()

    async with serving(Never(LIMIT, lambda: 1.0), sleeps) as stage:
        await stage.say(event())

        assert stage.delivery.request_id == "id-1"
        assert stage.pollers[0].alive


@KNOWN
async def test_there_is_no_poll_before_the_end_of_a_stream() -> None:
    async def pieces(event: object, context: Context) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            for _ in range(5):
                await trio.lowlevel.checkpoint()

    recording = Recording()
    async with serving(recording, pieces) as stage:
        await stage.say(event())

        assert stage.wire.taken().endswith(NEXT)
        assert recording.polls == [False]
        assert stage.wire.interrupts == 1


async def test_without_pipelining_there_is_no_poll_before_the_status() -> None:
    async with serving(Never(LIMIT, lambda: 1.0), pipelined=False) as stage:
        await stage.say(event())

        assert b"/response" in stage.wire.taken()
        assert stage.pollers[0].alive


@KNOWN
async def test_without_pipelining_there_is_a_poll_after_the_status() -> None:
    recording = Recording()
    async with serving(recording, pipelined=False) as stage:
        stage.wire.taken()
        await stage.say(event())
        assert recording.polls == []
        await stage.say(ACCEPTED)

        assert stage.wire.taken().endswith(NEXT)
        assert recording.polls == [False]


async def test_there_is_no_poll_while_the_response_is_being_written() -> None:
    async with serving(Never(LIMIT, lambda: 1.0)) as stage:
        stage.wire.room = 20
        await stage.say(event())
        await stage.say(b"HTTP/1.1 100 Continue\r\n\r\n")

        assert stage.lane.outbox.pieces
        assert stage.pollers[0].alive
        stage.wire.room = 1 << 30
        stage.wire.drained.set()


@pytest.mark.parametrize("handler", [echo, waits])
async def test_there_is_no_poll_in_a_poller_after_a_late_event(handler: Handler) -> None:
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
async def test_after_a_vain_poll_the_poller_waits(handler: Handler) -> None:
    recording = Recording()
    async with serving(recording, handler) as stage:
        await stage.say(event())
        before = stage.wire.waits
        assert recording.polls == [False]
        await stage.say(ACCEPTED + event("id-2"))

        assert stage.delivery.request_id == "id-2"
        assert stage.wire.waits == before + 1


@KNOWN
async def test_the_time_of_a_handler_does_not_count() -> None:
    now = 0.0

    async def slow(event: object, context: Context) -> object:
        nonlocal now
        now += LATE
        return event

    async with serving(BusyPoll(LIMIT, lambda: now), slow) as stage:
        before = stage.wire.waits
        await follow(stage)

        assert stage.wire.waits == before + 1
