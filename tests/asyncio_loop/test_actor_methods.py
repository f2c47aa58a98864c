"""Methods of actors on asyncio: a stop, a kill, the end of the grace, the end of the loop."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import KILLED, SHUTDOWN, ActorExited, ExitReason, Name, NoProcess, Ref, Server
from okibi.actors.frames import line_of
from okibi.actors.start import start
from okibi.asyncio_loop.loop import loop_of_run
from okibi.supervisors import Child, Supervisor, SupervisorSpec
from tests.conformance.cancellation import every_step

said = list[str]()


@attrs.define(eq=False)
class Query(Server, loop="asyncio"):
    """Its method cleans up for some seconds when it is cancelled."""

    clean_up: float = 0.0

    async def run_for(self, seconds: float) -> str:
        said.append("begun")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            said.append("cancelled")
            await asyncio.sleep(self.clean_up)
            said.append("clean")
            raise
        return "rows"

    async def terminate(self, reason: ExitReason) -> None:
        await asyncio.sleep(0)
        said.append(f"terminate {reason}")


QUERY = Name("query", Query)


@asynccontextmanager
async def running_query(clean_up: float, grace: float) -> AsyncIterator[Ref[Query]]:
    """Run an actor in the middle of its method; its caller gets ActorExited."""

    async def call() -> None:
        with pytest.raises(ActorExited):
            await query.call(Query.run_for, 60)

    said.clear()
    async with trio.open_nursery() as nursery:
        query = await start(nursery, lambda: Query(clean_up), grace=grace)
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        yield query


async def test_a_stopped_actor_cancels_its_method_and_waits_for_the_clean_up(
    autojump_clock: MockClock,
) -> None:
    async with running_query(clean_up=2, grace=5) as query:
        query.stop()
        assert await query.wait() == SHUTDOWN
        assert trio.current_time() == 2
    assert said == ["begun", "cancelled", "clean", "terminate shutdown"]


async def test_the_grace_ends_the_wait_for_a_method(autojump_clock: MockClock) -> None:
    async with running_query(clean_up=60, grace=5) as query:
        query.stop()
        assert await query.wait() == KILLED
        assert trio.current_time() == 5
    assert said == ["begun", "cancelled"]


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_kill_ends_the_wait_for_a_method(autojump_clock: MockClock, stopped: bool) -> None:
    async with running_query(clean_up=60, grace=50) as query:
        if stopped:
            query.stop()
            await trio.sleep(1)
        query.kill()
        assert await query.wait() == KILLED
        assert trio.current_time() == int(stopped)
    assert said == ["begun", "cancelled"]


async def test_a_second_stop_may_shorten_the_grace(autojump_clock: MockClock) -> None:
    async with running_query(clean_up=60, grace=50) as query:
        query.stop()
        await trio.sleep(1)
        query.stop(grace=2)
        assert await query.wait() == KILLED
        assert trio.current_time() == 3


async def test_a_method_left_behind_ends_and_its_error_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Server, loop="asyncio"):
        async def fail(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(1)
                raise LookupError("lost")

    async def call() -> None:
        with pytest.raises(ActorExited):
            await stubborn.call(Stubborn.fail)

    async with trio.open_nursery() as nursery:
        stubborn = await start(nursery, Stubborn)
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        stubborn.kill()
        await trio.sleep(2)
    assert "abandoned code on asyncio raised" in caplog.text
    assert "LookupError: lost" in caplog.text


async def test_a_waiting_method_shows_its_line() -> None:
    async with running_query(clean_up=0, grace=5) as query:
        task = query.process().waits.task
        assert line_of(task).rpartition(":")[0] == __file__
        query.stop()


async def test_an_actor_is_restarted_when_the_loop_crashes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trio.open_nursery() as nursery:
        spec = SupervisorSpec([Child(Query, name=QUERY)])
        tree = await start(nursery, lambda: Supervisor(spec))

        async def call() -> None:
            with pytest.raises(ActorExited, match="LoopEnded"):
                await QUERY.call(Query.run_for, 60)

        async with trio.open_nursery() as calls:
            calls.start_soon(call)
            await wait_all_tasks_blocked()
            with caplog.at_level(logging.CRITICAL):
                loop_of_run()._end(OSError("broken"))
        assert await QUERY.waiting(5).call(Query.run_for, 0) == "rows"
        tree.stop()


async def test_a_killed_actor_answers_or_fails_at_every_step() -> None:
    answers = list[str]()

    async def scenario() -> None:
        said.clear()
        answers.clear()
        async with trio.open_nursery() as nursery:
            query = await start(nursery, Query, name=QUERY)
            try:
                answers.append(await query.call(Query.run_for, 1))
            except ActorExited:
                answers.append("exited")
            query.stop()

    def kill() -> None:
        try:
            QUERY.process().kill()
        except NoProcess:
            answers.append("before or after")

    async def check() -> None:
        assert answers[-1:] in (["rows"], ["exited"], ["before or after"])
        assert said in ([], ["begun"], ["begun", "cancelled", "clean"], ["begun", *said[1:]])

    assert await trio.to_thread.run_sync(lambda: every_step(scenario, check, kill)) > 5


def test_a_call_cancelled_at_every_step_leaves_nothing() -> None:
    async def scenario() -> None:
        said.clear()
        async with trio.open_nursery() as nursery:
            query = await start(nursery, Query)
            await query.call(Query.run_for, 1)
            query.stop()

    async def check() -> None:
        assert said == [] or said[-1].startswith("terminate")

    assert every_step(scenario, check) > 5
