"""Let what is compared take turns, so that a machine that slows down affects all of it."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
Contender = TypeVar("Contender", bound=Hashable)
Result = TypeVar("Result")


def order_of_round(items: Sequence[T], number: int) -> tuple[T, ...]:
    """Return the order of a round: each round begins with another item.

    >>> [order_of_round("AB", number) for number in range(3)]
    [('A', 'B'), ('B', 'A'), ('A', 'B')]
    """
    first = number % len(items)
    return (*items[first:], *items[:first])


def measure_in_turn(
    contenders: Iterable[Contender], rounds: int, measure: Callable[[Contender], Result]
) -> dict[Contender, list[Result]]:
    """Measure each contender once in each round; return the results of each, in order."""
    found: dict[Contender, list[Result]] = {each: [] for each in contenders}
    for number in range(rounds):
        for each in order_of_round([*found], number):
            found[each].append(measure(each))
    return found
