"""The failures of a lane since its last event, and the event whose response was refused. Pure.

A refused response leaves the event unanswered, and the Runtime API sends the same event again at
once. No handler sees the repeat. The lane settles the first repeat with an error, which tells the
invoker. It drops later repeats, and the poller asks again after a pause. The retry of an
asynchronous event has the same request id but another deadline, and is no repeat.
"""

from collections.abc import Mapping

from ..protocol.runtime_api import attempt_key

# Seconds. A refusal may last as long as an invocation: pause 0.1 s, 0.2 s, 0.4 s, up to 5 s.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# After so many refusals the pause is longest. Bounds the power of two.
MOST_DOUBLINGS = 6


class Failures:
    """Failures of one lane since its last event.

    Attributes:
        count: failures of any kind; 0 if there is nothing to clear.
        refusals: refused requests and connections in a row.
        starts: starts of poller and responder.
        unavailable: whether the lane cannot serve: no connection, or its actors keep failing.
    """

    __slots__ = ("count", "refusals", "starts", "unavailable")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all: an event has come."""
        self.count = self.refusals = self.starts = 0
        self.unavailable = False

    def count_refusal(self) -> None:
        """Count a request or a connection that was refused."""
        self.count += 1
        self.refusals += 1

    @property
    def pause(self) -> float:
        """Seconds before the next request; longer after each refusal, 0 after none."""
        if not self.refusals:
            return 0.0
        doublings = min(self.refusals - 1, MOST_DOUBLINGS)
        return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)

    def count_start(self) -> int:
        """Count a start of the lane's poller or responder. Return how many there were."""
        self.count += 1
        self.starts += 1
        return self.starts

    def mark_unavailable(self) -> bool:
        """Mark the lane as unavailable. Return whether it was available."""
        self.count += 1
        was_available, self.unavailable = not self.unavailable, True
        return was_available

    def mark_connected(self) -> None:
        """Mark the lane as available: it has a connection again."""
        self.unavailable = False


class Repeats:
    """Counts how often the event of a refused response comes again.

    Args:
        request_id, headers: of the event.
    """

    __slots__ = ("_attempt", "_count", "_request_id")

    def __init__(self, request_id: str, headers: Mapping[bytes, bytes]) -> None:
        self._request_id = request_id
        self._attempt = attempt_key(headers)
        self._count = 0

    def count(self, request_id: str, headers: Mapping[bytes, bytes]) -> int:
        """Count an event if it is a repeat.

        Returns:
            Its number among the repeats, from 1; 0 for another event.
        """
        if request_id != self._request_id or attempt_key(headers) != self._attempt:
            return 0
        self._count += 1
        return self._count
