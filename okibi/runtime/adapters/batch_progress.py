"""Decide which record of a batch starts next, and which ones Lambda has to send again. Pure."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from heapq import heappop, heappush


class Progress:
    """The records of one batch, by their places in it: what is handled, and what may start.

    * The records of one *chain* run one after the other.
    * After a failure no other record of the same *stop group* starts: Lambda sends the records
      again from the failed one on, and would send a later one twice, or behind its order.
    * Of what may start, the lowest place starts first.

    Args:
        count: the number of records.
        chains: the chain of each record, None for a record in none; empty if there are no chains.
        stops: the stop group of each record, None for a record in none; empty if a failure stops
            nothing.
    """

    __slots__ = ("_after", "_handled", "_left", "_pop", "_startable", "_stopped", "_stops")

    def __init__(
        self, count: int, chains: Sequence[Hashable] = (), stops: Sequence[Hashable] = ()
    ) -> None:
        self._handled = bytearray(count)
        self._stops = stops
        self._stopped = set[Hashable]()
        # What was not handled when the batch was closed.
        self._left: list[int] | None = None
        # The records that may start, and by each record of a chain the next one.
        self._startable: list[int] = []
        self._after: dict[int, int] = {}
        last: dict[Hashable, int] = {}
        for place, chain in enumerate(chains):
            before = None if chain is None else last.get(chain)
            last[chain] = place
            if before is None:
                self._startable.append(place)
            else:
                self._after[before] = place
        if not chains:
            # Taken from the end, which costs less than a heap.
            self._startable += range(count - 1, -1, -1)
        self._pop: Callable[[], int] = (
            partial(heappop, self._startable) if chains else self._startable.pop
        )

    @property
    def ready(self) -> int:
        """The number of records that may start now."""
        return len(self._startable)

    def start(self) -> int | None:
        """Return the place of the record that starts now; None if none may start."""
        while self._startable:
            place = self._pop()
            if not self._stopped or self._stops[place] not in self._stopped:
                return place
        return None

    def succeed(self, place: int) -> None:
        """Note that a record was handled to its end."""
        self._handled[place] = True
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
            self._left = [place for place, handled in enumerate(self._handled) if not handled]
            self._startable.clear()
        return self._left
