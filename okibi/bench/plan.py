"""Decide the order of the measurements; `measure.py` performs them.

Compared runtimes alternate (A B, B A), in a new process each time. A machine that slows down
affects both, no runtime is always first, and differences between starts show in the spread.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from .options import BenchOptions
from .turns import order_of_round

OKIBI = "okibi"


class Purpose(Enum):
    """The subject of a step."""

    FUNCTION = "the function"
    STAND_IN = "a handler that does nothing"
    CRASHES = "crashes"
    MANY = "many at once"

    __hash__ = object.__hash__


@attrs.frozen
class Step:
    """One measurement.

    Args:
        runtime: the name of the runtime.
        purpose: the subject.
        slots: the number of events at once; None for the classic mode.
    """

    runtime: str
    purpose: Purpose
    slots: int | None = None

    def describe(self) -> str:
        """The step as text for the progress bar."""
        many = "" if self.slots is None else f", {self.slots}"
        return f"{self.runtime}: {self.purpose.value}{many}"


def make_plan(options: BenchOptions, peer: str | None) -> tuple[Step, ...]:
    """List all steps in order.

    Args:
        options: the options of the benchmark.
        peer: the peer's name, or None.
    """
    runtimes: Sequence[str] = (OKIBI,) if peer is None else (OKIBI, peer)
    effort = options.effort
    steps = [
        Step(runtime, purpose)
        for number in range(effort.rounds)
        for purpose in (Purpose.FUNCTION, Purpose.STAND_IN)
        for runtime in order_of_round(runtimes, number)
    ]
    steps += [
        Step(runtime, Purpose.CRASHES)
        for number in range(effort.crash_rounds)
        for runtime in order_of_round(runtimes, number)
    ]
    steps += [
        Step(runtime, Purpose.MANY, slots)
        for slots in options.concurrency
        for number in range(effort.rounds)
        for runtime in order_of_round(runtimes, number)
    ]
    return tuple(steps)
