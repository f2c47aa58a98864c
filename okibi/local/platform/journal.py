"""A record of what happened between platform and runtime, for tests and benchmarks."""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import attrs


class EntryKind(Enum):
    """The kind of a journal entry."""

    # An event was written to an open /next.
    DELIVERED = "delivered"
    # An event went to a /next with a broken connection: lost.
    SWALLOWED = "swallowed"
    # A /response or an /error was accepted.
    ANSWERED = "answered"
    # A call was answered with 4xx; `detail` is the error type.
    REFUSED = "refused"
    # The connection of a pending /next broke.
    ABANDONED = "abandoned"
    # A connection broke within a /response or an /error.
    TRUNCATED = "truncated"
    # An /init/error was accepted.
    INIT_ERROR = "init error"
    # A /restore/next was answered (SnapStart).
    RESTORED = "restored"
    # A /restore/error was accepted; `detail` is the error type.
    RESTORE_ERROR = "restore error"
    # An invocation timed out.
    TIMED_OUT = "timed out"
    # An invoke found no idle slot (multi-concurrency).
    UNAVAILABLE = "unavailable"
    # The idle sandbox was stopped.
    FROZEN = "frozen"
    # The sandbox was continued.
    THAWED = "thawed"
    # A connection was dropped on demand; `detail` is the fault.
    DROPPED = "dropped"
    # The runtime has ended; later entries belong to a new runtime.
    SANDBOX_ENDED = "sandbox ended"

    __hash__ = object.__hash__


class JournalEntry(NamedTuple):
    """One entry of the journal. A tuple, because its cost shows in benchmarks.

    Args:
        time: seconds on trio's clock.
        kind: the kind of the entry.
        request_id: the invocation, or "".
        detail: the endpoint of a response ("response", "error"), the error type of a refusal, or
            "".
    """

    time: float
    kind: EntryKind
    request_id: str = ""
    detail: str = ""


@attrs.define(eq=False)
class Journal:
    """The latest entries.

    Args:
        limit: the number of entries to keep; the oldest are dropped first.
    """

    limit: int = 100_000
    entries: deque[JournalEntry] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.entries = deque(maxlen=self.limit)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries)

    def about(self, request_id: str) -> list[JournalEntry]:
        """Return the entries of one invocation, in order."""
        return [entry for entry in self.entries if entry.request_id == request_id]

    def times(self, kind: EntryKind, request_id: str | None = None) -> list[float]:
        """Return when entries of this kind were made, for one invocation or for all."""
        return [
            entry.time
            for entry in self.entries
            if entry.kind is kind and request_id in (None, entry.request_id)
        ]

    def refusals(self) -> list[str]:
        """Return the error types of all refusals, in order."""
        return [entry.detail for entry in self.entries if entry.kind is EntryKind.REFUSED]
