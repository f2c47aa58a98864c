"""Classify a broken connection: how much of a response was sent, and what the lane does next.

NEXT is the event that answers `GET /next`. STATUS is the status that answers a posted response.
The first expected item, and how much of the request was written, select a row:

    nothing expected                     reconnect and go on
    NEXT, and the GET was not written    ask again: the server saw no request and gave no event
      in full, or the server had
      announced the close
    NEXT, and the GET was written        ask again; an event on its way is lost unless the server
                                         repeats it
    STATUS, none of the response         stage the response again
      written
    STATUS, all of it written            resend it, without pipelining: 202, 400 or 403 completes it
                                         (400: the first copy had arrived). If a GET followed the
                                         response, an event may be lost, as above
    STATUS, and it was resent before     fatal: okibi cannot find out which copy arrived
    STATUS, a part of it written         fatal: the Runtime API refuses every later request, and
                                         only the end of the process tells the invoker now
    STATUS of a streamed response:
      none of it written                 the outbox holds all of it and sends it
      all of it written, with its end    resend an error in its place: a stream is not kept once it
                                         is sent. 202 means that nothing had arrived
      any other part written             fatal: a part is out, and okibi cannot repeat it. A break
                                         between two pieces belongs here

The fatal rows end the process if there is one lane. With several lanes, the Runtime API keeps state
per invocation only, and reports half a response to the invoker at once. There a fatal row costs the
one response, and the lane goes on. (A lane whose handler is still streaming goes on once the
delivery is settled.)

"Written" means that the kernel took the bytes; the server may have received half of them. The
Runtime API answers the resent response with 403 in both cases, whether it has the first copy in
full or in part. After a part it also refuses the next GET, which is fatal too.
"""

import enum


class Expected(enum.Enum):
    """The responses that the Runtime API still has to send on this connection, in order."""

    NOTHING = "nothing"
    NEXT = "next"
    STATUS = "status"
    STATUS_NEXT = "status, then next"


# As globals, like the members of `DeliveryState`.
NOTHING, NEXT, STATUS, STATUS_NEXT = Expected


class Resend:
    """Whether the response is a second copy, after all of the first was written. Pure.

    Attributes:
        sent: all of the first copy was written, on an earlier connection.
        refused: the second copy was refused with 403: half of the first may have arrived. The next
            event clears it.
    """

    __slots__ = ("refused", "sent")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the copies: the next response will be a first copy."""
        self.sent = self.refused = False

    def take_break(self, unwritten: int) -> None:
        """Note that the response must be sent again.

        Args:
            unwritten: bytes of the last copy that the kernel has not taken.
        """
        self.sent = self.sent or unwritten == 0

    def take_status(self, status: int) -> None:
        """Note the status of the last copy."""
        self.sent, self.refused = False, self.sent and status == 403


class Loss(enum.Enum):
    """The loss of a lane by a broken connection. The values are log texts."""

    NOTHING = "nothing is lost"
    MAYBE_EVENT = "an event on its way may be lost"
    RESEND = "the response is sent again"
    RESEND_MAYBE_EVENT = "the response is sent again, and an event on its way may be lost"
    CUT = "a part of the response had been sent"
    SENT_TWICE = "the response was sent twice, and neither copy was confirmed"


def classify_loss(
    expected: Expected,
    size: int,
    unwritten: int,
    *,
    waiting: bool,
    streams: bool,
    resent: bool,
    announced: bool,
) -> Loss:
    """Select the row of the table. Pure.

    Args:
        expected: the responses that the Runtime API still has to send.
        size: bytes of the response, as far as it has been made.
        unwritten: the number of these bytes that have not been written.
        waiting: whether the outbox holds anything, of the response or a GET.
        streams: whether the response is a stream whose end is still to come.
        resent: whether the response is a second copy (`Resend.sent`).
        announced: whether the last response of the server announced the close.
    """
    if expected is NOTHING:
        return Loss.NOTHING
    if expected is NEXT:
        return Loss.NOTHING if announced or waiting else Loss.MAYBE_EVENT
    if 0 < unwritten < size:
        return Loss.CUT
    if streams and not unwritten:
        # Between two pieces.
        return Loss.CUT
    if resent and not unwritten:
        return Loss.SENT_TWICE
    asked = expected is STATUS_NEXT and not waiting
    return Loss.RESEND_MAYBE_EVENT if asked else Loss.RESEND
