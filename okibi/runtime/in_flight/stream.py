"""A streamed answer as its delivery has it: whether it may go on, and who waits for room.

The bytes themselves lie in the lane's outbox, so that whoever dies leaves them.
"""

from collections.abc import Callable

from trio.lowlevel import ParkingLot

# The attribute of a handler that `@streaming` has marked: it is given a response to write.
RESPONSE = "__okibi_response__"


class Stream:
    """What the handler's side and the lane's side of a streamed answer have in common.

    Args:
        cut: ends the handler, at its next checkpoint.

    Attributes:
        end_reason: why the Runtime API takes no more of it; empty while it does.
        connected: whether the connection that it was begun on still stands.
        blocked: whether the connection takes no more for now, so that the responder waits for it.
    """

    __slots__ = ("_cut", "_lot", "blocked", "connected", "end_reason")

    def __init__(self, cut: Callable[[], None]) -> None:
        self.end_reason = ""
        self.connected = True
        self.blocked = False
        self._cut = cut
        self._lot = ParkingLot()

    async def wait_written(self) -> None:
        """Wait until the responder has written what the connection takes now."""
        await self._lot.park()

    def mark_written(self, *, blocked: bool) -> None:
        """The responder has; whether the connection took less than there was."""
        self.blocked = blocked
        self._lot.unpark_all()

    def end(self, why: str) -> None:
        """Nobody takes the rest: whoever makes it need not go on."""
        if not self.end_reason:
            self.end_reason = why
            self._cut()
            self._lot.unpark_all()
