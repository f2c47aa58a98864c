"""The row of an entity in a store: state, mail, replies, and who runs the entity.

Times are milliseconds since 1970, by the clock of the sandbox that wrote them. Clocks of sandboxes
differ by seconds; the operations stay right, and only some messages run twice.
"""

from collections.abc import Mapping

import msgspec

# What may wait at one entity.
MOST_MAIL = 256
# Milliseconds that a reply is kept after its caller's deadline: more than clocks differ, and more
# than a request can be late. A caller never asks after its deadline.
REPLY_MARGIN = 60_000
# Replies that one operation removes.
MOST_PRUNED = 16
# Messages that were set aside, of which a row keeps the last ones.
MOST_DEAD = 16


class Mail(msgspec.Struct, frozen=True):
    """A message that waits.

    Args:
        sender: identifies a sender. It waits for one reply before it sends the next message.
        number: of the sender's messages to this entity, counted from 1; 0 for a message from an
            outbox, which comes once and has no reply.
        body: the message as JSON.
        until: the caller's deadline and REPLY_MARGIN.
    """

    sender: str
    number: int
    body: str
    until: int


class Reply(msgspec.Struct, frozen=True):
    """The reply to the last message of a sender, kept for a sender that asks again.

    Args:
        number: the number of the message.
        body: the reply as JSON.
        until: the time after which nobody asks for it.
    """

    number: int
    body: str
    until: int


class Outgoing(msgspec.Struct, frozen=True):
    """A message that an entity sends to another one; saved with the state, and moved later.

    Args:
        key: the receiver.
        body: the message as JSON.
    """

    key: str
    body: str


class Apart(msgspec.Struct, frozen=True):
    """Where a store has put a state that is too large for the row.

    Args:
        slot: 0 or 1.
        version, fence: of the run that has written it, after its change and at it.
    """

    slot: int
    version: int
    fence: int


class Row(msgspec.Struct, frozen=True):
    """An entity in a store.

    Args:
        state: the state as JSON; empty if no message has run, or if the state is `apart` and was
            not read.
        version: the number of changes of the state.
        fence: the number of runs that have ended. A run owns the entity from its first request to
            its last.
        settled: the fence at the last change by a run, and the runs since then that have handed
            over. `fence - settled` runs have died since the change.
        suspects: the number of first messages in the mail that may have ended a run; each of them
            is run alone.
        owner: the run that owns the entity; None if nobody runs it.
        lease: the end of the owner's lease. After it, another run takes over.
        mail: the messages that wait, in their order.
        posted: by sender, the number of its last message.
        replies: by sender, its last reply.
        dead: the last messages that were set aside.
        outbox: the messages to other entities that have not been moved yet.
        apart: where the state is; None for a state in the row.
    """

    state: str = ""
    version: int = 0
    fence: int = 0
    settled: int = 0
    suspects: int = 0
    owner: str | None = None
    lease: int = 0
    mail: tuple[Mail, ...] = ()
    posted: Mapping[str, int] = {}
    replies: Mapping[str, Reply] = {}
    dead: tuple[Mail, ...] = ()
    outbox: tuple[Outgoing, ...] = ()
    apart: Apart | None = None

    @property
    def has_state(self) -> bool:
        """Whether the state was read. No large state is empty."""
        return self.apart is None or bool(self.state)

    def reply_to(self, sender: str, number: int) -> Reply | None:
        """Return the reply to a message; None if there is none yet."""
        reply = self.replies.get(sender)
        return reply if reply is not None and reply.number >= number else None

    def find_old_replies(self, now: int, keep: set[str]) -> tuple[tuple[str, int], ...]:
        """Find replies that nobody asks for any more.

        Args:
            now: the time.
            keep: senders whose replies stay.

        Returns:
            The senders, each with the number of its last message, which was replied to.
        """
        old = [
            (sender, reply.number)
            for sender, reply in self.replies.items()
            if sender not in keep and reply.until < now and self.posted.get(sender) == reply.number
        ]
        return tuple(old[:MOST_PRUNED])
