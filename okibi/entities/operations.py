"""What can be done to an entity's row: operations as values, each one atomic step of a store.

| operation | by whom | done if |
| --- | --- | --- |
| Post | a caller: leaves a message, and owns the entity if it asks to and no run does | it was not posted before, and there is room |
| TakeOver | a caller whose lease has ended, or that found mail without an owner | nothing has changed since it looked |
| Settle | the owner: saves the state and the replies, and removes the mail that it ran | it is still the owner, and is the last that has written |
| HandOver | the owner, when it has run all mail that it saw, or must stop | the same |
| Renew | the owner in the middle of a long run | the same |
| Commit | a caller on the quiet path, which ran its message without owning the entity | no run owns the entity, no mail waits, and the version is the one that the caller has read |

A Move is a step of two rows: the first message of an outbox becomes mail of its receiver. Anyone may
do it. It is done if the message is still the first one of the outbox, and the receiver has room.

`apply` of an operation returns the next row, or None if its condition does not hold. The stores in
memory and in a file use it as it is; the store in DynamoDB sends an expression with the same
meaning.

A lost answer is no riddle. The repeated operation is refused, and the row that refuses it shows
whether the first one was done (`read_refusal`).
"""  # noqa: E501

import enum
from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from .rows import MOST_MAIL, Mail, Outgoing, Reply, Row

T = TypeVar("T")

NEW_ROW = Row()


class Post(msgspec.Struct, frozen=True):
    """Leave a message; own the entity if no run does.

    Args:
        key: the entity.
        mail: the message.
        run: the caller's run, which becomes the owner; None for a caller that leaves the message to
            the next caller.
        lease: the end of its lease.
    """

    key: str
    mail: Mail
    run: str | None = None
    lease: int = 0

    def apply(self, row: Row | None) -> Row | None:
        mail = self.mail
        if row is not None and row.posted.get(mail.sender, 0) >= mail.number:
            return None
        row = _put(row, mail)
        if row is None:
            return None
        row = replace(row, posted={**row.posted, mail.sender: mail.number})
        if row.owner is not None or self.run is None:
            return row
        return replace(row, owner=self.run, lease=self.lease)


class TakeOver(msgspec.Struct, frozen=True):
    """Own an entity whose owner has stopped to renew its lease, or that has mail and no owner.

    Args:
        key: the entity.
        run: the run that becomes the owner.
        lease: the end of its lease.
        seen: the row that the caller has read.
    """

    key: str
    run: str
    lease: int
    seen: Row

    def apply(self, row: Row | None) -> Row | None:
        seen = self.seen
        if row is None or (row.owner, row.fence, row.version) != (
            seen.owner, seen.fence, seen.version,
        ):  # fmt: skip
            return None
        if row.owner is not None:
            if row.lease != seen.lease:
                return None
            # The old owner's run has ended, perhaps by one of the messages that it saw.
            row = replace(row, fence=row.fence + 1, suspects=len(seen.mail))
        return replace(row, owner=self.run, lease=self.lease)


class Ownership(msgspec.Struct, frozen=True):
    """What the owner knows of its row, and what must be so still when it writes.

    Args:
        key: the entity.
        run: the run.
        fence: of the row.
        version: of the row.
    """

    key: str
    run: str
    fence: int
    version: int

    def holds(self, row: Row | None) -> bool:
        """Return whether the run still owns the entity, and nobody else has written."""
        return row is not None and (row.owner, row.fence, row.version) == (
            self.run, self.fence, self.version,
        )  # fmt: skip


class ByOwner(msgspec.Struct, frozen=True):
    """An operation of the owner.

    Args:
        own: the ownership.
    """

    own: Ownership

    @property
    def key(self) -> str:
        return self.own.key


class Settle(ByOwner, frozen=True):
    """Save what the owner has run.

    Args:
        own: the ownership.
        state: the new state.
        replies: by sender.
        count: the number of messages that it ran: the first ones.
        lease: the end of the new lease; None to give the entity up, if no other mail has come.
        pruned: the replies to remove: sender and number.
        dead: all messages that are set aside from now on; None for those of the row.
        outgoing: messages to other entities.
        seen: the row that the owner has run the messages on.
    """

    state: str
    replies: Mapping[str, Reply]
    count: int
    lease: int | None
    pruned: tuple[tuple[str, int], ...] = ()
    dead: tuple[Mail, ...] | None = None
    outgoing: tuple[Outgoing, ...] = ()
    seen: Row = NEW_ROW

    def apply(self, row: Row | None) -> Row | None:
        if row is None or not self.own.holds(row):
            return None
        if self.lease is None and len(row.mail) != self.count:
            return None
        if any(row.posted.get(sender) != number for sender, number in self.pruned):
            return None
        ended = self.lease is None
        fence = row.fence + ended
        gone = {sender for sender, _ in self.pruned}
        return replace(
            row,
            state=self.state,
            version=row.version + 1,
            fence=fence,
            settled=fence,
            suspects=max(0, self.seen.suspects - self.count),
            owner=None if ended else row.owner,
            lease=0 if self.lease is None else self.lease,
            mail=row.mail[self.count :],
            posted=_without(row.posted, gone),
            replies={**_without(row.replies, gone), **self.replies},
            dead=row.dead if self.dead is None else self.dead,
            outbox=(*row.outbox, *self.outgoing),
        )


class HandOver(ByOwner, frozen=True):
    """Give up the entity. If mail waits, its callers take over at once."""

    def apply(self, row: Row | None) -> Row | None:
        if row is None or not self.own.holds(row):
            return None
        # The runs that have died before it still count.
        return replace(row, fence=row.fence + 1, settled=row.settled + 1, owner=None, lease=0)


class Renew(ByOwner, frozen=True):
    """Lengthen the lease."""

    lease: int

    def apply(self, row: Row | None) -> Row | None:
        if row is None or not self.own.holds(row):
            return None
        return replace(row, lease=self.lease)


class Commit(msgspec.Struct, frozen=True):
    """Save what a caller has run without owning the entity.

    Args:
        key: the entity.
        version: of the row that the caller has read; None if there was no row.
        state: the new state.
        sender: the caller.
        reply: to the caller.
        pruned: the replies to remove: sender and number.
        outgoing: messages to other entities.
    """

    key: str
    version: int | None
    state: str
    sender: str
    reply: Reply
    pruned: tuple[tuple[str, int], ...] = ()
    outgoing: tuple[Outgoing, ...] = ()

    def apply(self, row: Row | None) -> Row | None:
        if (None if row is None else row.version) != self.version:
            return None
        row = row or NEW_ROW
        number = self.reply.number
        if row.owner is not None or row.mail or row.posted.get(self.sender, 0) >= number:
            return None
        gone = {sender for sender, _ in self.pruned}
        return replace(
            row,
            state=self.state,
            version=row.version + 1,
            posted={**_without(row.posted, gone), self.sender: number},
            replies={**_without(row.replies, gone), self.sender: self.reply},
            outbox=(*row.outbox, *self.outgoing),
        )


class Move(msgspec.Struct, frozen=True):
    """Move the first message of an outbox to its receiver, which may be the sender itself.

    Args:
        source: the sender.
        message: the message.
    """

    source: str
    message: Outgoing

    @property
    def mail(self) -> Mail:
        return Mail(f"out:{self.source}", 0, self.message.body, 0)

    def take(self, row: Row | None) -> Row | None:
        """Return the sender's row without the message."""
        if row is None or row.outbox[:1] != (self.message,):
            return None
        return replace(row, outbox=row.outbox[1:])

    def put(self, row: Row | None) -> Row | None:
        """Return the receiver's row with the message."""
        return _put(row, self.mail)


class Moved(enum.Enum):
    """What became of a Move.

    DONE: it is done. GONE: the message is no longer the first of the outbox, so someone has moved
    it. FULL: the receiver has no room.
    """

    DONE = "done"
    GONE = "gone"
    FULL = "full"


Operation: TypeAlias = Post | TakeOver | Settle | HandOver | Renew | Commit


def _put(row: Row | None, mail: Mail) -> Row | None:
    """Return a row with one more message; None if there is no room."""
    row = row or NEW_ROW
    return None if len(row.mail) >= MOST_MAIL else replace(row, mail=(*row.mail, mail))


def _without(mapping: Mapping[str, T], gone: set[str]) -> Mapping[str, T]:
    if not gone:
        return mapping
    return {key: value for key, value in mapping.items() if key not in gone}


class Refusal(enum.Enum):
    """What the row says that refused an owner's Settle.

    DONE: the same settle, sent before, was done; its answer was lost. The run owns the entity.
    RELEASED: likewise, and the entity was given up. AGAIN: mail came, or a sender of a pruned reply
    has written: to be settled again, with the lease kept. FENCED: the run no longer owns the
    entity, and what it ran is void.
    """

    DONE = "done"
    RELEASED = "released"
    AGAIN = "again"
    FENCED = "fenced"


def read_refusal(own: Ownership, row: Row | None) -> Refusal:
    """Read why a Settle was refused.

    Args:
        own: the ownership that the Settle has named.
        row: the row that refused it.
    """
    if row is None:
        return Refusal.FENCED
    now = row.owner, row.fence, row.version
    if now == (own.run, own.fence, own.version):
        return Refusal.AGAIN
    if now == (own.run, own.fence, own.version + 1):
        return Refusal.DONE
    if now == (None, own.fence + 1, own.version + 1):
        return Refusal.RELEASED
    return Refusal.FENCED


class Next(enum.Enum):
    """What a caller does when it has seen the row that its message is in.

    REPLY: the reply is there. RUN: the caller's run owns the entity. WAIT: another run does.
    TAKE_OVER: nobody does, or the lease has ended.
    """

    REPLY = "reply"
    RUN = "run"
    WAIT = "wait"
    TAKE_OVER = "take over"


def next_of(row: Row, run: str, sender: str, number: int, now: int) -> Next:
    """Decide what a caller does next.

    Args:
        row: the row; the caller's message was posted.
        run: the caller's run.
        sender, number: the caller's message.
        now: the caller's time.
    """
    if row.reply_to(sender, number) is not None:
        return Next.REPLY
    if row.owner == run:
        return Next.RUN
    return Next.WAIT if row.owner is not None and row.lease > now else Next.TAKE_OVER
