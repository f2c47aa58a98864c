"""A mailbox: two lanes, one reader.

    control   monitors' Down, timers, whatever steers the actor. Never bounded, never dropped,
              and read first, however much data waits. Only what rings while timers are being read
              lets one message of data pass.
    data      calls, casts and sent messages. Bounded by the actor's policy.

One bounded queue for both is what other libraries learnt to regret: when it is full, dropping
the oldest drops the message that would have stopped the flood. One unbounded queue, as in OTP,
grows until the sandbox is out of memory. The price of two lanes is that a `Down` can overtake a
message that the dead actor had sent before.

A message is taken without a checkpoint between the decision to take it and its return, so a
cancelled reader never loses one: cancellation falls before the message is taken or not at all.
A reader that waits is handed the next message without a detour over the lane.
"""

import enum
import heapq
import math
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Final, NamedTuple, TypeVar, cast

import attrs
import outcome
import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from .safe_repr import misplaced
from .timers import Tick, Timer, ring, sweep, take
from .trio_internals import Turn, Turns, step

T = TypeVar("T")


class WhenFull(enum.Enum):
    """What happens to a message for which the data lane has no room."""

    BLOCK = "block"
    REJECT = "reject"
    DROP_OLDEST = "drop oldest"


class MailboxFull(Exception):
    """The message was not taken, or was dropped for a newer one: the data lane was full."""


@attrs.frozen
class MailboxPolicy:
    """How much data may wait for an actor, and what becomes of more.

    Args:
        capacity: how many messages the data lane holds; at least 1. Up to as many again are
            taken from actors that would otherwise wait for each other for ever.
        when_full: BLOCK makes senders wait, REJECT raises MailboxFull to the sender,
            DROP_OLDEST takes the new one and fails the oldest (its caller, if it is a call,
            gets MailboxFull).
    """

    capacity: int = 1000
    when_full: WhenFull = WhenFull.BLOCK

    def __attrs_post_init__(self) -> None:
        if not isinstance(cast("object", self.capacity), int) or self.capacity < 1:
            raise ValueError(
                f"capacity is a whole number, at least 1, not {misplaced(self.capacity)}"
            )
        if not isinstance(cast("object", self.when_full), WhenFull):
            raise TypeError(f"when_full is a WhenFull, not {misplaced(self.when_full)}")


DEFAULT_POLICY = MailboxPolicy()


class _Timeout:
    def __repr__(self) -> str:
        return "TIMEOUT"


TIMEOUT: Final = _Timeout()
"""What a server's `handle_info` is given when no message came in time (`timeout_after`)."""


class MailboxStatistics(NamedTuple):
    """How a mailbox stands at one moment.

    Attributes:
        length: how many messages wait on the data lane.
        control: how many wait on the control lane.
        peak: the most that have ever waited on the data lane. A message that is handed to a
            reader who waits for it has never waited itself.
        dropped: how many were dropped for a newer one (DROP_OLDEST).
        blocked: how many senders wait for room (BLOCK).
        capacity: how many messages the data lane holds.
    """

    length: int
    control: int
    peak: int
    dropped: int
    blocked: int
    capacity: int


# Both lanes of a mailbox that nothing has waited in yet. A deque takes 760 bytes, and most actors
# are handed each message while they wait for it. It holds nothing, should anybody put it there.
_EMPTY: deque[object] = deque(maxlen=0)

# What a reader is woken with that is to look at the lanes, instead of being handed a message.
LOOK: object = object()


class Handed(outcome.Outcome[object]):
    """A message on its way to the reader that is woken with it.

    An `outcome.Value` is frozen, and sees that it is used once: 2,500 instructions a message more.
    """

    __slots__ = ("message",)

    def __init__(self, message: object) -> None:
        self.message = message

    def unwrap(self) -> object:
        return self.message

    def send(self, gen: Generator[T, object, object]) -> T:
        return gen.send(self.message)

    async def asend(self, agen: AsyncGenerator[T, object]) -> T:
        return await agen.asend(self.message)


# Two wake-ups, made once.
_NOTHING = Handed(None)
_LOOK = Handed(LOOK)


class Mailbox:
    """The two lanes of one actor, its timers, and who waits on either side."""

    __slots__ = (
        "_rang",
        "_reader",
        "_rung",
        "_senders",
        "_sweep_at",
        "closed",
        "control",
        "data",
        "dropped",
        "idle",
        "peak",
        "policy",
        "timers",
        "turns",
    )

    def __init__(self, policy: MailboxPolicy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self.control: deque[object] = _EMPTY
        self.data: deque[object] = _EMPTY
        # When the wait for a message ends with TIMEOUT, in seconds of trio's clock.
        self.idle = math.inf
        self.timers: list[Timer] | None = None
        # What its reader does with a message without waiting, if that is all it does with one.
        self.turns: Turns | None = None
        self.closed = False
        self.dropped = 0
        self.peak = 0
        self._reader: Task | None = None
        # Whether a timer has rung since data was last read: then data has its turn. A timer set to
        # ring at once, again and again, would hold it up for ever. What a post has rung counts from
        # the reader's next look on, so that all that is due by then has the same turn.
        self._rang = self._rung = False
        self._sweep_at = 64
        self._senders: OrderedDict[Task, object] | None = None

    # -- the writers' side

    def post(self, message: object) -> None:
        """Put a message on the control lane. One that nobody will read any more is forgotten."""
        if not self.closed:
            self._wake()
            if self.timers and not (self._rang and self.data):
                # What was due before stands before it, though the reader has not looked since.
                self._ring(self.timers)
            self._steer(message)

    def offer(self, message: object) -> object | None:
        """Put a message on the data lane without waiting; give the one dropped for it, if any.

        Raises:
            MailboxFull: there is no room, and the policy is not to drop.
        """
        reader = self._reader
        if reader is not None:
            # It waits, so both lanes are empty: the message goes from hand to hand. trio never
            # cancels a task that has been rescheduled, so it arrives.
            reschedule(reader, _NOTHING if message is None else Handed(message))
            self._reader = None
            return None
        dropped = None
        waiting = len(self.data)
        if waiting >= self.policy.capacity:
            if self.policy.when_full is not WhenFull.DROP_OLDEST:
                raise MailboxFull(f"{waiting} messages wait already")
            self.dropped += 1
            dropped = self.data.popleft()
        elif waiting >= self.peak:
            # Not so for a blocked sender, who takes the place of what was read.
            self.peak = waiting + 1
        self._append(message)
        return dropped

    def take_turn(self, message: object) -> bool:
        """Have the reader's turn taken with a message, here and now (module `trio_internals`).

        False if it takes none, or is at something else.
        """
        reader, turns = self._reader, self.turns
        if reader is None or turns is None:
            return False
        self._reader = None
        if turns.take(reader, message):
            self._reader = reader
        if self.control or self.data or self.timers or self.idle != math.inf:
            # It came meanwhile.
            self._wake()
        return True

    def step_reader(self, message: object) -> bool:
        """Have the reader's task go on with a message, here and now (module `trio_internals`).

        False if it does not wait for one.
        """
        reader = self._reader
        if reader is None:
            return False
        self._reader = None
        step(reader, Handed(message))
        return True

    async def wait_for_room(self, message: object) -> bool:
        """Wait in line. True once the reader has let the message in, False if it never will."""
        task = current_task()
        if self._senders is None:
            self._senders = OrderedDict()
        senders = self._senders
        senders[task] = message

        def abort(_: RaiseCancelT) -> Abort:
            del senders[task]
            return Abort.SUCCEEDED

        return bool(await wait_task_rescheduled(abort))

    def overfill(self, message: object) -> bool:
        """Put a message on a full data lane; False if it holds twice its capacity already.

        For a sender that would otherwise wait for ever: see module `wait_cycles`.
        """
        if len(self.data) >= 2 * self.policy.capacity:
            return False
        self._append(message)
        self.peak = max(self.peak, len(self.data))
        return True

    def let_in(self, task: Task) -> bool:
        """Let one sender in that waits for room, ahead of the others; False as for `overfill`."""
        senders = self._senders or OrderedDict[Task, object]()
        if not self.overfill(senders[task]):
            return False
        del senders[task]
        reschedule(task, outcome.Value(True))
        return True

    def add(self, timer: Timer) -> None:
        """Set a timer; a reader that waits already starts its wait anew."""
        self._wake()
        if self.timers is None:
            self.timers = []
        if len(self.timers) >= self._sweep_at:
            # Whoever sets and cancels a timer for each message would fill the heap with them.
            sweep(self.timers)
            self._sweep_at = max(64, 2 * len(self.timers))
        heapq.heappush(self.timers, timer)

    def end_with(self, message: object) -> None:
        """Put a message behind all that waits, senders that wait for room included."""
        while self._senders:
            self._admit(self._senders)
        self._wake()
        self._append(message)
        self.peak = max(self.peak, len(self.data))

    def forget(self, unwanted: Callable[[object], bool]) -> None:
        """Take messages off the control lane again; it asks none of them for its `__eq__`."""
        for message in [m for m in self.control if unwanted(m)]:
            at = next(at for at, other in enumerate(self.control) if other is message)
            del self.control[at]

    def turn_away(self, unwanted: Callable[[object], bool]) -> None:
        """Take messages off the data lane again; who waits for room with one need not any more."""
        if self.data:
            self.data = deque(m for m in self.data if not unwanted(m))
        senders = self._senders or OrderedDict[Task, object]()
        for task in [task for task, message in senders.items() if unwanted(message)]:
            del senders[task]
            reschedule(task, outcome.Value(True))
        while senders and len(self.data) < self.policy.capacity:
            self._admit(senders)

    def time_out_at(self, when: float) -> None:
        """End the wait for a message with TIMEOUT; a reader that waits already begins anew."""
        self._wake()
        self.idle = when

    def close(self) -> list[object]:
        """Let nobody in any more; give what was left on the data lane, waiting senders last."""
        self.closed = True
        self._wake()
        left = list(self.data)
        self.data = self.control = _EMPTY
        self.timers = self.turns = None
        while self._senders:
            task, message = self._senders.popitem(last=False)
            left.append(message)
            reschedule(task, outcome.Value(False))
        return left

    @property
    def waited_at(self) -> bool:
        """Whether a reader waits for the next message."""
        return self._reader is not None

    def blocks(self, task: Task) -> bool:
        """Whether a task waits for room."""
        return task in (self._senders or ())

    def statistics(self) -> MailboxStatistics:
        """How it stands now."""
        return MailboxStatistics(
            len(self.data),
            len(self.control),
            self.peak,
            self.dropped,
            len(self._senders or ()),
            self.policy.capacity,
        )

    # -- the reader's side

    async def receive(self) -> object:
        """The next message: control first, then data, each in the order it came. A checkpoint."""
        ready = self.control or self.data
        if ready or ((self.timers or self.idle != math.inf) and self._is_due()):
            # Before anything is taken: a kill that falls here loses nothing.
            await checkpoint()
        while True:
            timers = self.timers
            if timers is not None and (timers or self._rung) and not (self._rang and self.data):
                self._ring(timers)
                self._rang, self._rung = self._rang or self._rung, False
            if self.control:
                message = self.control.popleft()
                if not isinstance(message, Tick):
                    return message
                # It comes off a heap, so there is one.
                if take(message, cast("list[Timer]", timers)):
                    return message.timer.message
                continue
            if self.data:
                message = self.data.popleft()
                self._rang = False
                if self._senders and len(self.data) < self.policy.capacity:
                    self._admit(self._senders)
                return message
            if self._reader is not None:
                raise trio.BusyResourceError("another task reads this mailbox already")
            if self.closed:
                raise RuntimeError("its actor has ended: no message comes to it")
            due = self._due() if timers else self.idle
            if due == math.inf:
                self._reader = current_task()
                message = await wait_task_rescheduled(self._unpark)
            elif due <= trio.current_time():
                # No timer, those have rung: nothing came in time.
                self.idle = math.inf
                return TIMEOUT
            else:
                message = LOOK
                self._reader = current_task()
                with trio.CancelScope(deadline=due):
                    message = await wait_task_rescheduled(self._unpark)
            # Who takes turns may have to wait for something else now.
            if message is not LOOK or self.turns is not None:
                return message

    def receiver(self, turn: Turn | None = None) -> Callable[[], Awaitable[object]]:
        """What does as `receive` for the running task, with a frame less between; or gives LOOK,
        when it is to be asked again.

        Args:
            turn: what is done with a message, if that is the same for each, and never waits.
        """
        task, unpark = current_task(), self._unpark
        if self._reader is task:
            self._reader = None  # it runs, so it waits no more: it was torn out of that
        if turn is not None:
            self.turns = Turns(turn, _LOOK)

        def receive() -> Awaitable[object]:
            if self.control or self.data or self.timers or self._reader or self.idle != math.inf:
                return self.receive()
            self._reader = task
            return wait_task_rescheduled(unpark)  # noqa: ASYNC105, whoever calls this awaits it

        return receive

    def _due(self) -> float:
        """When a timer or the idle time-out ends the wait for a message."""
        timers = self.timers
        return min(self.idle, timers[0].due) if timers else self.idle

    def _is_due(self) -> bool:
        return self._due() <= trio.current_time()

    def _unpark(self, cancel: RaiseCancelT) -> Abort:
        if self.turns is not None and self.turns.postpones(cancel):
            return Abort.FAILED
        self._reader = None
        return Abort.SUCCEEDED

    def _wake(self) -> None:
        """Let the reader look again, after this step.

        Called before anything is put in: from another thread it raises, and harms nothing.
        """
        reader = self._reader
        if reader is not None:
            reschedule(reader, _LOOK)
            self._reader = None

    def _ring(self, timers: list[Timer]) -> None:
        for rung in ring(timers, trio.current_time()):
            self._steer(rung)
            self._rung = True

    def _steer(self, message: object) -> None:
        if self.control is _EMPTY:
            self.control = deque()
        self.control.append(message)

    def _append(self, message: object) -> None:
        if self.data is _EMPTY:
            self.data = deque()
        self.data.append(message)

    def _admit(self, senders: "OrderedDict[Task, object]") -> None:
        """Let the sender in that has waited longest."""
        task, message = senders.popitem(last=False)
        self._append(message)
        reschedule(task, outcome.Value(True))
