"""Which invocation code runs for."""

import os
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest
import trio

from okibi.runtime.protocol.runtime_api import TENANT, TRACE
from okibi.runtime.telemetry import invocation_context
from okibi.runtime.telemetry.invocation_context import (
    enter,
    expect,
    invocation,
    request_id,
    tenant_id,
    xray_trace_id,
)
from okibi.runtime.telemetry.xray_variable import VARIABLE as TRACE_VARIABLE
from tests.support.worker_bench import Player, answer, bench, fresh


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """What one test has entered is nothing to the next."""
    expect(1)
    yield
    expect(1)


def of_thread() -> str:
    """The request id that a plain thread is marked with."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(request_id()))
    thread.start()
    thread.join()
    return said[0]


def test_outside_of_any_there_is_none() -> None:
    assert copy_context().run(invocation) == invocation_context.NOBODY
    assert tenant_id() is None


def test_a_tenant_is_one_that_has_a_name() -> None:
    def named(value: bytes) -> str | None:
        enter("id", {b"lambda-runtime-aws-tenant-id": value})
        return tenant_id()

    assert copy_context().run(named, b"blue") == "blue"
    assert copy_context().run(named, b"") is None


async def test_tasks_and_their_threads_are_marked_each_with_its_own() -> None:
    expect(2)
    said: dict[str, list[str]] = {}

    async def handler(name: str, met: trio.Event, meet: trio.Event) -> None:
        enter(name, {})
        met.set()
        await meet.wait()
        # Both are in flight now.
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


async def test_a_task_left_behind_keeps_the_one_it_was_started_for() -> None:
    said: list[str] = []
    go_on = trio.Event()

    async def left() -> None:
        await go_on.wait()
        said.append(request_id())

    async with trio.open_nursery() as nursery:
        enter("a", {})
        nursery.start_soon(left)
        enter("b", {})
        go_on.set()

    assert said == ["a"]


@pytest.mark.usefixtures(fresh.__name__)
async def test_what_an_instance_begins_in_init_is_of_no_event_though_it_replaces_one_that_failed(
    nursery: trio.Nursery,
) -> None:
    expect(2)
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


def test_a_plain_thread_is_marked_with_the_only_one_in_flight() -> None:
    copy_context().run(enter, "a", {})

    assert of_thread() == "a"


def test_a_plain_thread_is_not_guessed_for_when_many_may_be_in_flight() -> None:
    expect(2)
    copy_context().run(enter, "a", {})

    assert of_thread() == ""


# -- the trace


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is set from here on is put back.
    monkeypatch.setenv(TRACE_VARIABLE, "from before")


def entered(trace: bytes | None) -> tuple[str | None, str | None]:
    """What an event's code finds in the environment, and what it is told."""
    copied = copy_context()
    copied.run(enter, "id", {} if trace is None else {TRACE: trace})
    return os.environ.get(TRACE_VARIABLE), copied.run(xray_trace_id)


@pytest.mark.parametrize("empty", [None, b""])
@pytest.mark.usefixtures("variable")
def test_with_one_event_at_a_time_each_sets_the_variable_or_deletes_it(empty: bytes | None) -> None:
    assert entered(empty) == (None, None)
    assert entered(b"Root=1") == ("Root=1", "Root=1")
    assert entered(b"Root=1") == ("Root=1", "Root=1")
    assert entered(b"Root=2") == ("Root=2", "Root=2")
    assert entered(empty) == (None, None)


@pytest.mark.usefixtures("variable")
def test_without_a_trace_what_the_last_event_s_code_has_set_is_gone() -> None:
    entered(None)
    os.environ[TRACE_VARIABLE] = "of its own"

    assert entered(None) == (None, None)


@pytest.mark.usefixtures("variable")
def test_with_many_the_variable_is_nobody_s_and_never_touched() -> None:
    expect(2)

    for trace in (b"Root=1", None, b"Root=2"):
        assert entered(trace) == ("from before", trace and trace.decode())


async def test_each_task_and_its_threads_are_told_their_own_trace() -> None:
    expect(2)
    said: dict[str, list[str | None]] = {}

    async def handler(trace: str, met: trio.Event, meet: trio.Event) -> None:
        enter("id", {TRACE: trace.encode()})
        met.set()
        await meet.wait()
        said[trace] = [xray_trace_id(), await trio.to_thread.run_sync(xray_trace_id)]

    a, b = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handler, "Root=1", a, b)
        nursery.start_soon(handler, "Root=2", b, a)

    assert said == {"Root=1": ["Root=1"] * 2, "Root=2": ["Root=2"] * 2}
