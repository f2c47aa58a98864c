"""A lane: one keep-alive connection to the Runtime API, and what is owed on it.

It outlives the actors that use it: a poller that is killed leaves the half-read bytes in the
parser and the pending /next on the wire, a responder leaves the offset to which it had written.
An abandoned /next would swallow the next event (Runtime API), so nobody ever abandons one.

    what was said last     what the Runtime API owes      what may be said next
    nothing                nothing                        next
    next                   NEXT                           nothing, until the event is settled
    answer + next          ANSWER, NEXT                   nothing
    answer                 ANSWER                         nothing; once it has come, next

Pipelined, the answer and the next GET leave in one write and are answered in order: one
round trip an event. Any sign that a server does not answer two requests in one write (it closes
after the first, speaks HTTP/1.0, says `Connection: close`) turns the lane sequential for good.

When the connection breaks, `broken` says what may still be true:

    nothing was owed                         connect anew and go on
    NEXT was owed                            ask again; an event that was on its way is lost
                                             unless the server repeats it
    ANSWER was owed, none of it written      stage it again
    ANSWER was owed, all of it written       send it once more, sequentially: 202, 400 or 403 end
                                             it (400 says that the first had arrived)
    ANSWER was owed, cut half way            fatal: the Runtime API refuses everything from now on,
                                             and only the end of the process tells the invoker now
"""

import enum
import math
import time
from collections import deque

import attrs
import trio

from actors import Actor, ActorExited, Name

from .delivery import Delivery, Outcome, State
from .transport import Transport
from .wire import Answer, AnswerParser, error_head, next_request, response_head

# Up to here header, body and the next GET are joined into one write; above, copying costs more
# than another call into the kernel.
JOIN_LIMIT = 64 * 1024


class Owed(enum.Enum):
    """An answer that the Runtime API still has to give on this connection."""

    NEXT = "next"
    ANSWER = "answer"


class Loss(enum.Enum):
    """What a broken connection means for the lane."""

    NOTHING = "nothing"
    EVENT = "an event that was on its way may be lost"
    AGAIN = "the answer is sent once more"
    FATAL = "an answer was cut half way"


@attrs.define(eq=False)
class Lane:
    """One connection with its ledger.

    Args:
        index: which lane this is, from 0.
        host: the Runtime API's address, as it stands in the Host header.
        pipelined: whether the next GET leaves with the answer.
        margin: seconds before the platform's deadline at which okibi answers itself; of a very
            short time-out half is left to the handler.
    """

    index: int
    host: bytes
    pipelined: bool = True
    margin: float = 0.1
    transport: Transport | None = attrs.field(default=None, init=False)
    delivery: Delivery | None = attrs.field(default=None, init=False)
    outbox: deque[memoryview] = attrs.field(factory=deque[memoryview], init=False)
    owed: deque[Owed] = attrs.field(factory=deque[Owed], init=False)
    # Set once the process is to end: an event asked for now would be lost with it.
    closing: bool = attrs.field(default=False, init=False)
    refused: int = attrs.field(default=0, init=False)
    _heard: bool = attrs.field(default=False, init=False)
    responder: Name[Actor] = attrs.field(init=False)
    _parser: AnswerParser = attrs.field(factory=AnswerParser, init=False)
    _serial: int = attrs.field(default=0, init=False)
    _answer_size: int = attrs.field(default=0, init=False)
    _answer_left: int = attrs.field(default=0, init=False)
    _resent: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.responder = Name(f"lambda.responder.{self.index}", Actor)

    # -- what is to be said

    def stage(self) -> None:
        """Put into the outbox what can be said now. Said already, or nothing to say: no change."""
        delivery = self.delivery
        if delivery is not None:
            if delivery.state is State.SETTLED and delivery.outcome is not None:
                self._stage_answer(delivery, delivery.outcome)
        elif not self.owed and not self.closing:
            self._put([next_request(self.host)])
            self.owed.append(Owed.NEXT)

    def wrote(self, size: int) -> None:
        """Take from the outbox what has gone out."""
        self._answer_left = max(0, self._answer_left - size)
        first = self.outbox[0]
        if size == len(first):
            self.outbox.popleft()
        else:
            self.outbox[0] = first[size:]

    def _stage_answer(self, delivery: Delivery, outcome: Outcome) -> None:
        delivery.stage()
        request_id, size = delivery.request_id.encode("latin-1", "replace"), len(outcome.body)
        given = delivery.headers.get(b"lambda-runtime-invocation-id", b"")
        echo = b"Lambda-Runtime-Invocation-Id: %s\r\n" % given if given else b""
        if outcome.error_type is None:
            head = response_head(self.host, request_id, size, outcome.content_type, echo)
        else:
            path = b"invocation/%s/error" % request_id
            head = error_head(self.host, path, size, outcome.error_type, outcome.cause, echo)
        self._answer_size = self._answer_left = len(head) + size
        self.owed.append(Owed.ANSWER)
        if self.pipelined and not self.closing:
            self._put([head, outcome.body, next_request(self.host)])
            self.owed.append(Owed.NEXT)
        else:
            self._put([head, outcome.body])

    def _put(self, parts: list[bytes]) -> None:
        if sum(map(len, parts)) <= JOIN_LIMIT:
            parts = [b"".join(parts)]
        self.outbox.extend(memoryview(part) for part in parts if part)

    # -- what is heard

    def connected(self, transport: Transport) -> None:
        """Go on, over a new connection."""
        self.transport = transport
        self._parser = AnswerParser()
        self._heard = False

    def received(self, data: bytes) -> list[Answer]:
        """Parse what came. Interim answers pop nothing.

        Raises:
            WireError: it is no HTTP.
        """
        answers = self._parser.feed(data)
        self._heard = self._heard or bool(answers)
        return answers

    def event(self, answer: Answer) -> Delivery | None:
        """Take the answer to /next: the delivery it brings, None for one that was refused."""
        self.owed.popleft()
        request_id = answer.headers.get(b"lambda-runtime-aws-request-id", b"").decode("latin-1")
        if answer.status != 200 or not request_id:
            self.refused += 1
            return None
        self.refused = 0
        self._serial += 1
        left = _time_left(answer.headers.get(b"lambda-runtime-deadline-ms", b""))
        due = trio.current_time() + left
        limit = due - max(0.0, min(self.margin, left / 2))
        delivery = Delivery(self._serial, request_id, answer.headers, answer.body, due, limit)
        self.delivery = delivery
        return delivery

    def acknowledged(self) -> Delivery | None:
        """Take the final status of the answer that was sent; give the delivery that is done."""
        self.owed.popleft()
        delivery, self.delivery = self.delivery, None
        self._resent = False
        if delivery is not None:
            delivery.ack()
        return delivery

    def broken(self) -> Loss:
        """Give up the connection, and say what that means; the table above."""
        loss = self._loss()
        self.close()
        if not self._heard:
            # Whoever takes a connection only to close it refuses, too.
            self.refused += 1
        if loss is Loss.EVENT and self._serial:
            # It closed after the first of two answers, as far as can be told from here.
            self.pipelined = False
        self.outbox.clear()
        self.owed.clear()
        if self.delivery is not None and loss is Loss.AGAIN:
            self._resent = self._answer_left == 0
            self.pipelined = self.pipelined and not self._resent
            self.delivery.unstage()
        return loss

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def _loss(self) -> Loss:
        if not self.owed:
            return Loss.NOTHING
        if self.owed[0] is Owed.NEXT:
            return Loss.EVENT
        cut = 0 < self._answer_left < self._answer_size
        return Loss.FATAL if cut or self._resent else Loss.AGAIN


def wake(name: Name[Actor], message: object) -> None:
    """Send a wake-up. Nobody there is no loss: whoever starts begins by looking at the ledgers."""
    try:
        name.send_nowait(message)
    except ActorExited:
        return


def _time_left(deadline_ms: bytes) -> float:
    """Seconds until a wall clock time; infinity for a header that tells none."""
    try:
        return int(deadline_ms) / 1000 - time.time()
    except (ValueError, OverflowError):
        return math.inf
