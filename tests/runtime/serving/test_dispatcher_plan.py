"""The dispatcher's plan as a table."""

from itertools import product
from typing import Any

import pytest

from okibi.actors import Ref
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.serving.dispatcher import (
    ASSIGN,
    FINISH_DEAD,
    FINISH_LATE,
    GIVE_BACK,
    SETTLE_DEAD,
    SETTLE_LATE,
    Action,
    DeliveryStatus,
    plan,
)
from tests.support.doubles import worker

W1, W2, W3 = worker("/w1"), worker("/w2"), worker("/w3")


def received(lane: int = 0, *, late: bool = False) -> DeliveryStatus:
    return DeliveryStatus(lane, DeliveryState.RECEIVED, False, late)


def assigned(lane: int = 0, *, lives: bool = True, late: bool = False) -> DeliveryStatus:
    return DeliveryStatus(lane, DeliveryState.ASSIGNED, lives, late)


def running(lane: int = 0, *, lives: bool = True, late: bool = False) -> DeliveryStatus:
    return DeliveryStatus(lane, DeliveryState.RUNNING, lives, late)


def streaming(lane: int = 0, *, lives: bool = True, late: bool = False) -> DeliveryStatus:
    return DeliveryStatus(lane, DeliveryState.STREAMING, lives, late)


def follows(
    state: DeliveryState, lane: int = 0, *, lives: bool = True, late: bool = False
) -> DeliveryStatus:
    return DeliveryStatus(lane, state, lives, late)


# The states of a delivery with follow-ups whose handler has ended.
FOLLOWING = [state for state in DeliveryState if state >= DeliveryState.SETTLED]
TABLE: list[tuple[str, list[DeliveryStatus], list[Ref[Any]], list[Action]]] = [
    ("nothing in flight", [], [W1], []),
    ("an event and a worker", [received()], [W1, W2], [Action(ASSIGN, 0, W1)]),
    ("an event and no worker", [received()], [], []),
    (
        "two of both",
        [received(0), received(2)],
        [W2, W1],
        [Action(ASSIGN, 0, W2), Action(ASSIGN, 2, W1)],
    ),
    ("two events, one worker", [received(0), received(1)], [W1], [Action(ASSIGN, 0, W1)]),
    ("assigned already", [assigned()], [W1], []),
    (
        "assigned to a dead worker",
        [assigned(lives=False)],
        [W1],
        [Action(GIVE_BACK, 0), Action(ASSIGN, 0, W1)],
    ),
    (
        "assigned to a dead worker, no other idle",
        [assigned(lives=False)],
        [],
        [Action(GIVE_BACK, 0)],
    ),
    ("running", [running()], [W1], []),
    ("streaming", [streaming()], [W1], []),
    ("streaming, its worker died", [streaming(lives=False)], [W1], [Action(SETTLE_DEAD, 0)]),
    ("streaming, late", [streaming(late=True)], [W1], [Action(SETTLE_LATE, 0)]),
    ("running, its worker died", [running(lives=False)], [W1], [Action(SETTLE_DEAD, 0)]),
    ("received, late", [received(late=True)], [W1], [Action(SETTLE_LATE, 0)]),
    ("assigned, late", [assigned(late=True)], [W1], [Action(SETTLE_LATE, 0)]),
    ("running, late", [running(late=True)], [W1], [Action(SETTLE_LATE, 0)]),
    (
        "running, late, its worker died",
        [running(lives=False, late=True)],
        [W1],
        [Action(SETTLE_LATE, 0)],
    ),
    (
        "a late delivery takes no worker",
        [received(0, late=True), received(1)],
        [W1],
        [Action(SETTLE_LATE, 0), Action(ASSIGN, 1, W1)],
    ),
    *(
        row
        for state in FOLLOWING
        for row in (
            (f"{state.name}, with follow-ups", [follows(state)], [W1], []),
            (
                f"{state.name}, with follow-ups, its worker died",
                [follows(state, lives=False), received(1)],
                [W1],
                [Action(FINISH_DEAD, 0), Action(ASSIGN, 1, W1)],
            ),
            (
                f"{state.name}, with follow-ups, late",
                [follows(state, late=True)],
                [W1],
                [Action(FINISH_LATE, 0)],
            ),
        )
    ),
    (
        "a delivery of a dead worker takes no worker",
        [running(0, lives=False), received(1)],
        [W1],
        [Action(SETTLE_DEAD, 0), Action(ASSIGN, 1, W1)],
    ),
]


@pytest.mark.parametrize(
    ("deliveries", "idle", "actions"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_plan_of_each_row(
    deliveries: list[DeliveryStatus], idle: list[Ref[Any]], actions: list[Action]
) -> None:
    assert plan(deliveries, idle) == actions


@pytest.mark.parametrize(("waiting", "idle"), [*product(range(4), repeat=2)])
def test_waiting_events_are_assigned_in_order(waiting: int, idle: int) -> None:
    """For a single new event the dispatcher does the same without the plan."""
    deliveries, workers = [received(lane) for lane in range(waiting)], [W1, W2, W3][:idle]

    assert plan(deliveries, workers) == [
        Action(ASSIGN, lane, worker) for lane, worker in zip(range(waiting), workers, strict=False)
    ]
