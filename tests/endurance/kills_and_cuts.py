"""Random kills while connections break: `python -m tests.endurance.kills_and_cuts [RUNS [SEED]]`.

As in `endurance.kills`, and once or twice in a run the other side closes a connection: while
nothing but the next event is owed, inside an answer, after all of one is out and nothing has come
back, or at just any step. What was on its way to the runtime arrives before the end, or is lost
with it.

What may come of that is `in_flight.broken_connection`'s table. Here the verdict keeps to what holds
for each of its rows: nothing is answered twice, nothing is begun twice, nothing hangs, no
connection is made that no other has made room for; and whatever is not answered is a row's:

    an event         that went to a /next whose connection was gone, or was lost on the way there.
                     With one lane the sandbox ends by it, at the invocation's time-out
    half an answer   with one lane the process ends by it; with many it costs that answer

An answer that was sent twice, and cut off both times, ends the process of one lane too; it has
arrived here, where nothing is lost of what a connection has taken. (With one lane the platform
repeats what it has handed out, and loses less. `endurance.cuts` has each byte of a connection, and
says for each what must come of it.)
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

from okibi.local.classic_mode import ClassicPlatform
from okibi.local.connection import Connection
from okibi.local.invocation import Invocation
from okibi.local.journal import EntryKind
from okibi.local.multi_concurrency import MultiConcurrencyPlatform
from okibi.local.platform import Platform
from okibi.runtime.in_flight.broken_connection import Owed
from okibi.runtime.in_flight.delivery import State
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.transport import Transport
from tests.endurance.kills import EVENTS, SHORT, Busy, Mixed, RandomKiller, point, steps_of, told
from tests.endurance.sweep import run
from tests.support.judge import Result, answered
from tests.support.memory_platform import MemoryTransport, RecordingLedger

# Seconds: of the platform for an invocation, and of its silence before each.
TIMEOUT, SILENCE = 60.0, 0.05
NUMBERS = [number for number in range(EVENTS) if number not in SHORT]
# Bytes that a connection takes at a time once it is to break inside an answer.
SMALL = 40
# With which words the process may end.
INSIDE = "the connection broke inside an answer"
REQUEST_ID = re.compile(rb"(?i)aws-request-id: ([0-9a-f-]+)")


class Where(enum.Enum):
    """Where a connection breaks."""

    NEXT = "in a waiting /next"
    HALF = "inside an answer"
    WHOLE = "before an answer's status"
    ANY = "anywhere"


class Cut(NamedTuple):
    """A connection that broke.

    Args:
        answer: the request id of the answer that was owed a status, or "".
        half: whether a part of it was written.
        whole: whether all of it was, and its status is lost.
        lost: the request ids of the events that were on their way.
    """

    answer: str
    half: bool
    whole: bool
    lost: frozenset[str]


@attrs.define(eq=False)
class BreakingTransport(MemoryTransport):
    """A connection that the other side may close."""

    broken: bool = attrs.field(default=False, init=False)

    def cut(self, lose: bool) -> frozenset[str]:
        """Close it; the request ids of the events that are lost with what was on its way."""
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

    def send(self, data: memoryview) -> int:
        if self.broken:
            raise BrokenPipeError("broken")
        return super().send(data)

    def pending(self) -> bool:
        return self.broken or super().pending()

    def close(self) -> None:
        if not self.broken:
            super().close()


@attrs.define(eq=False)
class Breaking(Busy):
    """One sandbox, of one slot or many, and as many invokers, who wait before each event."""

    ends: dict[Invocation, trio.Event] = attrs.field(
        factory=dict[Invocation, trio.Event], init=False
    )
    timed_out: bool = attrs.field(default=False, init=False)

    def _serve(self, lanes: list[Iterator[int]], events: int) -> None:
        mode: type[Platform] = (
            ClassicPlatform if self.point.lanes == 1 else MultiConcurrencyPlatform
        )
        self._exchanges = [mode(trio.current_time, time.time, self.journal, on_end=self._end)]

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
            while not await self._is_taken(number):  # noqa: ASYNC110, nobody tells of a slot
                await trio.sleep(SILENCE)
            if self.timed_out:
                return

    async def _is_taken(self, number: int) -> bool:
        """Have an event served; False where no slot is idle."""
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
            # Its sandbox ends.
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
    """Kills, and breaks connections: each from a step on, as soon as one is where it is wanted."""

    cuts: list[tuple[int, Where]] = attrs.field(factory=list[tuple[int, Where]])
    made: list[Cut] = attrs.field(factory=list[Cut], init=False)
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
        transport = lane.transport
        if not isinstance(transport, BreakingTransport) or transport.broken:
            return False
        owed = lane.owed[0] if lane.owed else None
        if where is Where.HALF:
            transport.piece = min(transport.piece, SMALL)
            return _is_half(lane)
        if where is Where.WHOLE:
            return owed is Owed.ANSWER and not lane.unwritten
        return where is Where.ANY or (owed is Owed.NEXT and not lane.outbox)

    def _break(self, lane: Lane, where: Where) -> None:
        transport = lane.transport
        assert isinstance(transport, BreakingTransport)
        answer = lane.delivery if lane.owed and lane.owed[0] is Owed.ANSWER else None
        half, whole = _is_half(lane), answer is not None and not lane.unwritten
        # Read, its status would have been read before the end.
        lose = where is Where.WHOLE or bool(self.point.seed % 2)
        lost = transport.cut(lose)
        self.made.append(Cut(answer.request_id if answer else "", half, whole and lose, lost))
        self.where[where.value] += 1


def _is_half(lane: Lane) -> bool:
    if not lane.owed or lane.owed[0] is not Owed.ANSWER:
        return False
    return 0 < lane.unwritten < lane._answer_size


def judge(breaker: Breaker, world: Breaking, ledger: RecordingLedger) -> Result:
    """What was lost, by the row that says so; and what is not as it must be."""
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
            # The platform gave it out again when its time was over, if at all.
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
    """Why one lane ends the process, in words; empty where nothing is a reason."""
    if breaker.point.lanes > 1:
        return ""
    twice = Counter(cut.answer for cut in breaker.made if cut.whole)
    if any(times > 1 for times in twice.values()):
        return "an answer that was cut off twice"
    return "half an answer" if any(cut.half for cut in breaker.made) else ""


def _row(breaker: Breaker, world: Breaking, ledger: RecordingLedger, name: str) -> str | None:
    """The row of the table by which an event stays unanswered, if there is one."""
    on_its_way = _swallowed(world)
    if breaker.point.lanes > 1:
        on_its_way.update(*(cut.lost for cut in breaker.made))
    if name in on_its_way and name not in {each.request_id for each in ledger.deliveries}:
        return "a broken /next"
    if any(cut.half and cut.answer == name for cut in breaker.made):
        return "half an answer"
    return None


def _swallowed(world: Breaking) -> set[str]:
    return {e.request_id for e in world.journal if e.kind is EntryKind.SWALLOWED}


def _answered(
    breaker: Breaker,
    world: Breaking,
    ledger: RecordingLedger,
    invocation: Invocation,
    lost: Counter[str],
) -> list[str]:
    deliveries = [d for d in ledger.deliveries if d.request_id == invocation.request_id]
    if not deliveries:
        return [f"{invocation.payload!r} was answered, and never received"]
    delivery = max(deliveries, key=lambda each: each.begun)
    wrong = answered(breaker, world, invocation, delivery, lost)
    # Cut off twice it is given up, though the first had arrived.
    given_up = sum(cut.answer == invocation.request_id for cut in breaker.made) > 1
    if delivery.state is not State.ACKED and not given_up and not world.failures:
        wrong.append(f"{invocation.payload!r} is left {delivery.state.name}")
    return wrong


def _platform(breaker: Breaker, world: Breaking) -> list[str]:
    """What the platform has seen that no cut explains."""
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
    """The run that a seed stands for."""
    numbers = random.Random(f"cuts {seed}")
    at = point(seed, Breaking)
    steps = steps_of(Breaking, at.lanes, at.piece, at.pipelined)
    places = numbers.choices([*Where], k=numbers.randint(1, 2))
    cuts = [(numbers.randint(1, steps), where) for where in places]
    return Breaker(at, cuts=sorted(cuts, key=lambda each: each[0]))


def once(seed: int) -> tuple[Result, Counter[str]]:
    """One run: what it came to, and who was killed, and what cut."""
    breaker = breaker_of(seed)
    result = run(breaker.point, breaker, Breaking, Mixed, judge)
    return result, breaker.counts + breaker.where


def main() -> int:
    return told(once, len(NUMBERS))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
