"""The protocol of a store, and the store in memory."""

from bisect import insort
from collections.abc import Callable
from typing import Protocol

import trio

from .alarms import Alarm
from .operations import Move, Moved, Operation
from .rows import Row


class OperationRefused(Exception):
    """The condition of an operation does not hold; nothing was written.

    Attributes:
        row: the row that refused it; None if there is none.
    """

    def __init__(self, row: Row | None) -> None:
        super().__init__("the row has changed")
        self.row = row


class StoreFailed(Exception):
    """The store has not answered as it should; the operation may be sent again."""


class StoreThrottled(StoreFailed):
    """The store has too many requests at this moment; nothing was written."""


class StoreUnavailable(StoreFailed):
    """The store did not answer. Nobody knows whether it has written."""


class EntityFull(Exception):
    """The mail and the replies of an entity have too many bytes; nothing was written."""


class Store(Protocol):
    """Keeps the rows of entities. Each operation is one atomic step."""

    def now(self) -> int:
        """Return the milliseconds since 1970 by this sandbox's clock."""
        ...

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        """Return a row, maybe without a large state; None if there is none.

        Args:
            key: the entity.
            sender: the sender whose reply is needed; "" for all senders.
            consistent: whether the row must be the newest. Else it may be a second old.

        Raises:
            StoreThrottled, StoreUnavailable: there is no answer.
        """
        ...

    async def apply(self, operation: Operation) -> Row:
        """Do an operation, and return the row after it.

        After Post, TakeOver and Settle, the row has the state if their run owns the entity, also
        the row of a refusal.

        Raises:
            OperationRefused: its condition does not hold, or a Commit has a state that is too large
                to be saved in one step.
            EntityFull: the row would be too large.
            StoreThrottled, StoreUnavailable: there is no answer.
        """
        ...

    async def move(self, move: Move) -> Moved:
        """Move a message from an outbox to its receiver, in one atomic step.

        Raises:
            StoreThrottled, StoreUnavailable: there is no answer.
        """
        ...


def move_between(move: Move, read: Callable[[str], Row | None]) -> Moved | dict[str, Row]:
    """Return the rows after a Move, by key; else what became of it.

    Args:
        move: the move.
        read: returns the row of a key.
    """
    source, target = move.source, move.message.key
    taken = move.take(read(source))
    if taken is None:
        return Moved.GONE
    put = move.put(taken if target == source else read(target))
    return Moved.FULL if put is None else {source: taken, target: put}


class MemoryStore:
    """Keeps the rows in this process: for tests, and for programs that need no more.

    >>> import trio
    >>> from okibi.entities.operations import Post
    >>> from okibi.entities.rows import Mail
    >>> store = MemoryStore()
    >>> row = trio.run(store.apply, Post("cart/bob", Mail("a", 1, "{}", 9000), "run-1", 5000))
    >>> row.owner
    'run-1'
    """

    def __init__(self) -> None:
        self.rows = dict[str, Row]()
        self.alarms = list[Alarm]()

    def now(self) -> int:
        """Return the milliseconds of trio's clock, which a test may move."""
        return int(trio.current_time() * 1000)

    async def read(self, key: str, sender: str = "", *, consistent: bool) -> Row | None:
        """Return a row; None if there is none."""
        # The operation that follows lets other tasks run.
        await trio.lowlevel.checkpoint_if_cancelled()
        return self.rows.get(key)

    async def apply(self, operation: Operation) -> Row:
        """Do an operation, and return the row after it."""
        await trio.lowlevel.checkpoint()
        row = self.rows.get(operation.key)
        after = operation.apply(row)
        if after is None:
            raise OperationRefused(row)
        self.rows[operation.key] = after
        return after

    async def move(self, move: Move) -> Moved:
        """Move a message from an outbox to its receiver."""
        await trio.lowlevel.checkpoint()
        after = move_between(move, self.rows.get)
        if isinstance(after, Moved):
            return after
        self.rows |= after
        return Moved.DONE

    # -- alarms

    async def add_alarm(self, alarm: Alarm) -> None:
        """Add an alarm; see KeepsAlarms."""
        await trio.lowlevel.checkpoint()
        if alarm not in self.alarms:
            insort(self.alarms, alarm)

    async def first_alarm(self) -> Alarm | None:
        """Return the first alarm; see KeepsAlarms."""
        await trio.lowlevel.checkpoint()
        return self.alarms[0] if self.alarms else None

    async def remove_alarm(self, alarm: Alarm) -> None:
        """Remove an alarm; see KeepsAlarms."""
        await trio.lowlevel.checkpoint()
        if alarm in self.alarms:
            self.alarms.remove(alarm)
