"""The state of a streamed response that handler and lane share.

The bytes are in the lane's outbox, where they outlive the worker and the responder.
"""

from collections.abc import Callable

from trio.lowlevel import ParkingLot

# Attribute of a handler that `@streaming` has marked: okibi passes it a Response to write to.
RESPONSE = "__okibi_response__"


class Stream:
    """Backpressure and early end of one streamed response.

    Args:
        cut: cancels the handler.

    Attributes:
        end_reason: why the stream has ended; empty while it goes on.
        connected: whether the connection on which the stream began is still open.
        blocked: whether the connection takes no more bytes now, and the responder waits.
    """

    __slots__ = ("_cancel_handler", "_writers", "blocked", "connected", "end_reason")

    def __init__(self, cut: Callable[[], None]) -> None:
        self.end_reason = ""
        self.connected = True
        self.blocked = False
        self._cancel_handler = cut
        self._writers = ParkingLot()

    async def wait_written(self) -> None:
        """Wait until the responder has written again, or the stream has ended."""
        await self._writers.park()

    def release_handler(self) -> None:
        """Let the handler go on after the end of the stream."""
        self._cancel_handler = _do_nothing

    def mark_written(self, *, blocked: bool) -> None:
        """Wake the writers after a write.

        Args:
            blocked: whether the connection took less than the outbox held.
        """
        self.blocked = blocked
        self._writers.unpark_all()

    def take_status(self, status: int) -> None:
        """End the stream: the Runtime API has sent the status before its end."""
        self.end(f"the Runtime API sent status {status} before the end of the stream")

    def disconnect(self, *, cut: bool) -> None:
        """Note that the connection has broken.

        Args:
            cut: whether a part of the stream was written, so that it ends here.
        """
        self.connected = False
        if cut:
            self.end("the connection broke within the stream")

    def end(self, why: str) -> None:
        """End the stream: cancel the handler and wake the writers. The first call counts."""
        if not self.end_reason:
            self.end_reason = why
            self._cancel_handler()
            self._writers.unpark_all()


def _do_nothing() -> None:
    pass
