"""A call to an entity, and the run that its caller makes of it.

The caller of an entity runs it. A caller tries the quiet path first: it reads the row, runs its
message and commits. If someone else wants the same entity at this moment, the caller posts its
message instead. The post tells who owns the entity:

    the caller      it runs the mail that waits, its own message among it, and settles
    another run     the caller asks for its reply, and takes over when the lease has ended

A message may run more than once, on the state before it; the state changes once.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs
import msgspec
import outcome  # trio's own dependency
import trio
from msgspec.structs import replace

from ..actors import logs
from .messages import encode_error
from .operations import (
    Commit,
    HandOver,
    Move,
    Moved,
    Next,
    Ownership,
    Post,
    Refusal,
    Renew,
    Settle,
    TakeOver,
    next_of,
    read_refusal,
)
from .rows import MOST_DEAD, MOST_MAIL, REPLY_MARGIN, Mail, Outgoing, Reply, Row
from .stores import EntityFull, OperationRefused, Store, StoreFailed

logger = logs.logger("okibi")

# Milliseconds of a lease, and between its renewals while a message runs.
LEASE = 5000
RENEWAL = 2000
# Messages of one settle.
MOST_AT_ONCE = 64
# Deaths of runs that began with the same message: then it is set aside.
MOST_DEATHS = 3
# Attempts at a settle or a take-over whose answer is lost, and at a move.
SETTLE_ATTEMPTS = 5
MOVE_ATTEMPTS = 3
# Seconds that a caller runs the mail of others when its own message is settled.
PATIENCE = 0.2
# Seconds to give up an entity when a run is cancelled.
HAND_OVER_LIMIT = 0.5
# Milliseconds of a request and its answer, the unit of the pauses.
TRIP = 8.0
FIRST_PAUSE, LONGEST_PAUSE = 1.25 * TRIP, 500.0


class Message(msgspec.Struct, frozen=True):
    """One message to an entity.

    Args:
        sender, number: see Mail. The same sender and number again are the same message.
        body: the message as JSON.
        deadline: milliseconds since 1970, by the caller's clock.
        kept: milliseconds after the deadline for which the reply is kept.
    """

    sender: str
    number: int
    body: str
    deadline: int
    kept: int = REPLY_MARGIN

    @property
    def mail(self) -> Mail:
        return Mail(self.sender, self.number, self.body, self.deadline + self.kept)


class Handled(msgspec.Struct, frozen=True):
    """What a message has changed.

    Args:
        state: the state after the message.
        reply: the reply, as JSON. None forgets the message, as if it was never posted: its other
            callers run it themselves.
        outgoing: messages to other entities.
        is_dead: whether the message is to be set aside.
        failure: the reply of a message that is forgotten, for the caller that has run it.
    """

    state: str
    reply: str | None
    outgoing: tuple[Outgoing, ...] = ()
    is_dead: bool = False
    failure: str = ""


# Runs one message on the state of an entity.
Handle: TypeAlias = Callable[[str, str, Mail], Awaitable[Handled]]
SetAside: TypeAlias = Callable[[str, str, Mail], Handled]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
Tell: TypeAlias = Callable[[str], Awaitable[None]]


async def _ignore(key: str) -> None:
    await trio.lowlevel.checkpoint()


class CallLate(Exception):
    """No reply before the deadline. The message may have run, and may run yet."""


class MessageForgotten(Exception):
    """A message has run, and nothing of it was saved.

    Attributes:
        failure: see Handled.
    """

    def __init__(self, failure: str) -> None:
        super().__init__("the message was forgotten")
        self.failure = failure


class MailFull(Exception):
    """Too many messages wait at the entity; this one was not left there."""


@attrs.define(eq=False)
class Turn:
    """A run that owns an entity.

    Attributes:
        own: the ownership.
        row: the row as the run has last seen it.
        mine: the reply to the caller's own message, once it is settled.
        scope: ends the run a moment later.
    """

    own: Ownership
    row: Row
    mine: Reply | None = None
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)


@attrs.define(eq=False)
class Watch:
    """How long a caller has seen one owner not renew its lease.

    By the clock of another sandbox a lease may end at once. One such take-over costs a second run.
    Several would look like a message that ends its runs. So where a run has died already, another
    one is called dead only after a whole lease by one clock.

    Attributes:
        row: the first row that had this owner and lease.
        since: when it was seen, by trio's clock, which a freeze or a correction of the time does
            not move forward.
    """

    row: Row
    since: float = attrs.Factory(trio.current_time)

    def take_over_in(self, row: Row, now: int) -> float:
        """Return the milliseconds until the owner of a row, as just read, may be called dead."""
        first = self.row
        if (row.owner, row.fence, row.lease) != (first.owner, first.fence, first.lease):
            self.row, self.since = row, trio.current_time()
        if row.owner is None:
            return 0.0
        left = row.lease - now
        if row.fence == row.settled:
            return left
        return max(left, LEASE + 1000 * (self.since - trio.current_time()))


@attrs.define(eq=False)
class Caller:
    """Calls entities, and runs them.

    Args:
        store: keeps the rows.
        handle: runs one message.
        set_aside: handles a message that has ended MOST_DEATHS runs, without running it.
        new_run: returns a name for a run that no run has had.
        is_quiet: whether the quiet path is tried. A run without the lease may be one of two.
        sleep: sleeps for seconds.
        random: returns a random number from 0 to 1, for jitter.
        ring_doorbell: called with the key of an entity that has mail and may have no owner: after a
            move from an outbox, and at the end of a run.
        held: the runs that own an entity now, by their names.
    """

    store: Store
    handle: Handle
    set_aside: SetAside
    new_run: Callable[[], str]
    is_quiet: bool = True
    sleep: Sleep = trio.sleep
    random: Callable[[], float] = random.random
    ring_doorbell: Tell = _ignore
    held: dict[str, Turn] = attrs.Factory(dict[str, Turn])

    async def call(self, key: str, message: Message, *, may_wait: bool = True) -> Reply:
        """Return the reply to a message.

        Args:
            key: the entity.
            message: the message.
            may_wait: whether the store or `handle` may wait for anything. A cancel scope for the
                deadline costs as much as all else of a call in memory.

        Raises:
            MessageForgotten: `handle` has forgotten the message.
            CallLate: there was none before the deadline. Its cause is the last failure of the
                store, if the store has not answered since.
            MailFull, EntityFull: the message could not be left, or its reply not be saved.
        """
        failure: StoreFailed | None = None
        pause = FIRST_PAUSE
        # The same after a lost answer, which may have made it the owner.
        run = ""
        left = message.deadline - self.store.now()
        if left > 0 and self.is_quiet and not may_wait:
            reply = await self._try_quiet(key, message)
            if reply is not None:
                return reply
        with trio.CancelScope(deadline=trio.current_time() + left / 1000):
            while left > 0:
                try:
                    if self.is_quiet and pause == FIRST_PAUSE:
                        reply = await self._try_quiet(key, message)
                        if reply is not None:
                            return reply
                    run = run or self.new_run()
                    row = await self._post(key, run, message)
                    failure = None
                    reply = await self._follow(key, run, row, message)
                    if reply is not None:
                        return reply
                    # Fenced off: this run is over.
                    run = ""
                except StoreFailed as error:
                    failure = error
                    await self._pause(pause)
                    pause = min(2 * pause, 2 * LONGEST_PAUSE)
                # A freeze may have passed the deadline, which trio's clock does not see.
                left = message.deadline - self.store.now()
        raise CallLate(
            f"{key}: no reply before the deadline; the message may have run, or may yet"
        ) from failure

    async def drain(self, key: str, *, waits: bool) -> None:
        """Run the mail that waits, unless another run does.

        Args:
            key: the entity.
            waits: whether to wait for the end of a lease that nobody renews.

        Raises:
            StoreFailed: the store did not answer.
        """
        row = await self.store.read(key, consistent=True)
        if row is None or not row.mail:
            await self._deliver(key, () if row is None else row.outbox)
            return
        left = Watch(row).take_over_in(row, self.store.now())
        if left > 0:
            if not waits:
                return
            await self.sleep(left / 1000)
            # If the owner has renewed its lease, the take-over is refused.
        run = self.new_run()
        after = await self._take_over(TakeOver(key, run, self.store.now() + LEASE, row))
        # Another run may have taken it over again, while a large state was read.
        if after is not None and after.owner == run:
            await self._run(key, run, after, None)

    async def _take_over(self, taking: TakeOver) -> Row | None:
        """Take an entity over; return the row after it.

        A request without an answer may have made the run the owner. A run that owns an entity and
        does nothing is called dead; so the request is repeated.
        """
        attempt = 0
        while True:
            try:
                return await self.store.apply(taking)
            except OperationRefused as refused:
                return refused.row
            except StoreFailed:
                attempt += 1
                if attempt == SETTLE_ATTEMPTS:
                    raise
                await self._pause(20 * 2**attempt)

    async def leave(self, key: str, message: Message) -> Row:
        """Leave a message to the next caller of the entity; return the row after it.

        Raises:
            CallLate: the store did not answer before the deadline.
            MailFull, EntityFull: the message could not be left.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._post(key, None, message)
            except StoreFailed as error:
                if self.store.now() >= message.deadline:
                    raise CallLate(f"{key}: the message may have been left, or not") from error
                await self._pause(pause)
                pause = min(2 * pause, 2 * LONGEST_PAUSE)

    async def _pause(self, milliseconds: float) -> None:
        await self.sleep(milliseconds / 1000 * (0.5 + self.random()))

    # -- the quiet path

    async def _try_quiet(self, key: str, message: Message) -> Reply | None:
        """Read, run and commit; return None if someone else wants it, or its state is large."""
        row = await self.store.read(key, consistent=True)
        if row is not None:
            reply = row.reply_to(message.sender, message.number)
            if reply is not None or row.owner is not None or row.mail or not row.has_state:
                return reply
        mail = message.mail
        handled = await self.handle(key, "" if row is None else row.state, mail)
        if handled.reply is None:
            raise MessageForgotten(handled.failure)
        reply = Reply(mail.number, handled.reply, mail.until)
        version = None if row is None else row.version
        pruned = self._old_replies(row, {mail.sender})
        commit = Commit(key, version, handled.state, mail.sender, reply, pruned, handled.outgoing)
        try:
            row = await self.store.apply(commit)
        except OperationRefused:
            return None
        if row.outbox:
            await self._deliver(key, row.outbox)
        return reply

    def _old_replies(self, row: Row | None, keep: set[str]) -> tuple[tuple[str, int], ...]:
        if row is None or row.replies.keys() <= keep:
            return ()
        return row.find_old_replies(self.store.now(), keep)

    # -- mail

    async def _post(self, key: str, run: str | None, message: Message) -> Row:
        """Leave the message, once. Where the mailbox is full, and nobody runs it, run it first."""
        for is_full in (False, True):
            if is_full:
                await self.drain(key, waits=False)
            try:
                lease = self.store.now() + LEASE
                return await self.store.apply(Post(key, message.mail, run, lease))
            except OperationRefused as refused:
                row = refused.row
                if row is not None and row.posted.get(message.sender, 0) >= message.number:
                    return row
        raise MailFull(f"{key}: {MOST_MAIL} messages wait already")

    async def _follow(self, key: str, run: str, row: Row, message: Message) -> Reply | None:
        """Wait for the reply, or make it; return None if the run was fenced off."""
        pause = FIRST_PAUSE
        watch = Watch(row)
        while True:
            now = self.store.now()
            left = watch.take_over_in(row, now)
            match next_of(row, run, message.sender, message.number, now):
                case Next.REPLY:
                    reply = row.reply_to(message.sender, message.number)
                    assert reply is not None
                    return reply
                case Next.RUN if not row.has_state:
                    # A late request has made this run the owner, and a read has shown it. The row
                    # that refuses the post again has the state.
                    row = await self._post(key, run, message)
                case Next.RUN:
                    return await self._run(key, run, row, message)
                case Next.TAKE_OVER if left <= 0:
                    try:
                        row = await self.store.apply(TakeOver(key, run, now + LEASE, row))
                    except OperationRefused as refused:
                        if refused.row is None:
                            return None
                        row = refused.row
                case Next.TAKE_OVER | Next.WAIT:
                    # Two trips, then less and less often, and when a take-over is due. What is old
                    # in the row leads only to one more wait, or to an operation that is refused.
                    left += TRIP * self.random()
                    await self.sleep(min(pause * (0.5 + self.random()), left) / 1000)
                    pause = min(1.5 * pause, LONGEST_PAUSE)
                    if self.store.now() >= message.deadline:
                        return None
                    read = await self.store.read(key, message.sender, consistent=False)
                    row = row if read is None else read

    # -- a run

    async def _run(self, key: str, run: str, row: Row, own: Message | None) -> Reply | None:
        """Run the mail until none is left; return the reply to the own message.

        Returns None if the run was fenced off before the own message was settled. When the own
        message is settled, the mail of others is run for a moment only: the caller has its reply,
        and may hold what they wait for.
        """
        turn = self.held[run] = Turn(Ownership(key, run, row.fence, row.version), row)
        try:
            with turn.scope:
                await self._drain(turn, row, own)
            if turn.scope.cancelled_caught:
                await self._hand_over(turn.own)
        except BaseException:
            await self._hand_over(turn.own)
            raise
        finally:
            del self.held[run]
        await self._deliver(key, turn.row.outbox)
        return turn.mine

    async def _drain(self, turn: "Turn", row: Row, message: Message | None) -> None:
        """Run batches of mail until none is left, or the run is fenced off."""
        careful = False
        while True:
            if not row.mail:
                # If mail comes now, its callers run it.
                await self._hand_over(turn.own)
                return
            turn.row = row
            deaths = row.fence - row.settled
            # Each suspect alone: a run that dies then has died of the first message.
            careful = careful or row.suspects > 0
            batch = row.mail[: 1 if careful else MOST_AT_ONCE]
            state, replies = row.state, dict[str, Reply]()
            forgotten, outgoing = dict[tuple[str, int], str](), list[Outgoing]()
            dead = list[Mail]()
            for mail in batch:
                if deaths >= MOST_DEATHS:
                    handled = self.set_aside(turn.own.key, state, mail)
                else:
                    done = await self._handle_and_hold(turn, state, mail)
                    if done is None:
                        return
                    handled = done
                state = handled.state
                outgoing += handled.outgoing
                if handled.is_dead:
                    dead.append(mail)
                if handled.reply is None:
                    forgotten[mail.sender, mail.number] = handled.failure
                elif mail.number:
                    replies[mail.sender] = Reply(mail.number, handled.reply, mail.until)
            # Of many that came at once, more may come.
            goes_on = careful or len(batch) > 1
            settle = Settle(
                turn.own,
                state,
                replies,
                len(batch),
                self.store.now() + LEASE if goes_on else None,
                (*forgotten, *self._old_replies(row, {mail.sender for mail in batch})),
                (*row.dead, *dead)[-MOST_DEAD:] if dead else None,
                tuple(outgoing),
                row,
            )
            try:
                settled = await self._settle(settle, tuple(forgotten))
            except EntityFull as full:
                careful = True
                settled = await self._settle(self._settle_less(settle, batch, full))
                # An earlier request of the first one may have been done after all.
                replies, forgotten = {} if settled is None else {**settled.replies}, {}
            if settled is None:
                return
            own = turn.own
            turn.own = Ownership(own.key, own.run, settled.fence, settled.version)
            turn.row = settled
            if message is not None:
                mine = replies.get(message.sender)
                if mine is not None and mine.number == message.number:
                    turn.mine = mine
                    turn.scope.deadline = trio.current_time() + PATIENCE
                failure = forgotten.get((message.sender, message.number))
                if failure is not None:
                    raise MessageForgotten(failure)
            if settled.owner != own.run:
                return
            row = settled

    def _settle_less(self, settle: Settle, batch: tuple[Mail, ...], full: EntityFull) -> Settle:
        """Settle a message that has no room with an error. Of several, settle none: each alone.

        It counts the version up, so that no other state has the version of the first attempt.
        """
        replies = dict[str, Reply]()
        if len(batch) == 1:
            logger.error("%s", full)
            mail = batch[0]
            if mail.number:
                replies[mail.sender] = Reply(mail.number, encode_error(full), mail.until)
        seen, lease = settle.seen, self.store.now() + LEASE
        pruned = self._old_replies(seen, {mail.sender for mail in batch})
        return Settle(
            settle.own, seen.state, replies, int(len(batch) == 1), lease, pruned, None, (), seen
        )

    async def _deliver(self, key: str, outbox: tuple[Outgoing, ...]) -> None:
        """Move the messages of an outbox. The next caller of the entity moves what is left."""
        for message in outbox:
            moved = await self._move(Move(key, message))
            if moved is None or moved is Moved.FULL:
                why = "the store does not answer" if moved is None else "its mail is full"
                logger.warning("%s: a message to %s waits: %s", key, message.key, why)
                return
            if moved is Moved.DONE:
                await self.ring_doorbell(message.key)

    async def _move(self, move: Move) -> Moved | None:
        for attempt in range(MOVE_ATTEMPTS):
            try:
                return await self.store.move(move)
            except StoreFailed:
                await self._pause(20 * 2**attempt)
        return None

    async def _hand_over(self, own: Ownership) -> None:
        """Let another caller run the mail that is left, at once and not after the lease."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + HAND_OVER_LIMIT):
            while True:
                try:
                    after = await self.store.apply(HandOver(own))
                except OperationRefused as refused:
                    row = refused.row
                    if row is None or (row.owner, row.fence) != (own.run, own.fence):
                        return
                    # A settle was cancelled after it had been done.
                    own = replace(own, version=row.version)
                except StoreFailed:
                    # If this lasts, the lease ends by itself.
                    await self._pause(FIRST_PAUSE)
                else:
                    if after.mail:
                        await self.ring_doorbell(own.key)
                    return

    async def _handle_and_hold(self, turn: Turn, state: str, mail: Mail) -> Handled | None:
        """Run a message, and renew the lease meanwhile; return None if the run was fenced off."""
        is_fenced = False

        async def renew() -> None:
            nonlocal is_fenced
            while True:
                await self.sleep(RENEWAL / 1000)
                try:
                    turn.row = await self.store.apply(Renew(turn.own, self.store.now() + LEASE))
                except OperationRefused:
                    is_fenced = True
                    nursery.cancel_scope.cancel()
                    return
                except Exception as error:
                    # The next renewal may arrive in time. A lasting error fails the settle, too.
                    logger.warning("%s: its lease was not renewed: %s", turn.own.key, error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(renew)
            handled = await outcome.acapture(self.handle, turn.own.key, state, mail)
            nursery.cancel_scope.cancel()
        return None if is_fenced else handled.unwrap()

    async def _settle(
        self, settle: Settle, forgotten: tuple[tuple[str, int], ...] = ()
    ) -> Row | None:
        """Save what was run; return the row after it, or None if the run was fenced off."""
        for attempt in range(SETTLE_ATTEMPTS):
            try:
                return await self.store.apply(settle)
            except OperationRefused as refused:
                match read_refusal(settle.own, refused.row):
                    case Refusal.AGAIN:
                        lease = self.store.now() + LEASE
                        settle = replace(settle, lease=lease, pruned=forgotten)
                    case Refusal.DONE | Refusal.RELEASED:
                        return refused.row
                    case Refusal.FENCED:
                        return None
            except StoreFailed:
                await self._pause(20 * 2**attempt)
        return None
