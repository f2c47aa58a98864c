"""What a broken connection means: what of an answer has gone out, and what is still expected.

    nothing expected                      connect anew and go on
    NEXT expected, its GET not all written,  ask again: it was no request, and took no event
    or the server said that it would close
    NEXT expected, its GET written           ask again; an event that was on its way is lost
                                             unless the server repeats it
    STATUS expected, none of it written      stage it again
    STATUS expected, all of it written       send it once more, sequentially: 202, 400 or 403 end
                                             it (400 says that the first had arrived); with a
                                             GET behind it an event may be lost, as above
    the same, and it was sent once more      fatal: nobody can tell any more what has arrived
    STATUS expected, cut half way            fatal: the Runtime API refuses everything from now on,
                                             and only the end of the process tells the invoker now
    STATUS expected, of a stream:
      none of it written                     it is all in the outbox, and goes out there
      its end written, and all before it     an error is sent in its place, as above: what a stream
                                             has said is not kept. 202 says that none had arrived
      anything between                       fatal, also between two of its pieces: a part is out,
                                             which cannot be said again, and is half an answer

Where many events may be in flight the Runtime API keeps no state but each invocation's, and tells
the invoker of half an answer at once: there the two fatal rows cost one answer, which is given up,
and the lane goes on: at once where the answer had been made, and where it was still being streamed,
when its delivery is settled.

All of an answer can be written, and half of it have arrived: what the kernel took is not what the
other side got. The Runtime API then refuses the answer that is sent once more with 403, as it does
one that it has; but it refuses the next GET as well, and that is fatal too.
"""

import enum
from collections.abc import Sequence


class Expected(enum.Enum):
    """An answer that the Runtime API still has to give on this connection."""

    NEXT = "next"
    STATUS = "status"


class Loss(enum.Enum):
    """What a broken connection means for the lane."""

    NOTHING = "nothing"
    MAYBE_EVENT = "an event that was on its way may be lost"
    RESEND = "the answer is sent once more"
    RESEND_MAYBE_EVENT = (
        "the answer is sent once more, and an event that was on its way may be lost"
    )
    CUT = "an answer was cut half way"
    SENT_TWICE = "an answer was sent twice, and what became of it is unknown"


def classify_loss(
    expected: Sequence[Expected],
    size: int,
    left: int,
    *,
    waiting: bool,
    streams: bool,
    resent: bool,
    announced: bool,
) -> Loss:
    """Which row of the table it is. Pure.

    Args:
        expected: what the Runtime API owes, in order.
        size: of the answer as far as it has been made, in bytes.
        left: how many of these have not been written.
        waiting: whether there is anything to write, be it of the answer or a GET.
        streams: whether it is a stream, with its end still to come.
        resent: whether all of this answer has been written before, on another connection.
        announced: whether the last answer said that no other would follow it.
    """
    if not expected:
        return Loss.NOTHING
    if expected[0] is Expected.NEXT:
        return Loss.NOTHING if announced or waiting else Loss.MAYBE_EVENT
    if 0 < left < size:
        return Loss.CUT
    if streams and not left:
        # Between two pieces.
        return Loss.CUT
    if resent and not left:
        return Loss.SENT_TWICE
    return Loss.RESEND if waiting or Expected.NEXT not in expected else Loss.RESEND_MAYBE_EVENT
