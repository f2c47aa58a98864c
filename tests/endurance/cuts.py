"""Cut the connection at every byte of a cycle: the engine, and `python -m tests.endurance.cuts`.

A cycle is /next, response, /next. The whole production tree runs against the local server's state
machine, in one trio run, on a connection that breaks at byte n of one direction. Later connections
hold. `expected` computes the outcome from the lengths of the messages and the rules of a broken
connection (okibi/runtime/in_flight/broken_connection.py); `judge` compares.

Two properties of real connections decide the outcome, and both are swept. The kernel may have
accepted bytes that never arrive ("blind"): the runtime then cannot know where the cut was. The next
event may be there when the runtime asks, or come after a long wait ("idle"): an abandoned
/next swallows only the latter.
"""

import itertools
import json
import logging
import math
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import attrs
import trio
import trio.testing

from okibi.actors.start import spawn, wait_started
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.hooks import RuntimeApiHooks
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import EntryKind, Journal
from okibi.local.server.connection import Connection
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.function import Function
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.in_flight.broken_connection import Loss
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.settings import Settings
from okibi.runtime.tree import ServedFunction, build_tree
from okibi.supervisors import Supervisor
from tests.endurance.sweep import random_of_trio
from tests.endurance.verdict import verdict
from tests.support.doubles import Arrival
from tests.support.memory_platform import NoWatchdog, RecordingLedger

EVENTS = 3
# Seconds: the platform's time-out, and the silence before each event in idle runs.
TIMEOUT, SILENCE = 60.0, 30.0

ANEW = "all answered, /next repeated"
AGAIN = "all answered, one response repeated"
ENDED = "process ended: half a response arrived"
LOST = "one event swallowed by the platform, logged"
UNBROKEN = "not cut"


@attrs.frozen
class Shape:
    """One kind of run.

    Args:
        pipelined: send the next GET together with the response.
        idle: send each event only after the runtime has waited for it.
        fails: the handler raises, so the response is an /error.
        padding: bytes added to event and response; above 2 KB the event is sent in chunks.
    """

    pipelined: bool
    idle: bool
    fails: bool
    padding: int


@attrs.frozen
class Cut:
    """The place and the kind of a break of the connection.

    Args:
        outward: whether to count the bytes that the runtime writes, otherwise those that it reads.
        byte: the number of these bytes that arrive.
        blind: whether the kernel accepts bytes that no longer arrive.
        reset: whether the connection ends with a reset, otherwise with a close.
    """

    outward: bool
    byte: int
    blind: bool = False
    reset: bool = False


@attrs.define(eq=False)
class CutTransport:
    """A connection to a ClassicPlatform; the first of a run breaks at its cut.

    `taken` is what the runtime could write, `sent` what arrived of it, `heard` what the runtime
    could read.
    """

    cut: Cut | None
    connection: Connection = attrs.field(init=False)
    taken: list[bytes] = attrs.field(factory=list[bytes], init=False)
    sent: list[bytes] = attrs.field(factory=list[bytes], init=False)
    heard: list[bytes] = attrs.field(factory=list[bytes], init=False)
    broken: bool = attrs.field(default=False, init=False)
    _inbox: bytearray = attrs.field(factory=bytearray, init=False)
    _arrival: Arrival = attrs.field(factory=Arrival, init=False)

    def _left(self, outward: bool) -> float:
        if self.cut is None or self.cut.outward is not outward:
            return math.inf
        return self.cut.byte - sum(map(len, self.sent if outward else self.heard))

    def deliver(self, pieces: list[bytes]) -> None:
        data, left = b"".join(pieces), self._left(outward=False)
        if self.broken:
            return
        if len(data) >= left:
            data, self.broken = data[: int(left)], True
        self.heard.append(data)
        self._inbox += data
        self._arrival.tell()

    def receive(self, limit: int) -> bytes:
        if self._inbox:
            data = bytes(self._inbox[:limit])
            del self._inbox[:limit]
            return data
        if not self.broken:
            raise BlockingIOError
        if self.cut is not None and self.cut.reset:
            raise ConnectionResetError("reset")
        return b""

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise BrokenPipeError("broken")
        left, taken = self._left(outward=True), bytes(data)
        if len(taken) >= left:
            # Set first: answers to these bytes do not arrive any more.
            taken, self.broken = taken[: int(left)], True
            self._arrival.tell()
        self.sent.append(taken)
        self.connection.receive(taken)
        if self.broken and not taken and not (self.cut and self.cut.blind):
            raise BrokenPipeError("broken")
        self.taken.append(bytes(data) if self.cut is not None and self.cut.blind else taken)
        return len(self.taken[-1])

    def pending(self) -> bool:
        return self.broken or bool(self._inbox)

    async def readable(self) -> None:
        await self._arrival.wait(self.pending)

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def interrupt(self) -> None:
        self._arrival.interrupt()

    def close(self) -> None:
        self.connection.peer_gone()


@attrs.frozen
class Lengths:
    """Lengths of the messages of an uncut run in bytes, in their order on the connection.

    Args:
        get, head, answer: the first GET, the head of the response, the whole response.
        event, status, second: the first event, the status, the second event.
    """

    get: int
    head: int
    answer: int
    event: int
    status: int
    second: int

    @property
    def out(self) -> int:
        """All that the runtime writes in a cycle."""
        return self.get + self.answer + self.get

    @property
    def back(self) -> int:
        """All that the runtime reads in a cycle."""
        return self.event + self.status + self.second


@attrs.define(eq=False)
class CutWorld:
    """The platform of one run, and what was observed."""

    shape: Shape
    cut: Cut | None
    begun: Counter[int] = attrs.field(factory=Counter[int], init=False)
    invocations: list[Invocation] = attrs.field(factory=list[Invocation], init=False)
    connections: list[CutTransport] = attrs.field(factory=list[CutTransport], init=False)
    journal: Journal = attrs.field(factory=Journal, init=False)
    failures: list[str] = attrs.field(factory=list[str], init=False)
    said: list[str] = attrs.field(factory=list[str], init=False)
    timed_out: int = attrs.field(default=0, init=False)
    lane: Lane = attrs.field(init=False)
    _exchange: ClassicPlatform = attrs.field(init=False)
    _ended: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.lane = Lane(0, b"api", self.shape.pipelined)
        self._exchange = ClassicPlatform(
            trio.current_time,
            time.time,
            self.journal,
            hooks=RuntimeApiHooks(on_end=lambda _: self._ended.set()),
        )

    async def connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        transport = CutTransport(None if self.connections else self.cut)
        self.connections.append(transport)
        transport.connection = Connection(self._exchange, "arn", transport.deliver)
        return transport

    async def invoke_all(self) -> None:
        """Let every event be served, until one is not or the process ends."""
        for number in range(EVENTS):
            if self.shape.idle:
                await trio.sleep(SILENCE)
            event = {"n": number, "padding": "x" * self.shape.padding}
            invocation = Invocation(json.dumps(event).encode(), TIMEOUT)
            self.invocations.append(invocation)
            self._ended = trio.Event()
            self._exchange.offer(invocation)
            with trio.move_on_after(TIMEOUT) as limit:
                await self._ended.wait()
            if self.failures:
                return
            if limit.cancelled_caught:
                self.timed_out += 1
                return
        await trio.testing.wait_all_tasks_blocked()

    def fail(self, why: str) -> None:
        """End the process: no event is requested or waited for any more."""
        self.failures.append(why)
        self.lane.stop_asking()
        self._ended.set()

    def handler(self) -> type[Handler[dict[str, object]]]:
        """Return a handler that counts how often it begins with each event."""
        begun, fails = self.begun, self.shape.fails

        class Echo(Handler[dict[str, object]]):
            async def handle(self, event: dict[str, object], context: Context) -> object:
                number = event["n"]
                assert isinstance(number, int)
                begun[number] += 1
                await trio.lowlevel.checkpoint()
                if fails:
                    raise ValueError(f"own {number}")
                return {**event, "own": number}

        return Echo

    def judged(self, cut: Cut, at: Lengths) -> tuple[str, list[str]]:
        """Return the outcome of the run, and what is wrong with it."""
        return judge(self, expected(self.shape, cut, at))


def run(shape: Shape, cut: Cut | None, seed: int = 1, kind: type[CutWorld] = CutWorld) -> CutWorld:
    """Run once, to the end."""
    random_of_trio().seed(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(_main, kind, shape, cut, clock=clock)


async def _main(kind: type[CutWorld], shape: Shape, cut: Cut | None) -> CutWorld:
    world = kind(shape, cut)
    ledger = RecordingLedger([world.lane], world.fail, NoWatchdog())
    serving = ServedFunction(
        Function(world.handler()),
        Settings("api:80", "app.handler", "."),
        ledger,
        DeadlineInterrupt(),
    )
    flags = build_tree(serving, world.connect)
    handler = Recorder(world.said)
    logger = logging.getLogger("okibi")
    logger.addHandler(handler)
    try:
        async with trio.open_nursery() as nursery:
            top = partial(Supervisor, flags)
            root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
            await wait_started(root, math.inf)
            await world.invoke_all()
            root.stop()
            await root.wait_dead()
    finally:
        logger.removeHandler(handler)
    return world


class Recorder(logging.Handler):
    """Keeps log messages."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def measure(shape: Shape, kind: type[CutWorld] = CutWorld) -> Lengths:
    """Return the lengths, from an uncut run."""
    (wire,) = run(shape, None, kind=kind).connections
    out, back = b"".join(wire.sent), b"".join(wire.heard)
    get = out.index(b"POST ")
    answer = out.index(b"GET ", get) - get
    head = out.index(b"\r\n\r\n", get) + 4 - get
    first, second = back.index(b"HTTP/1.1 202"), back.index(b"HTTP/1.1 200", 1)
    third = back.index(b"HTTP/1.1 202", second)
    return Lengths(get, head, answer, first, second - first, third - second)


def expected(shape: Shape, cut: Cut, at: Lengths) -> str:
    """Return the outcome that a cut must have. An abandoned /next loses an event that comes
    later.
    """
    swallowed = LOST if shape.idle else ANEW
    if cut.outward:
        into_answer = cut.byte - at.get
        if into_answer < 0:
            return ANEW
        if into_answer == 0:
            return swallowed
        if into_answer < at.answer:
            # Half a response: known at once, or by the refusal of its repetition. The platform
            # ignores a response whose head has not arrived.
            return AGAIN if cut.blind and into_answer < at.head else ENDED
        if shape.pipelined or into_answer == at.answer:
            whole = into_answer == at.answer + at.get
            return LOST if shape.idle and whole else AGAIN
        return swallowed if cut.byte == at.out else ANEW
    into_status = cut.byte - at.event
    if into_status <= 0:
        return ANEW
    if into_status < at.status:
        return LOST if shape.idle and shape.pipelined else AGAIN
    if into_status == at.status and shape.pipelined:
        return swallowed
    return ANEW


def judge(world: CutWorld, want: str) -> tuple[str, list[str]]:
    """Return the outcome of a run, and what is wrong with it."""
    wrong: list[str] = []
    outcome = _outcome(world)
    if outcome != want:
        wrong.append(f"the outcome was {outcome!r}, not {want!r}")
    twice = {number: times for number, times in world.begun.items() if times > 1}
    if twice:
        wrong.append(f"a handler began again: {twice}")
    for number, invocation in enumerate(world.invocations):
        answered = invocation.outcome
        own = (b'"errorMessage": "own %d"' if world.shape.fails else b'"own":%d') % number
        if answered is not None and own not in answered.payload:
            wrong.append(f"event {number} was answered with {answered.payload!r}")
        if answered is None and outcome in (ANEW, AGAIN, UNBROKEN):
            wrong.append(f"event {number} was never answered")
    left = [n for n, each in enumerate(world.invocations) if each.outcome is None]
    if outcome == LOST and [world.begun[n] for n in left] != [0]:
        wrong.append(f"{left} were left unanswered, begun {world.begun}")
    told = [loss for loss in Loss if any(line.endswith(loss.value) for line in world.said)]
    if outcome == LOST and not {Loss.MAYBE_EVENT, Loss.RESEND_MAYBE_EVENT} & set(told):
        wrong.append(f"the log does not say that an event may be lost: {world.said}")
    if len(world.failures) > 1:
        wrong.append(f"the process was ended twice: {world.failures}")
    return outcome, wrong


def _outcome(world: CutWorld) -> str:
    if world.failures:
        return ENDED
    if world.timed_out:
        return LOST
    again = sum(b"".join(each.taken).count(b"POST ") for each in world.connections) > EVENTS
    if again or EntryKind.REFUSED in {entry.kind for entry in world.journal}:
        return AGAIN
    return ANEW if len(world.connections) > 1 else UNBROKEN


def shapes() -> Iterator[Shape]:
    """Yield all shapes of the sweep."""
    for pipelined, idle, fails, padding in itertools.product(
        (True, False), (False, True), (False, True), (0, 2100)
    ):
        yield Shape(pipelined, idle, fails, padding)


def cuts(shape: Shape, at: Lengths) -> Iterator[Cut]:
    """Yield every byte of a cycle in both directions; for long cycles a sample, and all borders."""
    step = 17 if shape.padding else 1
    borders = {at.get, at.get + at.head, at.get + at.answer, at.out}
    for byte in sorted({*range(0, at.out + 1, step), *borders}):
        for blind, reset in itertools.product((False, True), repeat=2):
            yield Cut(True, byte, blind, reset)
    borders = {at.event, at.event + at.status, at.back}
    for byte in sorted({*range(0, at.back + 1, step), *borders}):
        for reset in (False, True):
            yield Cut(False, byte, reset=reset)


def sweep_of(
    shape: Shape, every: int, kind: type[CutWorld] = CutWorld
) -> tuple[Counter[str], list[str]]:
    """Run each `every`-th cut; return counts of outcomes, and a line per failure."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    at = measure(shape, kind)
    for number, cut in enumerate(cuts(shape, at)):
        if number % every == 0:
            outcome, wrong = run(shape, cut, number, kind).judged(cut, at)
            counts[outcome] += 1
            failures += [f"{shape} {cut}: {each}" for each in wrong]
    return counts, failures


def main() -> int:
    every = int(os.environ.get("OKIBI_SWEEP_EVERY", "1"))
    began = time.perf_counter()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    with multiprocessing.Pool(initializer=quiet) as pool:
        for counted, failed in pool.imap(partial(sweep_of, every=every), shapes()):
            counts += counted
            failures += failed
    print(f"{counts.total()} cuts; {len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    return verdict(counts, failures)


def quiet() -> None:
    """Silence the log, except in runs that look at it."""
    # Errors of handlers are written to the output directly, not through logging.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    logger = logging.getLogger("okibi")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


if __name__ == "__main__":
    sys.exit(main())
