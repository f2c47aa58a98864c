"""The dispatcher's plan as a table."""

from itertools import product
from typing import Any

import pytest

from okibi.actors import Ref
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.serving.dispatcher import (
    Action,
    Assign,
    DeliveryStatus,
    GiveBack,
    SettleDead,
    SettleLate,
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


TABLE: list[tuple[str, list[DeliveryStatus], list[Ref[Any]], list[Action]]] = [
    ("nothing in flight", [], [W1], []),
    ("an event and a worker", [received()], [W1, W2], [Assign(0, W1)]),
    ("an event and no worker", [received()], [], []),
    ("two of both", [received(0), received(2)], [W2, W1], [Assign(0, W2), Assign(2, W1)]),
    ("two events, one worker", [received(0), received(1)], [W1], [Assign(0, W1)]),
    ("told already", [assigned()], [W1], []),
    ("told one that died", [assigned(lives=False)], [W1], [GiveBack(0), Assign(0, W1)]),
    ("told one that died, no other", [assigned(lives=False)], [], [GiveBack(0)]),
    ("being handled", [running()], [W1], []),
    ("being answered in pieces", [streaming()], [W1], []),
    ("its worker died between two pieces", [streaming(lives=False)], [W1], [SettleDead(0)]),
    ("late, and half answered", [streaming(late=True)], [W1], [SettleLate(0)]),
    ("its worker died in the middle", [running(lives=False)], [W1], [SettleDead(0)]),
    ("late, and nobody has it", [received(late=True)], [W1], [SettleLate(0)]),
    ("late, and told", [assigned(late=True)], [W1], [SettleLate(0)]),
    ("late, and handled", [running(late=True)], [W1], [SettleLate(0)]),
    ("late, and its worker died", [running(lives=False, late=True)], [W1], [SettleLate(0)]),
    (
        "a late one takes no worker",
        [received(0, late=True), received(1)],
        [W1],
        [SettleLate(0), Assign(1, W1)],
    ),
    (
        "a dead one's takes no worker",
        [running(0, lives=False), received(1)],
        [W1],
        [SettleDead(0), Assign(1, W1)],
    ),
]


@pytest.mark.parametrize(
    ("entries", "idle", "actions"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_plan(
    entries: list[DeliveryStatus], idle: list[Ref[Any]], actions: list[Action]
) -> None:
    assert plan(entries, idle) == actions


@pytest.mark.parametrize(("waiting", "idle"), [*product(range(4), repeat=2)])
def test_what_waits_and_has_time_is_given_out_in_its_order(waiting: int, idle: int) -> None:
    """Of one lane the dispatcher does the same without asking the plan."""
    entries, workers = [received(lane) for lane in range(waiting)], [W1, W2, W3][:idle]

    assert plan(entries, workers) == list(map(Assign, range(waiting), workers))
