"""What happened between the platform and the runtime, in order: a test's and a benchmark's
evidence.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import attrs

__all__ = ["EntryKind", "Journal", "JournalEntry"]


class EntryKind(Enum):
    """What an entry of the journal tells."""

    DELIVERED = "delivered"
    """An event was written to a /next that was there to take it."""
    SWALLOWED = "swallowed"
    """An event went to a /next whose connection was gone: nobody has it."""
    ANSWERED = "answered"
    """A /response or an /error was accepted."""
    REFUSED = "refused"
    """A call was answered with 4xx; `detail` is its error type."""
    ABANDONED = "abandoned"
    """A connection broke under a pending /next."""
    TRUNCATED = "truncated"
    """A connection broke in the middle of a /response or an /error."""
    INIT_ERROR = "init error"
    """An /init/error was accepted."""
    TIMED_OUT = "timed out"
    """An invocation's time was up."""
    UNAVAILABLE = "unavailable"
    """An invoke found no idle slot (multi-concurrency)."""
    FROZEN = "frozen"
    """The sandbox was stopped: nothing is there for it to do."""
    THAWED = "thawed"
    """It goes on."""
    DROPPED = "dropped"
    """A connection was dropped on demand; `detail` says where."""
    SANDBOX_ENDED = "sandbox ended"
    """The runtime is gone; what comes now is a new one."""

    __hash__ = object.__hash__


class JournalEntry(NamedTuple):
    """One line of the journal; a tuple, for two are made an invocation and a benchmark counts them.

    Args:
        time: seconds on the run's clock.
        kind: what it was.
        request_id: the invocation it was about, or "".
        detail: the endpoint of an answer ("response", "error"), the error type of a refusal, or "".
    """

    time: float
    kind: EntryKind
    request_id: str = ""
    detail: str = ""


@attrs.define(eq=False)
class Journal:
    """The entries so far; bounded, so that a benchmark of a million invocations may keep it.

    Args:
        limit: how many entries are kept; the oldest go first.
    """

    limit: int = 100_000
    entries: deque[JournalEntry] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.entries = deque(maxlen=self.limit)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries)

    def about(self, request_id: str) -> list[JournalEntry]:
        """The entries of one invocation, in order."""
        return [entry for entry in self.entries if entry.request_id == request_id]

    def times(self, kind: EntryKind, request_id: str | None = None) -> list[float]:
        """When `kind` happened, to one invocation or to any."""
        return [
            entry.time
            for entry in self.entries
            if entry.kind is kind and request_id in (None, entry.request_id)
        ]

    def refusals(self) -> list[str]:
        """The error types of all refusals, in order."""
        return [entry.detail for entry in self.entries if entry.kind is EntryKind.REFUSED]
