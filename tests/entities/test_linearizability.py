"""The checker of histories: right ones pass, wrong ones are refused."""

import random
from collections.abc import Hashable
from typing import Any

import attrs
import pytest

from tests.entities.linearizability import Operation, is_linearizable


def count(total: int, asked: Hashable, answer: Any) -> int | None:
    """A counter: "add" answers the new total, "read" the total."""
    after = total + (asked == "add")
    return after if answer in (None, after) else None


def register(value: int, asked: Hashable, answer: Any) -> int | None:
    match asked:
        case "read":
            return value if answer in (None, value) else None
        case "write", int(new):
            return new
        case "swap", int(old), int(new):
            is_done = value == old
            return (new if is_done else value) if answer in (None, is_done) else None
    raise AssertionError(asked)


def add(began: float, ended: float | None, answer: int | None = None) -> Operation:
    return Operation(began, ended, "add", answer)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [add(0, 1, 1), add(2, 3, 2)],
        # Of two at the same time, either may be first.
        [add(0, 3, 2), add(1, 2, 1)],
        # One without an answer: before the others, between them, or never.
        [add(0, None), add(1, 2, 2)],
        [add(0, None), add(1, 2, 1), add(3, 4, 3)],
        [add(0, None), add(1, 2, 1), add(3, 4, 2)],
        [add(0, None), add(0, None), add(1, 2, 2), Operation(3, 4, "read", 3)],
    ],
)
def test_a_right_history_passes(history: list[Operation]) -> None:
    assert is_linearizable(history, count, 0)


@pytest.mark.parametrize(
    "history",
    [
        # Counted twice, not at all, and two counted as one.
        [add(0, 1, 1), add(2, 3, 3)],
        [add(0, 1, 1), Operation(2, 3, "read", 0)],
        [add(0, 2, 1), add(1, 3, 1)],
        # The later one was first.
        [add(0, 1, 2), add(2, 3, 1)],
        # What has not begun yet cannot have been counted.
        [add(0, 1, 2), add(2, None)],
        # One without an answer, counted twice.
        [add(0, None), add(1, 2, 1), add(3, 4, 4)],
    ],
)
def test_a_wrong_history_is_refused(history: list[Operation]) -> None:
    assert not is_linearizable(history, count, 0)


@pytest.mark.parametrize("seed", range(50))
def test_random_histories_of_a_register(seed: int) -> None:
    chance, value, clock, history = random.Random(seed), 0, 0.0, list[Operation]()
    for _ in range(40):
        # At a moment between its begin and its end each takes effect.
        clock += chance.random()
        asked: Hashable = chance.choice((
            "read", ("write", chance.randrange(4)), ("swap", chance.randrange(4), 5),
        ))  # fmt: skip
        answer: Any = value
        match asked:
            case "write", int(new):
                value, answer = new, True
            case "swap", int(old), int(new):
                answer = value == old
                value = new if answer else value
        began, ended = clock - 1.2 * chance.random(), clock + 1.2 * chance.random()
        heard = chance.random() > 0.1
        history.append(Operation(began, ended if heard else None, asked, answer if heard else None))
    assert is_linearizable(history, register, 0)

    number = chance.choice(
        [n for n, each in enumerate(history) if each.input == "read" and each.ended is not None]
    )
    # Nobody has written that.
    history[number] = attrs.evolve(history[number], output=7)
    assert not is_linearizable(history, register, 0)
