"""In which line of code a task is."""

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, Ref, Server, start
from okibi.actors.frames import line_of, runs, stack_of

HERE = os.path.dirname(__file__) + os.sep


def text_of(place: str) -> str:
    """The source line that `file:line` means."""
    file, line = place.rsplit(":", 1)
    with open(file, encoding="utf-8") as source:
        return source.read().splitlines()[int(line) - 1].strip()


@attrs.define(eq=False)
class Body(Actor):
    """Does what it is told, with the way there in frames of this file."""

    body: Callable[["Body"], Awaitable[object]]

    async def run(self) -> None:
        await self.body(self)


class Echo(Server):
    async def wait(self) -> None:
        await trio.sleep_forever()


async def sits(body: Callable[[Body], Awaitable[object]], *also: str) -> str:
    """Where an actor with that body is, once all wait."""
    async with trio.open_nursery() as nursery:
        ref = await start(nursery, lambda: Body(body))
        await wait_all_tasks_blocked()
        place = line_of(ref.process().task, *also)
        ref.kill()
    return place


async def sleeping(_: Body) -> None:
    await trio.sleep(10)


async def test_a_wait_is_in_the_users_own_line() -> None:
    assert text_of(await sits(sleeping)) == "await trio.sleep(10)"


async def test_a_wait_for_the_next_message_is_nowhere() -> None:
    assert await sits(Body.receive) == ""


async def test_a_call_is_in_the_users_own_line() -> None:
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, Echo)

        async def calling(_: Body) -> None:
            await echo.call(Echo.wait)

        assert text_of(await sits(calling)) == "await echo.call(Echo.wait)"
        echo.kill()


async def test_who_waits_for_tasks_of_its_own_is_where_the_first_of_them_is() -> None:
    async def joining(body: Body) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeping, body)

    assert text_of(await sits(joining)) == "await trio.sleep(10)"


async def test_without_a_line_of_the_users_it_is_okibis() -> None:
    assert os.sep + "actors" + os.sep in await sits(sleeping, HERE)


async def test_the_task_that_asks_is_in_the_line_that_asks(nursery: trio.Nursery) -> None:
    places: list[str] = []

    async def looking(body: Body) -> None:
        places.append(line_of(body.ref.process().task))

    await sits(looking)

    assert text_of(places[0]) == "places.append(line_of(body.ref.process().task))"


async def test_another_thread_sees_where_a_loop_is_stuck() -> None:
    places: list[str] = []

    async def stuck(body: Body) -> None:
        with ThreadPoolExecutor() as pool:
            places.append(pool.submit(line_of, body.ref.process().task).result())

    await sits(stuck)

    # Not the standard library's line in which its result is waited for.
    assert ".submit(line_of" in text_of(places[0])


async def test_a_task_that_does_not_run_any_more_when_it_is_looked_at_is_nowhere() -> None:
    class Elsewhere:
        """A task whose frame is on no thread's stack, as one that has just stopped running."""

        class coro:  # noqa: N801, it is an attribute
            cr_running = True
            cr_frame = None

        child_nurseries: ClassVar[list[trio.Nursery]] = []

    task: Any = Elsewhere()
    assert line_of(task) == ""


async def test_a_stack_is_the_users_own_lines() -> None:
    async with trio.open_nursery() as nursery:
        ref = await start(nursery, lambda: Body(sleeping))
        bare = await start(nursery, Echo)
        await wait_all_tasks_blocked()
        stack, bare_stack = stack_of(ref.process().task), stack_of(bare.process().task)
        ref.kill()
        bare.kill()

    assert stack.count("  File ") == 2
    assert stack.endswith(", in sleeping\n    await trio.sleep(10)\n")
    assert ", in receive\n" in bare_stack


@pytest.mark.parametrize("kind", ["inside", "beside", "not"])
async def test_a_task_is_asked_whether_it_runs_a_function(kind: str) -> None:
    async def inner(body: Body) -> None:
        await trio.sleep_forever()

    async def inside(body: Body) -> None:
        await inner(body)

    async def beside(body: Body) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner, body)
            await trio.sleep_forever()

    bodies = {"inside": inside, "beside": beside, "not": sleeping}
    async with trio.open_nursery() as nursery:
        ref: Ref[Body] = await start(nursery, lambda: Body(bodies[kind]))
        await wait_all_tasks_blocked()
        found = runs(ref.process().task, inner)
        ref.kill()

    assert found is (kind != "not")
    assert not runs(None, inner)


async def test_with_a_trio_that_joins_by_another_name_a_wait_is_in_the_nurserys_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def joins(body: Body) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeping, body)

    assert text_of(await sits(joins)) == "await trio.sleep(10)"
    join: Any = trio.Nursery._nested_child_finished
    monkeypatch.setattr(join, "__code__", join.__code__.replace(co_name="renamed"))

    assert text_of(await sits(joins)) == "async with trio.open_nursery() as nursery:"
