"""The counts of a mailbox. Imported when they are first asked for."""

from typing import NamedTuple


class MailboxStatistics(NamedTuple):
    """Counts of one mailbox at one moment.

    Attributes:
        length: messages on the data lane.
        control: messages on the control lane.
        peak: the highest `length` so far. A message handed directly to a waiting reader does not
            count.
        dropped: messages dropped for a newer one (DROP_OLDEST).
        blocked: senders that wait for space (BLOCK).
        capacity: the capacity of the data lane.
    """

    length: int
    control: int
    peak: int
    dropped: int
    blocked: int
    capacity: int
