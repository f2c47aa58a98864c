"""Whether a history of one entity could have happened one call after the other.

Wing and Gong's search with Lowe's cache: the calls are put in an order that the model accepts. Each
call takes effect at one moment between its begin and its end. One without an answer may take effect
at any moment after its begin, or never. A history of several entities is right if that of each
entity is.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

S = TypeVar("S", bound=Hashable)


@attrs.frozen
class Operation:
    """A call.

    Args:
        began, ended: times by one clock; `ended` is None if there was no answer.
        input: what was asked.
        output: what was answered; None if nothing was.
    """

    began: float
    ended: float | None
    input: Hashable
    output: Any = None


# Returns the state after an operation; None if it cannot have this output. An operation that was
# not answered has the output None, which is always possible.
Model = Callable[[S, Hashable, Any], S | None]


class Remaining:
    """The begins and ends of the operations that have no place yet, as a list with links."""

    def __init__(self, history: Sequence[Operation]) -> None:
        self.history = history
        # Of the same time, begins come first: such operations overlap.
        moments = [(each.began, 0, number) for number, each in enumerate(history)]
        moments += [
            (each.ended, 1, number) for number, each in enumerate(history) if each.ended is not None
        ]
        moments.sort()
        self.operations = [-1, *(number for _, _, number in moments)]
        self.is_end = [False, *(bool(is_end) for _, is_end, _ in moments)]
        count = len(self.operations)
        self.next = [*range(1, count), 0]
        self.previous = [count - 1, *range(count - 1)]
        self.places = [list[int]() for _ in history]
        for place in range(1, count):
            self.places[self.operations[place]].append(place)

    def remove(self, number: int) -> None:
        for place in self.places[number]:
            self.next[self.previous[place]] = self.next[place]
            self.previous[self.next[place]] = self.previous[place]

    def put_back(self, number: int) -> None:
        """Put the operation back that was removed last."""
        for place in reversed(self.places[number]):
            self.next[self.previous[place]] = self.previous[self.next[place]] = place

    def find_next(self) -> Iterator[int]:
        """Find the operations that may be next: those that began before any other one ended.

        Of operations without an answer and with the same input, the first can stand for all.
        """
        open_ones = dict[Hashable, int]()
        place = self.next[0]
        while place and not self.is_end[place]:
            number = self.operations[place]
            operation = self.history[number]
            if operation.ended is None:
                open_ones.setdefault(operation.input, number)
            else:
                yield number
            place = self.next[place]
        yield from open_ones.values()


def is_linearizable(history: Sequence[Operation], model: Model[S], state: S) -> bool:
    """Search an order of the operations that the model accepts.

    Args:
        history: the operations.
        model: the sequential model.
        state: the state before the history.
    """
    remaining = Remaining(history)
    missing = sum(each.ended is not None for each in history)
    done, seen = 0, set[tuple[int, S]]()
    # What was put in order, each with the state before it, and what else could have been.
    order = list[tuple[int, S]]()
    choices = [list(remaining.find_next())]
    while missing:
        if not choices[-1]:
            choices.pop()
            if not order:
                return False
            number, state = order.pop()
            remaining.put_back(number)
            done ^= 1 << number
            missing += history[number].ended is not None
            continue
        number = choices[-1].pop(0)
        operation = history[number]
        after = model(state, operation.input, operation.output)
        if after is None or (done | 1 << number, after) in seen:
            continue
        remaining.remove(number)
        done |= 1 << number
        seen.add((done, after))
        missing -= operation.ended is not None
        order.append((number, state))
        state = after
        choices.append(list(remaining.find_next()))
    return True
