"""Decide which record of a batch starts next, and which ones Lambda has to send again. Pure."""

from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import compress, count


class Progress:
    """The records of one batch, by their places in it: what is handled, and what may start.

    * The records of one *chain* run one after the other.
    * After a failure no other record of the same *stop group* starts: Lambda sends the records
      again from the failed one on, and would send a later one twice, or behind its order.
    * Of what may start, the lowest place starts first.

    Args:
        total: the number of records.
        chains: the chain of each record, None for a record in none; empty if there are no chains.
        stops: the stop group of each record, None for a record in none; empty if a failure stops
            nothing.
    """

    __slots__ = ("_after", "_left", "_startable", "_stopped", "_stops", "_unhandled")

    def __init__(
        self, total: int, chains: Sequence[Hashable] = (), stops: Sequence[Hashable] = ()
    ) -> None:
        # Whether a record is not handled, by its place.
        self._unhandled = [True] * total
        self._stops = stops
        self._stopped: set[Hashable] = set()
        # What was not handled when the batch was closed.
        self._left: list[int] | None = None
        # The records that may start: a heap if some follow others, else the next at the end.
        self._startable: list[int] = [*range(total - 1, -1, -1)]
        # By each record of a chain the one after it.
        self._after: dict[int, int] = {}
        if chains:
            first: list[int] = []
            last: dict[Hashable, int] = {}
            for place, chain in enumerate(chains):
                before = None if chain is None else last.get(chain)
                last[chain] = place
                if before is None:
                    first.append(place)
                else:
                    self._after[before] = place
            if self._after:
                self._startable = first

    @property
    def ready(self) -> int:
        """The number of records that may start now."""
        return len(self._startable)

    def __iter__(self) -> Iterator[int]:
        """Yield the place of the record that starts now, until none may start."""
        startable, stopped, stops = self._startable, self._stopped, self._stops
        pop = partial(heappop, startable) if self._after else startable.pop
        while startable:
            place = pop()
            if not stopped or stops[place] not in stopped:
                yield place

    def succeed(self, place: int) -> None:
        """Note that a record was handled to its end."""
        self._unhandled[place] = False
        if self._after and place in self._after and self._left is None:
            heappush(self._startable, self._after[place])

    def fail(self, place: int) -> None:
        """Note that a record has failed: no other record of its stop group starts."""
        if self._stops and self._stops[place] is not None:
            self._stopped.add(self._stops[place])

    def close(self) -> list[int]:
        """Let nothing start any more, and return the places that were not handled, in order.

        What is handled later is not seen.
        """
        if self._left is None:
            unhandled = self._unhandled
            self._left = [*compress(count(), unhandled)] if True in unhandled else []
            self._startable.clear()
        return self._left
