"""The tree as data: who is in it, in which order, and how many workers."""

from pathlib import Path

import attrs
import pytest

from okibi.actors import Server
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.function import Function, Workers
from okibi.runtime.handlers.handler import Handler, PlainHandler
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.poller import Poller
from okibi.runtime.tree import (
    BACKOFF,
    INTENSITY,
    PERIOD,
    WORKERS_PERIOD,
    ServedFunction,
    build_tree,
)
from okibi.supervisors import Child, Strategy, SupervisorSpec
from tests.support.doubles import SETTINGS, ledger_of


class Greeter(Handler[int]):
    async def handle(self, event: int, context: Context) -> object:
        return event


class Visits(Server): ...


async def connect() -> Transport:
    raise ConnectionRefusedError


def plain(event: object, context: object) -> object:
    return event


def serving(function: Function, lanes: int = 1) -> ServedFunction:
    return ServedFunction(function, SETTINGS, ledger_of(lanes), Alarm())


def shape(flags: SupervisorSpec) -> list[object]:
    """Ids in start order, supervisors with what is below them."""
    return [
        (child.id, shape(child.start)) if isinstance(child.start, SupervisorSpec) else child.id
        for child in flags.children
    ]


def test_without_children_there_is_the_lambda_s_part_only() -> None:
    flags = build_tree(serving(Function(Greeter)), connect)

    assert shape(flags) == [
        (
            "lambda",
            [
                "clock",
                "responder-0",
                ("workers", ["worker-0", "worker-1"]),
                "dispatcher",
                "poller-0",
            ],
        )
    ]


def test_the_user_s_children_come_first_as_the_function_says() -> None:
    children = [Child(Visits, id="a"), Child(Visits, id="b")]
    function = Function(Greeter, children, Strategy.REST_FOR_ONE, 7, 2.0)
    first = build_tree(serving(function), connect).children[0]

    assert first.id == "children"
    assert first.start == function.supervision
    assert isinstance(first.start, SupervisorSpec)
    assert first.start.strategy is Strategy.REST_FOR_ONE


def test_each_lane_has_a_responder_and_a_poller_each_kind_with_a_supervisor() -> None:
    (only,) = shape(build_tree(serving(Function(Greeter), lanes=3), connect))

    assert only == (
        "lambda",
        [
            "clock",
            ("responders", ["responder-0", "responder-1", "responder-2"]),
            ("workers", ["worker-0", "worker-1", "worker-2", "worker-3"]),
            "dispatcher",
            ("pollers", ["poller-0", "poller-1", "poller-2"]),
        ],
    )


@pytest.mark.parametrize(("lanes", "limit"), [(1, SETTINGS.busy_wait), (2, 0.0)])
def test_only_the_poller_of_one_lane_looks_for_its_next_event(lanes: int, limit: float) -> None:
    pollers: list[Poller] = []

    def find(flags: SupervisorSpec) -> None:
        for child in flags.children:
            if isinstance(child.start, SupervisorSpec):
                find(child.start)
            elif str(child.id).startswith("poller-"):
                pollers.append(child.start())  # type: ignore[operator]

    find(build_tree(serving(Function(Greeter), lanes), connect))

    assert [poller.busy_poll.limit for poller in pollers] == [limit] * lanes


@pytest.mark.parametrize("period", [PERIOD, WORKERS_PERIOD])
def test_none_of_many_s_crashes_can_use_up_what_all_may_do_wrong(period: float) -> None:
    pause, now, restarts = BACKOFF.first, 0.0, list[float]()
    while now < 100:
        # Counted as it crashes; then comes the pause.
        restarts.append(now)
        now += pause
        pause = min(pause * BACKOFF.factor, BACKOFF.maximum)

    most = max(sum(at <= other < at + period for other in restarts) for at in restarts)

    assert most <= INTENSITY


@pytest.mark.parametrize(
    ("lanes", "count", "expected"), [(1, None, 2), (3, None, 4), (1, 1, 1), (3, 1, 3), (3, 9, 9)]
)
def test_there_is_a_worker_a_lane_and_a_spare_unless_the_function_says_more(
    lanes: int, count: int | None, expected: int
) -> None:
    assert serving(Function(Workers(Greeter, count)), lanes).worker_count() == expected


@pytest.mark.parametrize(
    ("lanes", "children", "inline"),
    [(1, [], True), (2, [], False), (1, [Child(Visits)], False)],
)
def test_a_plain_handler_runs_inline_while_nobody_else_needs_the_loop(
    lanes: int, children: list[Child[Visits]], inline: bool
) -> None:
    worker = serving(Function(plain, children), lanes).make_worker()
    instance = worker._lifecycle.create()

    assert isinstance(instance, PlainHandler)
    assert (instance.alarm is not None) is inline
    assert not worker.stateful


@pytest.mark.parametrize(("escaped", "body"), [(True, b'["\\u00e9"]'), (False, '["é"]'.encode())])
def test_a_plain_handler_s_result_is_escaped_as_the_runtime_says(
    escaped: bool, body: bytes
) -> None:
    told = serving(Function(plain))
    told.settings = SETTINGS._replace(ascii_only=escaped)

    assert told.make_worker().encode_result(("é",)).body == body


def test_a_snapshot_is_taken_between_all_that_serves_and_the_first_next() -> None:
    told = serving(Function(Greeter))
    told.settings = SETTINGS._replace(snap_start=True)

    assert shape(build_tree(told, connect)) == [
        (
            "lambda",
            [
                "clock",
                "responder-0",
                ("workers", ["worker-0", "worker-1"]),
                "dispatcher",
                "snapstart",
                "poller-0",
            ],
        )
    ]


def test_a_handler_class_is_stateful_and_typed() -> None:
    worker = serving(Function(Greeter)).make_worker()

    assert worker.stateful
    assert worker._lifecycle.create is Greeter
    assert worker.decoder.decode(b"7") == 7


def test_a_handler_with_a_type_that_cannot_be_decoded_fails_the_worker_s_start() -> None:
    class Odd:
        pass

    class Wrong(Handler[Odd | list[Odd] | attrs.Attribute]):  # type: ignore[type-arg]
        async def handle(self, event: object, context: Context) -> object:
            return Path()

    with pytest.raises(TypeError):
        serving(Function(Wrong)).make_worker()
