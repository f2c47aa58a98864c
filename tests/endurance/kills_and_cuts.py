"""Random kills while connections break: `python -m tests.endurance.kills_and_cuts [RUNS [SEED]]`.

As in `endurance.kills`, and once or twice per run the server closes a connection: while only the
next event is pending, inside a response, after a whole response without a status, or at any step.
Data on its way to the runtime arrives before the end, or is lost with it.

The outcomes are the table of `in_flight.broken_connection`. The checks here hold for each of its
rows: nothing is answered twice, nothing begins twice, nothing hangs, no connection is made without
need. An event without a response must be explained by a row:

    an event          went to a /next with a broken connection, or was lost on its way. With one
    lane
                      the sandbox ends at the invocation's time-out
    half a response   ends the process with one lane; with many lanes only that response is lost

A response that was sent twice and cut off both times also ends a process with one lane. Here it has
arrived, because nothing that a connection has accepted is lost. (With one lane the platform repeats
what it has handed out, and loses less. `endurance.cuts` checks the outcome for each byte of a
connection.)
"""

import enum
import json
import logging
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import attrs
import trio

from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.hooks import RuntimeApiHooks
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import EntryKind
from okibi.local.platform.multi_concurrency import MultiConcurrencyPlatform
from okibi.local.platform.platform import Platform
from okibi.local.server.connection import Connection
from okibi.runtime.in_flight.broken_connection import Expected
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.transport import Transport
from tests.endurance.kills import (
    EVENTS,
    SHORT,
    BusyWorld,
    Mixed,
    RandomKiller,
    point,
    run_from_command_line,
    steps_of,
)
from tests.endurance.sweep import run
from tests.support.judge import Result, answered
from tests.support.memory_platform import MemoryTransport, RecordingLedger

# Seconds: the platform's time-out, and the silence before each event.
TIMEOUT, SILENCE = 60.0, 0.05
NUMBERS = [number for number in range(EVENTS) if number not in SHORT]
# Bytes that a connection accepts at once if it is to break inside a response.
SMALL = 40
# The reason with which the process may end.
INSIDE = "the connection broke within a response"
REQUEST_ID = re.compile(rb"(?i)aws-request-id: ([0-9a-f-]+)")


class Where(enum.Enum):
    """The place at which a connection breaks."""

    NEXT = "in a waiting /next"
    HALF = "inside a response"
    WHOLE = "before a response's status"
    ANY = "anywhere"


class BrokenConnection(NamedTuple):
    """A connection that broke.

    Args:
        answer: the request id of the response without a status, or "".
        half: whether a part of it was written.
        whole: whether all of it was written and its status is lost.
        lost: the request ids of lost events.
    """

    answer: str
    half: bool
    whole: bool
    lost: frozenset[str]


@attrs.define(eq=False)
class BreakingTransport(MemoryTransport):
    """A connection that the server may close."""

    broken: bool = attrs.field(default=False, init=False)

    def cut(self, lose: bool) -> frozenset[str]:
        """Close the connection; return the request ids of lost events."""
        lost = REQUEST_ID.findall(self._inbox) if lose else []
        if lose:
            self._inbox.clear()
        self.broken = True
        self.connection.peer_gone()
        self._arrival.tell()
        return frozenset(each.decode() for each in lost)

    def deliver(self, pieces: list[bytes]) -> None:
        if not self.broken:
            super().deliver(pieces)

    def receive(self, limit: int) -> bytes:
        return b"" if self.broken and not self._inbox else super().receive(limit)

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise BrokenPipeError("broken")
        return super().send(data)

    def pending(self) -> bool:
        return self.broken or super().pending()

    def close(self) -> None:
        if not self.broken:
            super().close()


@attrs.define(eq=False)
class BreakingWorld(BusyWorld):
    """One sandbox, with one slot or many, and as many invokers, which wait before each event."""

    ends: dict[Invocation, trio.Event] = attrs.field(
        factory=dict[Invocation, trio.Event], init=False
    )
    timed_out: bool = attrs.field(default=False, init=False)

    def _serve(self, lanes: list[Iterator[int]], events: int) -> None:
        mode: type[Platform] = (
            ClassicPlatform if self.point.lanes == 1 else MultiConcurrencyPlatform
        )
        hooks = RuntimeApiHooks(on_end=self._end)
        self._exchanges = [mode(trio.current_time, time.time, self.journal, hooks=hooks)]

    def _end(self, invocation: Invocation) -> None:
        self.ends[invocation].set()

    def begin(self, nursery: trio.Nursery, ledger: RecordingLedger) -> None:
        nursery.start_soon(self._invoke_all)

    async def _invoke_all(self) -> None:
        numbers = iter(NUMBERS)
        async with trio.open_nursery() as invokers:
            for _ in range(self.point.lanes):
                invokers.start_soon(self._invoke, numbers)
        self.done.set()

    async def _invoke(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await trio.sleep(SILENCE)
            while not await self._is_taken(number):  # noqa: ASYNC110, no event to wait for
                await trio.sleep(SILENCE)
            if self.timed_out:
                return

    async def _is_taken(self, number: int) -> bool:
        """Let an event be served; return False if no slot is idle."""
        platform = self._exchanges[0]
        invocation = Invocation(json.dumps({"n": number}).encode(), TIMEOUT)
        self.offered[invocation.request_id] = trio.current_time()
        self.ends[invocation] = trio.Event()
        platform.offer(invocation)
        if invocation.outcome is not None and invocation.outcome.status != 200:
            return False
        self.invocations.append(invocation)
        with trio.move_on_after(TIMEOUT) as limit:
            await self.ends[invocation].wait()
        if not limit.cancelled_caught:
            return True
        if isinstance(platform, MultiConcurrencyPlatform):
            platform.expire(invocation)
        else:
            # The sandbox ends.
            self.timed_out, self.rest = True, 0.0
        return True

    async def connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        transport = BreakingTransport(self.point.piece)
        self.connections += 1
        transport.connection = Connection(self._exchanges[0], "arn", transport.deliver)
        return transport


@attrs.define(eq=False)
class Breaker(RandomKiller):
    """Kills actors and breaks connections: each from a step on, once a connection is in the
    right state.
    """

    cuts: list[tuple[int, Where]] = attrs.field(factory=list[tuple[int, Where]])
    made: list[BrokenConnection] = attrs.field(factory=list[BrokenConnection], init=False)
    where: Counter[str] = attrs.field(factory=Counter[str], init=False)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        super().before_task_step(task)
        if self.root is None or not self.cuts or self.cuts[0][0] > self.steps:
            return
        try:
            where = self.cuts[0][1]
            lane = next((each for each in self._lanes() if self._is_there(each, where)), None)
            if lane is not None:
                self.cuts.pop(0)
                self._break(lane, where)
        except BaseException as error:
            self.errors.append(error)

    def _lanes(self) -> list[Lane]:
        assert self.ledger is not None
        lanes = self.ledger.lanes
        first = self.point.seed % len(lanes)
        return [*lanes[first:], *lanes[:first]]

    def _is_there(self, lane: Lane, where: Where) -> bool:
        transport = lane.connection and lane.connection.transport
        if not isinstance(transport, BreakingTransport) or transport.broken:
            return False
        expected = lane.outbox.expected
        if where is Where.HALF:
            transport.piece = min(transport.piece, SMALL)
            return _is_half(lane)
        if where is Where.WHOLE:
            return _awaits_status(lane) and not lane.unwritten
        return where is Where.ANY or (expected is Expected.NEXT and not lane.outbox.pieces)

    def _break(self, lane: Lane, where: Where) -> None:
        transport = lane.connection and lane.connection.transport
        assert isinstance(transport, BreakingTransport)
        answer = lane.delivery if _awaits_status(lane) else None
        half, whole = _is_half(lane), answer is not None and not lane.unwritten
        # If it arrived, the status would be read before the end.
        lose = where is Where.WHOLE or bool(self.point.seed % 2)
        lost = transport.cut(lose)
        self.made.append(
            BrokenConnection(answer.request_id if answer else "", half, whole and lose, lost)
        )
        self.where[where.value] += 1


def _awaits_status(lane: Lane) -> bool:
    return lane.outbox.expected in (Expected.STATUS, Expected.STATUS_NEXT)


def _is_half(lane: Lane) -> bool:
    return _awaits_status(lane) and 0 < lane.unwritten < lane.outbox.response_size


def judge(breaker: Breaker, world: BreakingWorld, ledger: RecordingLedger) -> Result:
    """Return what was lost, by row, and what is wrong."""
    wrong = [f"the instrument raised {error!r}" for error in breaker.errors]
    ended = _may_end(breaker)
    lost: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    for delivery in ledger.deliveries:
        begun[delivery.request_id] += delivery.begun
    sent = Counter(e.request_id for e in world.journal if e.kind is EntryKind.ANSWERED)
    for invocation in world.invocations:
        name = invocation.request_id
        if begun[name] > 1 or sent[name] > 1:
            wrong.append(f"{name} was begun {begun[name]} times, answered {sent[name]} times")
        if world.timed_out and name in _swallowed(world):
            # The platform repeated it after the time-out, if at all.
            lost["a broken /next"] += 1
        elif sent[name]:
            wrong += _answered(breaker, world, ledger, invocation, lost)
        elif (row := _row(breaker, world, ledger, name)) is not None:
            lost[row] += 1
        else:
            wrong.append(f"{invocation.payload!r} was never answered: {invocation.outcome}")
    wrong += [f"the process was ended: {w}" for w in world.failures if not (ended and INSIDE in w)]
    if ended and not world.failures:
        wrong.append(f"the process goes on after {ended}")
    return Result(breaker.steps, lost, (*wrong, *_platform(breaker, world)))


def _may_end(breaker: Breaker) -> str:
    """Return why a process with one lane ends, or ""."""
    if breaker.point.lanes > 1:
        return ""
    twice = Counter(cut.answer for cut in breaker.made if cut.whole)
    if any(times > 1 for times in twice.values()):
        return "a response that was cut off twice"
    return "half a response" if any(cut.half for cut in breaker.made) else ""


def _row(breaker: Breaker, world: BreakingWorld, ledger: RecordingLedger, name: str) -> str | None:
    """Return the row of the table that explains a missing response, or None."""
    on_its_way = _swallowed(world)
    if breaker.point.lanes > 1:
        on_its_way.update(*(cut.lost for cut in breaker.made))
    if name in on_its_way and name not in {each.request_id for each in ledger.deliveries}:
        return "a broken /next"
    if any(cut.half and cut.answer == name for cut in breaker.made):
        return "half a response"
    return None


def _swallowed(world: BreakingWorld) -> set[str]:
    return {e.request_id for e in world.journal if e.kind is EntryKind.SWALLOWED}


def _answered(
    breaker: Breaker,
    world: BreakingWorld,
    ledger: RecordingLedger,
    invocation: Invocation,
    lost: Counter[str],
) -> list[str]:
    deliveries = [d for d in ledger.deliveries if d.request_id == invocation.request_id]
    if not deliveries:
        return [f"{invocation.payload!r} was answered, and never received"]
    delivery = max(deliveries, key=lambda each: each.begun)
    wrong = answered(breaker, world, invocation, delivery, lost)
    # A response cut off twice is given up, although the first has arrived.
    given_up = sum(cut.answer == invocation.request_id for cut in breaker.made) > 1
    if (
        delivery.state not in (DeliveryState.ACKED, DeliveryState.FINISHED)
        and not given_up
        and not world.failures
    ):
        wrong.append(f"{invocation.payload!r} is left {delivery.state.name}")
    return wrong


def _platform(breaker: Breaker, world: BreakingWorld) -> list[str]:
    """Return what the platform has seen and no cut explains."""
    again = {cut.answer for cut in breaker.made if cut.whole}
    refused = [e for e in world.journal if e.kind is EntryKind.REFUSED]
    wrong = [f"the API refused {e}" for e in refused if e.request_id not in again]
    seen = Counter(entry.kind for entry in world.journal)
    if seen[EntryKind.ABANDONED] > len(breaker.made):
        wrong.append(f"{seen[EntryKind.ABANDONED]} connections broke under a /next")
    if seen[EntryKind.TRUNCATED] > sum(cut.half for cut in breaker.made):
        wrong.append(f"{seen[EntryKind.TRUNCATED]} answers were cut")
    most = breaker.point.lanes + len(breaker.made)
    if world.connections > most or (world.connections < most and not world.failures):
        wrong.append(f"{world.connections} connections were made, not {most}")
    return wrong


def breaker_of(seed: int) -> Breaker:
    """Return the run of a seed."""
    numbers = random.Random(f"cuts {seed}")
    at = point(seed, BreakingWorld)
    steps = steps_of(BreakingWorld, at.lanes, at.piece, at.pipelined)
    places = numbers.choices([*Where], k=numbers.randint(1, 2))
    cuts = [(numbers.randint(1, steps), where) for where in places]
    return Breaker(at, cuts=sorted(cuts, key=lambda each: each[0]))


def once(seed: int) -> tuple[Result, Counter[str]]:
    """Run once; return the result, and counts of kills and cuts."""
    breaker = breaker_of(seed)
    result = run(breaker.point, breaker, BreakingWorld, Mixed, judge)
    return result, breaker.counts + breaker.where


def main() -> int:
    return run_from_command_line(once, len(NUMBERS))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
