"""The tree as data: its children, their order, and the number of workers."""

from pathlib import Path

import attrs
import pytest

from okibi.actors import Server
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.function import Function, Workers
from okibi.runtime.handlers.handler import Handler, PlainHandler
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.poller import Poller
from okibi.runtime.tree import (
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


def serve(function: Function, lanes: int = 1) -> ServedFunction:
    return ServedFunction(function, SETTINGS, ledger_of(lanes), DeadlineInterrupt())


def shape(spec: SupervisorSpec) -> list[object]:
    """Ids in start order; of a supervisor, with its children."""
    return [
        (child.id, shape(child.start)) if isinstance(child.start, SupervisorSpec) else child.id
        for child in spec.children
    ]


def test_a_function_without_children_has_the_lambda_subtree_only() -> None:
    spec = build_tree(serve(Function(Greeter)), connect)

    assert shape(spec) == [
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


def test_the_user_s_children_start_first() -> None:
    children = [Child(Visits, id="a"), Child(Visits, id="b")]
    function = Function(Greeter, children, Strategy.REST_FOR_ONE, 7, 2.0)
    first = build_tree(serve(function), connect).children[0]

    assert first.id == "children"
    assert first.start == function.supervision
    assert isinstance(first.start, SupervisorSpec)
    assert first.start.strategy is Strategy.REST_FOR_ONE


def test_several_lanes_have_supervised_responders_and_pollers() -> None:
    (only,) = shape(build_tree(serve(Function(Greeter), lanes=3), connect))

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
def test_only_the_poller_of_a_single_lane_polls_busily(lanes: int, limit: float) -> None:
    pollers: list[Poller] = []

    def find(spec: SupervisorSpec) -> None:
        for child in spec.children:
            if isinstance(child.start, SupervisorSpec):
                find(child.start)
            elif str(child.id).startswith("poller-"):
                pollers.append(child.start())  # type: ignore[operator]

    find(build_tree(serve(Function(Greeter), lanes), connect))

    assert [poller.busy_poll.limit for poller in pollers] == [limit] * lanes


@pytest.mark.parametrize(
    ("lanes", "count", "expected"), [(1, None, 2), (3, None, 4), (1, 1, 1), (3, 1, 3), (3, 9, 9)]
)
def test_there_is_one_worker_per_lane_and_a_spare_by_default(
    lanes: int, count: int | None, expected: int
) -> None:
    assert serve(Function(Workers(Greeter, count)), lanes).worker_count() == expected


@pytest.mark.parametrize(
    ("lanes", "children", "inline"),
    [(1, [], True), (2, [], False), (1, [Child(Visits)], False)],
)
def test_a_plain_handler_runs_inline_if_no_other_actor_needs_the_loop(
    lanes: int, children: list[Child[Visits]], inline: bool
) -> None:
    worker = serve(Function(plain, children), lanes).make_worker()
    instance = worker._lifecycle.create()

    assert isinstance(instance, PlainHandler)
    assert (instance.interrupt is not None) is inline
    assert not worker.stateful


@pytest.mark.parametrize(
    ("ascii_only", "body"), [(True, b'["\\u00e9"]'), (False, '["é"]'.encode())]
)
def test_a_plain_handler_s_result_is_ascii_if_the_settings_say_so(
    ascii_only: bool, body: bytes
) -> None:
    served = serve(Function(plain))
    served.settings = SETTINGS._replace(ascii_only=ascii_only)

    assert served.make_worker().encode_result(("é",)).body == body


def test_the_snapshot_is_taken_before_the_pollers_start() -> None:
    served = serve(Function(Greeter))
    served.settings = SETTINGS._replace(snap_start=True)

    assert shape(build_tree(served, connect)) == [
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


def test_a_handler_class_is_stateful_and_its_events_typed() -> None:
    worker = serve(Function(Greeter)).make_worker()

    assert worker.stateful
    assert worker._lifecycle.create is Greeter
    assert worker.decoder.decode(b"7") == 7


def test_an_event_type_that_cannot_be_decoded_raises_type_error() -> None:
    class Odd:
        pass

    class Wrong(Handler[Odd | list[Odd] | attrs.Attribute]):  # type: ignore[type-arg]
        async def handle(self, event: object, context: Context) -> object:
            return Path()

    with pytest.raises(TypeError):
        serve(Function(Wrong)).make_worker()
