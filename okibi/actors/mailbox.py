"""A mailbox: two lanes and one reader.

    control   timers, system messages, freezes, changes of a group. Unbounded, never dropped, and
              read before any data, except that a timer goes behind a notice that came before the
              timer was due. After a batch of due timers, one data message goes before the timers
              that come due later.
    data      calls, casts and sent messages, bounded by the actor's MailboxPolicy; and notices, a
              Down or a Result, which are never refused, dropped or counted.

A notice goes behind the data that waits: a Down must not overtake what the dead actor had sent
before, and a Result not what the server had sent before its reply (OTP: signal order).

Rejected: one bounded queue for both, because when it is full, dropping the oldest message may drop
the message that would have stopped the flood. Rejected: one unbounded queue, as in OTP, because it
grows until the sandbox is out of memory.

No checkpoint lies between the decision to take a message and its return. A cancelled reader never
loses a message: the cancellation comes before the message is taken, or not at all. A reader that
already waits is handed the next message directly.
"""

import enum
import heapq
import itertools
import math
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard, TypeVar, cast

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

from .safe_repr import describe_value
from .timers import Notice, Tick, Timer, accept_tick, drop_cancelled, pop_due

if TYPE_CHECKING:
    from .mailbox_statistics import MailboxStatistics

    class TurnRunner(Protocol):
        """Handles messages in the name of a waiting reader (`okibi.runtime.in_flight.turns`)."""

        def run(self, task: Task, message: object, /) -> bool: ...
        def postpone_cancel(self, cancel: RaiseCancelT, /) -> bool: ...


T = TypeVar("T")


class WhenFull(enum.Enum):
    """The rule for a new message when the data lane is full.

    Attributes:
        BLOCK: the sender waits for space.
        REJECT: the sender gets MailboxFull.
        DROP_OLDEST: the oldest message is dropped. If it is a call, its caller gets MailboxFull.
    """

    BLOCK = "block"
    REJECT = "reject"
    DROP_OLDEST = "drop oldest"


class MailboxFull(Exception):
    """The data lane was full: the message was refused, or dropped for a newer message."""


@attrs.frozen
class MailboxPolicy:
    """The capacity of an actor's mailbox, and the rule for a full mailbox.

    Set as the class attribute `mailbox` of an Actor. OTP's mailboxes have no bound.

        class Counter(Server):
            mailbox = MailboxPolicy(capacity=100, when_full=WhenFull.REJECT)

    Args:
        capacity: messages that may wait, an integer >= 1; the default is 1000. Actors that would
            otherwise wait for each other for ever may exceed it, up to twice the capacity.
        when_full: the rule for a message to a full lane; the default is BLOCK.

    Raises:
        ValueError: `capacity` is not an integer >= 1.
        TypeError: `when_full` is not a WhenFull.
    """

    capacity: int = 1000
    when_full: WhenFull = WhenFull.BLOCK

    def __attrs_post_init__(self) -> None:
        if not isinstance(cast("object", self.capacity), int) or self.capacity < 1:
            raise ValueError(
                f"capacity must be an integer >= 1, got {describe_value(self.capacity)}"
            )
        if not isinstance(cast("object", self.when_full), WhenFull):
            raise TypeError(f"when_full must be a WhenFull, got {describe_value(self.when_full)}")


DEFAULT_POLICY = MailboxPolicy()


class _Timeout:
    def __repr__(self) -> str:
        return "TIMEOUT"


TIMEOUT: Final = _Timeout()
"""Given to a server's `handle_info` when no message arrives in time (`timeout_after`)."""


# Shared by all mailboxes whose lane was never used: a deque takes 760 bytes, and most actors are
# handed each message while they wait. With maxlen=0, because it must stay empty.
_EMPTY: deque[object] = deque(maxlen=0)

# Returned by `offer` if no message was dropped: None may be a message. NEW_PEAK, if more messages
# wait than ever before, and they take more than half of the capacity.
NOTHING_DROPPED: Final[object] = object()
NEW_PEAK: Final[object] = object()

# Wakes the reader without a message: the reader must check the lanes again. A reader that takes
# turns gets it as a message.
LOOK: object = object()


class MessageOutcome(outcome.Outcome[object]):
    """The outcome that wakes a waiting reader with a message.

    An `outcome.Value` is frozen and checks that it is unwrapped once: 2,500 more instructions per
    message.
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


_NONE = MessageOutcome(None)
_LOOK = MessageOutcome(LOOK)


class Mailbox:
    """The lanes and timers of one actor, its waiting reader, and its blocked senders."""

    __slots__ = (
        "_data_goes_first",
        "_notices",
        "_reader",
        "_sweep_at",
        "_timer_fired",
        "blocked_senders",
        "closed",
        "control",
        "data",
        "dropped",
        "idle_deadline",
        "peak",
        "policy",
        "timers",
        "turn_runner",
    )

    def __init__(self, policy: MailboxPolicy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self.control: deque[object] = _EMPTY
        self.data: deque[object] = _EMPTY
        # When the wait for a message ends with TIMEOUT, in seconds of trio's clock.
        self.idle_deadline = math.inf
        self.timers: list[Timer] | None = None
        # Handles a message without waking the reader, if the actor never waits over a message.
        self.turn_runner: TurnRunner | None = None
        self.closed = False
        self.dropped = 0
        self.peak = 0
        self._reader: Task | None = None
        # The number of notices on the data lane.
        self._notices = 0
        # Whether a timer has fired since data was last read. If so, data goes first: a timer that
        # is set to fire at once, again and again, would block data for ever.
        self._data_goes_first = False
        # Whether a timer has fired since the reader last checked the lanes. The next check sets
        # `_data_goes_first`, so that all timers due by then go before data.
        self._timer_fired = False
        self._sweep_at = 64  # number of timers at which cancelled timers are dropped
        self.blocked_senders: OrderedDict[Task, object] | None = None

    # -- senders

    def post(self, message: object) -> None:
        """Put a message on the control lane. A closed mailbox discards it."""
        if not self.closed:
            self._wake()
            if self.timers and not (self._data_goes_first and self.data):
                # Timers that were due before this message go before it.
                self._fire_due(self.timers)
            self._append_control(message)

    def notify(self, notice: Notice) -> None:
        """Put a notice on the data lane, however full. A closed mailbox discards it."""
        if self.closed:
            return
        reader = self._reader
        if reader is not None:
            reschedule(reader, MessageOutcome(notice))
            self._reader = None
            self._data_goes_first = False
            return
        if self.timers:
            self._fire_due(self.timers)
        self._append_data(notice)
        self._notices += 1

    def offer(self, message: object) -> object:
        """Put a message on the data lane without waiting.

        Returns:
            The message dropped for it, NOTHING_DROPPED, or NEW_PEAK.

        Raises:
            MailboxFull: the lane is full, and the policy is not DROP_OLDEST.
        """
        reader = self._reader
        if reader is not None:
            # The reader waits, so both lanes are empty. trio never cancels a rescheduled task, so
            # the message arrives.
            reschedule(reader, _NONE if message is None else MessageOutcome(message))
            self._reader = None
            self._data_goes_first = False
            return NOTHING_DROPPED
        dropped = NOTHING_DROPPED
        waiting = self._count()
        if waiting >= self.policy.capacity:
            if self.policy.when_full is not WhenFull.DROP_OLDEST:
                raise MailboxFull(f"the mailbox already holds {waiting} messages")
            self.dropped += 1
            dropped = self._drop_oldest()
        elif waiting >= self.peak:
            # A blocked sender takes the place of a message that was read: no new peak.
            self.peak = waiting + 1
            if 2 * self.peak > self.policy.capacity:
                dropped = NEW_PEAK
        self._append_data(message)
        return dropped

    def take_reader(self) -> Task | None:
        """Take the waiting reader, for a sender that wakes it with a message.

        None if no reader waits. Messages that are sent before `return_reader` wait in the lanes.
        """
        reader, self._reader = self._reader, None
        return reader

    def return_reader(self, reader: Task) -> None:
        """Undo `take_reader`: the reader still waits. Wake it if there is mail or a timer."""
        self._reader = reader
        if self.control or self.data or self.timers or self.idle_deadline != math.inf:
            self._wake()

    async def wait_for_space(self, message: object) -> bool:
        """Wait in line for space. True once the message is on the lane, False after `close`."""
        task = current_task()
        if self.blocked_senders is None:
            self.blocked_senders = OrderedDict()
        senders = self.blocked_senders
        senders[task] = message

        def abort(_: RaiseCancelT) -> Abort:
            del senders[task]
            return Abort.SUCCEEDED

        return bool(await wait_task_rescheduled(abort))

    def put_beyond_capacity(self, message: object) -> bool:
        """Put a message on a full data lane; False if the lane already holds twice its capacity.

        For a sender that would otherwise wait for ever (module `wait_cycles`).
        """
        if self._count() >= 2 * self.policy.capacity:
            return False
        self._append_data(message)
        self.peak = max(self.peak, self._count())
        return True

    def admit(self, task: Task) -> bool:
        """Accept the message of a blocked sender ahead of the other blocked senders.

        False if the lane already holds twice its capacity.
        """
        senders = self.blocked_senders or OrderedDict[Task, object]()
        if not self.put_beyond_capacity(senders[task]):
            return False
        del senders[task]
        reschedule(task, outcome.Value(True))
        return True

    def add(self, timer: Timer) -> None:
        """Add a timer. A waiting reader recomputes how long to wait."""
        self._wake()
        if self.timers is None:
            self.timers = []
        if len(self.timers) >= self._sweep_at:
            # An actor that sets and cancels a timer for each message would fill the heap.
            drop_cancelled(self.timers)
            self._sweep_at = max(64, 2 * len(self.timers))
        heapq.heappush(self.timers, timer)

    def fire_first(self, timers: list[Timer], *, behind: bool = False) -> None:
        """Fire timers ahead of every other message, in their order.

        Args:
            timers: due at -inf, which marks them on the control lane.
            behind: whether they go behind the timers that were fired so before.
        """
        self._wake()
        ahead = 0
        if behind:
            fired = (type(m) is Tick and m.timer.due == -math.inf for m in self.control)
            ahead = sum(1 for _ in itertools.takewhile(bool, fired))
        self.control = deque(self.control)
        for timer in reversed(timers):
            self.control.insert(ahead, Tick(timer))

    def put_last(self, message: object) -> None:
        """Put a message behind all others, those of blocked senders included.

        The message is accepted whatever the capacity, and even while the actor is stopping.
        """
        while self.blocked_senders:
            self._admit_longest_waiting(self.blocked_senders)
        self._wake()
        self._append_data(message)
        self.peak = max(self.peak, self._count())

    def remove_control(self, unwanted: Callable[[object], bool]) -> None:
        """Remove messages from the control lane, by identity: `__eq__` may be user code."""
        for message in [m for m in self.control if unwanted(m)]:
            at = next(at for at, other in enumerate(self.control) if other is message)
            del self.control[at]

    def remove_notices(self, monitor: object) -> None:
        """Remove the notices of a monitor from the data lane."""
        if self._notices:
            kept = [m for m in self.data if not _is_notice(m) or _monitor_of(m) is not monitor]
            self._notices -= len(self.data) - len(kept)
            self.data = deque(kept)

    def remove_data(self, unwanted: Callable[[object], bool]) -> None:
        """Remove messages from the data lane. A blocked sender of such a message returns."""
        if self.data:
            self.data = deque(m for m in self.data if not unwanted(m))
        senders = self.blocked_senders or OrderedDict[Task, object]()
        for task in [task for task, message in senders.items() if unwanted(message)]:
            del senders[task]
            reschedule(task, outcome.Value(True))
        while senders and self._count() < self.policy.capacity:
            self._admit_longest_waiting(senders)

    def time_out_at(self, when: float) -> None:
        """End the wait for a message with TIMEOUT at a time of trio's clock."""
        self._wake()
        self.idle_deadline = when

    def close(self) -> list[object]:
        """Refuse all further messages; return the data left, that of blocked senders last."""
        self.closed = True
        self._wake()
        left = list(self.data)
        self.data = self.control = _EMPTY
        self._notices = 0
        self.timers = self.turn_runner = None
        while self.blocked_senders:
            task, message = self.blocked_senders.popitem(last=False)
            left.append(message)
            reschedule(task, outcome.Value(False))
        return left

    @property
    def has_reader(self) -> bool:
        """Whether a reader waits for the next message."""
        return self._reader is not None

    def blocks(self, task: Task) -> bool:
        """Return whether a task waits for space on the data lane."""
        return task in (self.blocked_senders or ())

    def statistics(self) -> "MailboxStatistics":
        """Return the counts of this moment."""
        from .mailbox_statistics import MailboxStatistics

        return MailboxStatistics(
            len(self.data),
            len(self.control),
            self.peak,
            self.dropped,
            len(self.blocked_senders or ()),
            self.policy.capacity,
        )

    # -- the reader

    async def receive(self) -> object:
        """Wait for the next message: control first, then data, each in order. A checkpoint."""
        ready = self.control or self.data
        if ready or ((self.timers or self.idle_deadline != math.inf) and self._wait_is_over()):
            # Before a message is taken: a kill at this checkpoint loses no message.
            await checkpoint()
        while True:
            timers = self.timers
            if (
                timers is not None
                and (timers or self._timer_fired)
                and not (self._data_goes_first and self.data)
            ):
                self._fire_due(timers)
                self._data_goes_first, self._timer_fired = (
                    self._data_goes_first or self._timer_fired,
                    False,
                )
            if self.control or self.data:
                message = self.control.popleft() if self.control else self._take_data()
                if type(message) is not Tick:
                    return message
                # A Tick comes from the heap of timers, so `timers` is not None.
                if accept_tick(message, cast("list[Timer]", timers)):
                    return message.timer.message
                continue
            if self._reader is not None:
                raise trio.BusyResourceError("another task already reads this mailbox")
            if self.closed:
                raise RuntimeError("the actor has ended and receives no more messages")
            due = self._due() if timers else self.idle_deadline
            if due == math.inf:
                self._reader = current_task()
                message = await wait_task_rescheduled(self._unpark)
            elif due <= trio.current_time():
                # All due timers have fired, so this is the idle time-out.
                self.idle_deadline = math.inf
                return TIMEOUT
            else:
                message = LOOK
                self._reader = current_task()
                with trio.CancelScope(deadline=due):
                    message = await wait_task_rescheduled(self._unpark)
            # An actor that takes turns gets LOOK, because it may have to wait for something else.
            if message is not LOOK or self.turn_runner is not None:
                return message

    def receiver(self, runner: "TurnRunner | None" = None) -> Callable[[], Awaitable[object]]:
        """Make a faster `receive` for the running task. It may return LOOK: call it again then.

        Args:
            runner: runs turns while the task waits; None for an actor that takes no turns.
        """
        task, unpark = current_task(), self._unpark
        if self._reader is task:
            self._reader = None  # left from a wait that an exception has ended
        self.turn_runner = runner

        def receive() -> Awaitable[object]:
            if (
                self.control
                or self.data
                or self.timers
                or self._reader
                or self.idle_deadline != math.inf
            ):
                return self.receive()
            self._reader = task
            return wait_task_rescheduled(unpark)  # noqa: ASYNC105, the caller awaits it

        return receive

    def _due(self) -> float:
        """When the next timer or the idle time-out ends the wait for a message."""
        timers = self.timers
        return min(self.idle_deadline, timers[0].due) if timers else self.idle_deadline

    def _wait_is_over(self) -> bool:
        return self._due() <= trio.current_time()

    def _unpark(self, cancel: RaiseCancelT) -> Abort:
        if self.turn_runner is not None and self.turn_runner.postpone_cancel(cancel):
            return Abort.FAILED
        self._reader = None
        return Abort.SUCCEEDED

    def _wake(self) -> None:
        """Wake the reader to check the lanes.

        Called before the mailbox is changed: in another thread it raises and has no effect.
        """
        reader = self._reader
        if reader is not None:
            reschedule(reader, _LOOK)
            self._reader = None

    def _fire_due(self, timers: list[Timer]) -> None:
        for tick in pop_due(timers, trio.current_time()):
            if self._notices:
                # The notices came before the timer was due, and go first; other data does not.
                data = self.data
                last = max(at for at, message in enumerate(data) if _is_notice(message))
                data.insert(last + 1, tick)
                self._notices += 1
            else:
                self._append_control(tick)
                self._timer_fired = True

    def _append_control(self, message: object) -> None:
        if self.control is _EMPTY:
            self.control = deque()
        self.control.append(message)

    def _take_data(self) -> object:
        """Take the next message from the data lane, and admit a blocked sender."""
        message = self.data.popleft()
        self._data_goes_first = False
        if self._notices and _is_notice(message):
            self._notices -= 1
        if self.blocked_senders and self._count() < self.policy.capacity:
            self._admit_longest_waiting(self.blocked_senders)
        return message

    def _count(self) -> int:
        """Count the data messages that the policy bounds."""
        return len(self.data) - self._notices

    def _drop_oldest(self) -> object:
        """Remove the oldest message that is no notice."""
        at = next(at for at, message in enumerate(self.data) if not _is_notice(message))
        dropped = self.data[at]
        del self.data[at]
        return dropped

    def _append_data(self, message: object) -> None:
        if self.data is _EMPTY:
            self.data = deque()
        self.data.append(message)

    def _admit_longest_waiting(self, senders: "OrderedDict[Task, object]") -> None:
        """Accept the message of the sender that has waited longest."""
        task, message = senders.popitem(last=False)
        self._append_data(message)
        reschedule(task, outcome.Value(True))


def _is_notice(message: object) -> TypeGuard[Notice]:
    return issubclass(type(message), Notice)


def _monitor_of(notice: Notice) -> object:
    """Return the monitor that a Down or a Result comes from; None for a Tick."""
    return getattr(notice, "monitor", None)
