"""In which order what is measured. Decided here, performed in `measure.py`.

Whoever is compared takes turns (A B, B A), each time in processes of his own: a machine that slows
down slows all of them, none is always the first, and what differs from one start to the next shows
in the spread.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from .order import BenchOrder

__all__ = ["OKIBI", "Purpose", "Step", "plan"]

OKIBI = "okibi"


class Purpose(Enum):
    """What a step measures."""

    FUNCTION = "the function"
    STAND_IN = "a handler that does nothing"
    CRASHES = "crashes"
    MANY = "many at once"

    __hash__ = object.__hash__


@attrs.frozen
class Step:
    """One thing to measure.

    Args:
        runtime: whose.
        purpose: what.
        slots: events at once, or None for one.
    """

    runtime: str
    purpose: Purpose
    slots: int | None = None

    def in_words(self) -> str:
        """For who watches."""
        many = "" if self.slots is None else f", {self.slots}"
        return f"{self.runtime}: {self.purpose.value}{many}"


def plan(order: BenchOrder, peer: str | None) -> tuple[Step, ...]:
    """The steps of an order.

    Args:
        order: what is to be measured.
        peer: the peer's name, or None.
    """
    runtimes: Sequence[str] = (OKIBI,) if peer is None else (OKIBI, peer)
    size = order.size
    turns = (runtimes, runtimes[::-1])
    steps = [
        Step(runtime, purpose)
        for number in range(size.rounds)
        for purpose in (Purpose.FUNCTION, Purpose.STAND_IN)
        for runtime in turns[number % 2]
    ]
    steps += [
        Step(runtime, Purpose.CRASHES)
        for number in range(size.crash_rounds)
        for runtime in turns[number % 2]
    ]
    steps += [
        Step(runtime, Purpose.MANY, slots)
        for slots in order.concurrency
        for number in range(size.rounds)
        for runtime in turns[number % 2]
    ]
    return tuple(steps)
