"""The invocation that code runs for."""

import os
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest
import trio

from okibi.runtime.logs import invocation_context
from okibi.runtime.logs.invocation_context import (
    enter_invocation,
    invocation,
    request_id,
    set_lanes,
    tenant_id,
    xray_trace_id,
)
from okibi.runtime.logs.xray_variable import VARIABLE as TRACE_VARIABLE
from okibi.runtime.protocol.runtime_api import TENANT, TRACE
from tests.support.worker_bench import Player, answer, bench, fresh


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    """Reset the invocation after each test."""
    set_lanes(1)
    yield
    set_lanes(1)


def of_thread() -> str:
    """The request id in a plain thread."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(request_id()))
    thread.start()
    thread.join()
    return said[0]


def test_there_is_no_invocation_outside_events() -> None:
    assert copy_context().run(invocation) == invocation_context.NO_INVOCATION
    assert tenant_id() is None


def test_an_empty_tenant_is_none() -> None:
    def named(value: bytes) -> str | None:
        enter_invocation("id", {b"lambda-runtime-aws-tenant-id": value})
        return tenant_id()

    assert copy_context().run(named, b"blue") == "blue"
    assert copy_context().run(named, b"") is None


async def test_tasks_and_their_threads_have_their_own_invocation() -> None:
    set_lanes(2)
    said: dict[str, list[str]] = {}

    async def handler(name: str, met: trio.Event, meet: trio.Event) -> None:
        enter_invocation(name, {})
        met.set()
        await meet.wait()
        # Both events are in flight.
        said[name] = [request_id(), await trio.to_thread.run_sync(request_id)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beside, name)

    async def beside(name: str) -> None:
        said[name].append(request_id())

    a, b = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handler, "a", a, b)
        nursery.start_soon(handler, "b", b, a)

    assert said == {"a": ["a"] * 3, "b": ["b"] * 3}


async def test_a_task_that_outlives_its_event_keeps_the_invocation() -> None:
    said: list[str] = []
    go_on = trio.Event()

    async def left() -> None:
        await go_on.wait()
        said.append(request_id())

    async with trio.open_nursery() as nursery:
        enter_invocation("a", {})
        nursery.start_soon(left)
        enter_invocation("b", {})
        go_on.set()

    assert said == ["a"]


@pytest.mark.usefixtures(fresh.__name__)
async def test_a_replacing_instance_s_init_belongs_to_no_event(
    nursery: trio.Nursery,
) -> None:
    set_lanes(2)
    said: list[tuple[str, str | None]] = []

    class Lasting(Player):
        async def init(self) -> None:
            await super().init()
            self.nursery.start_soon(self._listen)

        async def handle(self, event: object, context: object) -> object:
            raise ValueError(tenant_id())

        async def _listen(self) -> None:
            said.append((request_id(), tenant_id()))

    stage = await bench(nursery, Lasting, stateful=True)
    for _ in range(2):
        failed = await stage.give(b"{}", headers={TENANT.decode(): "blue"})
        assert answer(failed)["errorMessage"] == "blue"

    assert said == [("", None)] * 3


def test_a_plain_thread_has_the_only_invocation_in_flight() -> None:
    copy_context().run(enter_invocation, "a", {})

    assert of_thread() == "a"


def test_a_plain_thread_has_no_invocation_with_many_lanes() -> None:
    set_lanes(2)
    copy_context().run(enter_invocation, "a", {})

    assert of_thread() == ""


# -- the trace


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    # monkeypatch restores the variable.
    monkeypatch.setenv(TRACE_VARIABLE, "from before")


def entered(trace: bytes | None) -> tuple[str | None, str | None]:
    """The trace in the environment and from `xray_trace_id`, within an event."""
    copied = copy_context()
    copied.run(enter_invocation, "id", {} if trace is None else {TRACE: trace})
    return os.environ.get(TRACE_VARIABLE), copied.run(xray_trace_id)


@pytest.mark.parametrize("empty", [None, b""])
@pytest.mark.usefixtures("variable")
def test_with_one_lane_each_event_sets_or_deletes_the_variable(empty: bytes | None) -> None:
    assert entered(empty) == (None, None)
    assert entered(b"Root=1") == ("Root=1", "Root=1")
    assert entered(b"Root=1") == ("Root=1", "Root=1")
    assert entered(b"Root=2") == ("Root=2", "Root=2")
    assert entered(empty) == (None, None)


@pytest.mark.usefixtures("variable")
def test_an_event_without_a_trace_deletes_the_variable() -> None:
    entered(None)
    os.environ[TRACE_VARIABLE] = "of its own"

    assert entered(None) == (None, None)


@pytest.mark.usefixtures("variable")
def test_with_many_lanes_the_variable_is_never_touched() -> None:
    set_lanes(2)

    for trace in (b"Root=1", None, b"Root=2"):
        assert entered(trace) == ("from before", trace and trace.decode())


async def test_tasks_and_their_threads_have_their_own_trace() -> None:
    set_lanes(2)
    said: dict[str, list[str | None]] = {}

    async def handler(trace: str, met: trio.Event, meet: trio.Event) -> None:
        enter_invocation("id", {TRACE: trace.encode()})
        met.set()
        await meet.wait()
        said[trace] = [xray_trace_id(), await trio.to_thread.run_sync(xray_trace_id)]

    a, b = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handler, "Root=1", a, b)
        nursery.start_soon(handler, "Root=2", b, a)

    assert said == {"Root=1": ["Root=1"] * 2, "Root=2": ["Root=2"] * 2}
