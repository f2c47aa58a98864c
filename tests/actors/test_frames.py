"""The line of code at which a task is."""

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, Ref, Server, start
from okibi.actors.frames import line_of, runs
from okibi.actors.short_traceback import format_task

HERE = os.path.dirname(__file__) + os.sep


def source_line(place: str) -> str:
    """The source line at `file:line`."""
    file, line = place.rsplit(":", 1)
    with open(file, encoding="utf-8") as source:
        return source.read().splitlines()[int(line) - 1].strip()


@attrs.define(eq=False)
class Body(Actor):
    """Runs a given function, with frames of this file."""

    body: Callable[["Body"], Awaitable[object]]

    async def run(self) -> None:
        await self.body(self)


class Echo(Server):
    async def wait(self) -> None:
        await trio.sleep_forever()


async def line_of_actor(body: Callable[[Body], Awaitable[object]], *also: str) -> str:
    """The line of an actor that runs `body`, once all tasks wait."""
    async with trio.open_nursery() as nursery:
        ref = await start(nursery, lambda: Body(body))
        await wait_all_tasks_blocked()
        place = line_of(ref.process().waits.task, *also)
        ref.kill()
    return place


async def sleeping(_: Body) -> None:
    await trio.sleep(10)


async def test_a_sleeping_task_is_at_the_users_line() -> None:
    assert source_line(await line_of_actor(sleeping)) == "await trio.sleep(10)"


async def test_a_task_that_waits_for_a_message_has_no_line() -> None:
    assert await line_of_actor(Body.receive) == ""


async def test_a_calling_task_is_at_the_users_line() -> None:
    async with trio.open_nursery() as nursery:
        echo = await start(nursery, Echo)

        async def calling(_: Body) -> None:
            await echo.call(Echo.wait)

        assert source_line(await line_of_actor(calling)) == "await echo.call(Echo.wait)"
        echo.kill()


async def test_a_task_that_waits_for_its_nursery_is_at_the_line_of_a_child() -> None:
    async def joining(body: Body) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeping, body)

    assert source_line(await line_of_actor(joining)) == "await trio.sleep(10)"


async def test_without_a_users_line_the_line_is_okibis() -> None:
    assert os.sep + "actors" + os.sep in await line_of_actor(sleeping, HERE)


async def test_the_running_task_is_at_the_line_that_asks(nursery: trio.Nursery) -> None:
    places: list[str] = []

    async def looking(body: Body) -> None:
        places.append(line_of(body.ref.process().waits.task))

    await line_of_actor(looking)

    assert source_line(places[0]) == "places.append(line_of(body.ref.process().waits.task))"


async def test_another_thread_finds_the_line_that_blocks_the_loop() -> None:
    places: list[str] = []

    async def stuck(body: Body) -> None:
        with ThreadPoolExecutor() as pool:
            places.append(pool.submit(line_of, body.ref.process().waits.task).result())

    await line_of_actor(stuck)

    # Not the line of the standard library that waits for the result.
    assert ".submit(line_of" in source_line(places[0])


async def test_a_task_that_has_just_stopped_running_has_no_line() -> None:
    class Elsewhere:
        """A task that is no longer running: its frame is on no thread's stack."""

        class coro:  # noqa: N801, it is an attribute
            cr_running = True
            cr_frame = None

        child_nurseries: ClassVar[list[trio.Nursery]] = []

    task: Any = Elsewhere()
    assert line_of(task) == ""


async def test_the_stack_of_a_task_has_the_users_lines_only() -> None:
    async with trio.open_nursery() as nursery:
        ref = await start(nursery, lambda: Body(sleeping))
        bare = await start(nursery, Echo)
        await wait_all_tasks_blocked()
        stack, bare_stack = ("".join(format_task(r.process().waits.task)[0]) for r in (ref, bare))
        ref.kill()
        bare.kill()

    assert stack.count("  File ") == 2
    assert stack.endswith(", in sleeping\n    await trio.sleep(10)\n")
    assert ", in receive\n" in bare_stack


@pytest.mark.parametrize("kind", ["inside", "beside", "not"])
async def test_runs_finds_a_function_on_the_stack_of_a_task(kind: str) -> None:
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
        found = runs(ref.process().waits.task, inner)
        ref.kill()

    assert found is (kind != "not")
    assert not runs(None, inner)


async def test_without_trios_private_name_the_line_is_that_of_the_nursery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def joins(body: Body) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeping, body)

    assert source_line(await line_of_actor(joins)) == "await trio.sleep(10)"
    join: Any = trio.Nursery._nested_child_finished
    monkeypatch.setattr(join, "__code__", join.__code__.replace(co_name="renamed"))

    assert source_line(await line_of_actor(joins)) == "async with trio.open_nursery() as nursery:"
