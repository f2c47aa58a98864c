"""The end of an application leaves no actor, task or name, after a blow at any step."""

from typing import ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import ActorExited, Name, Server, start, stop
from okibi.actors.names import name_table
from okibi.supervisors import (
    Application,
    ApplicationController,
    ApplicationEnded,
    ApplicationFailed,
    Applications,
    Child,
    Strategy,
    SupervisorGaveUp,
    SupervisorSpec,
    application_nursery,
    start_applications,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.application_stage import ApplicationStage
from tests.support.child_stage import Boom, alive, leave

CONTROLLER = Name("controller", ApplicationController)
param, slow = pytest.param, pytest.mark.slow


@pytest.fixture
def stage() -> ApplicationStage:
    return ApplicationStage()


# -- tasks and actors outside the tree


class StartsOutside(Server):
    """Starts a task and an actor in the application's nursery, outside the tree."""

    log: ClassVar[list[str]] = []

    async def init(self) -> None:
        nursery = application_nursery()
        nursery.start_soon(self.run_task)
        await start(nursery, Unsupervised, name=Name("unsupervised", Unsupervised))

    async def run_task(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("task")

    async def crash_task(self) -> None:
        async def fail() -> None:
            raise Boom("task")

        application_nursery().start_soon(fail)


class Unsupervised(Server):
    async def terminate(self, reason: object) -> None:
        StartsOutside.log.append("actor")


STARTS_OUTSIDE = Name("starts_outside", StartsOutside)


async def test_tasks_outside_the_tree_end_after_the_stop_hook(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    async def hook() -> None:
        application_nursery().start_soon(trio.sleep_forever)
        stage.log.extend(["stop", *StartsOutside.log])

    StartsOutside.log.clear()
    tree = SupervisorSpec([Child(StartsOutside, name=STARTS_OUTSIDE)])
    top = await start_applications(nursery, [Application("a", tree, stop=hook)])

    await stop(top)

    assert stage.said() == "stop"
    assert sorted(StartsOutside.log) == ["actor", "task"]
    assert name_table() == {}
    assert not nursery.child_tasks


async def test_a_crash_outside_the_tree_ends_the_application(
    stage: ApplicationStage,
) -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            tree = SupervisorSpec([stage.child("a"), Child(StartsOutside, name=STARTS_OUTSIDE)])
            await start_applications(nursery, [stage.app("a", tree=tree)])
            await STARTS_OUTSIDE.call(StartsOutside.crash_task)

    with pytest.raises(BaseExceptionGroup) as caught:
        await scenario()

    assert caught.group_contains(ApplicationEnded, match=r"crashed \(Boom: task\)")
    assert stage.said() == "start a; prep_stop A; term a shutdown; stop A"
    assert name_table() == {}


# -- application_nursery elsewhere


def test_application_nursery_outside_any_actor_is_refused() -> None:
    with pytest.raises(RuntimeError) as refused:
        application_nursery()

    assert str(refused.value) == (
        "application_nursery() must be called by an actor or a hook of an application"
    )


async def test_application_nursery_outside_an_application_is_refused(
    nursery: trio.Nursery,
) -> None:
    other = await start(nursery, Unsupervised)

    class Asks(Server):
        async def init(self) -> None:
            with pytest.raises(RuntimeError, match="must be called by an actor or a hook"):
                application_nursery()

    asks = await start(nursery, Asks)
    await stop(asks)
    await stop(other)


# -- as a child of another tree


async def test_applications_as_first_child_enclose_their_siblings(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    applications = Child(Applications([stage.app("b", stage.app("a"))]))
    top = await supervise(nursery, SupervisorSpec([applications, stage.child("x")]))
    a = alive("a")

    assert a is not None
    assert a.path == "/supervisor/applications/A/supervisor/a"
    assert stage.said() == "start a; start b; start x"
    await stop(top)
    assert stage.said() == (
        "term x shutdown; prep_stop B; term b shutdown; stop B; prep_stop A; term a shutdown; "
        "stop A"
    )


async def crash_the_first_child(stage: ApplicationStage, intensity: int) -> None:
    applications = Child(Applications([stage.app("a")]))
    tree = SupervisorSpec(
        [applications, stage.child("x")], Strategy.REST_FOR_ONE, intensity=intensity
    )
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, tree)
        stage.said()
        await leave("a")
        await stop(top)


async def test_with_intensity_0_the_end_of_an_application_ends_the_tree(
    stage: ApplicationStage,
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await crash_the_first_child(stage, 0)

    assert caught.group_contains(SupervisorGaveUp, match="application 'A' ended")
    assert stage.said() == "term a crashed; prep_stop A; stop A; term x shutdown"


# -- cancellation, kills and stops at every step


def nested(log: list[str]) -> bool:
    """Whether every start has its end, in reverse order, and the hooks enclose the trees."""
    open_: list[str] = []
    for line in log:
        what, who, *_ = line.split()
        if what == "start" or what == "prep_stop":
            open_.append(who)
        elif what == "term" and open_[-1].isupper():
            open_.remove(who)
        elif open_.pop() != who:
            return False
    return not open_


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["", param("c1", marks=slow), param("d1", marks=slow)])
def test_cancellation_at_any_step_ends_all_in_reverse(fails: str) -> None:
    stages: list[ApplicationStage] = []

    async def scenario() -> None:
        stage = ApplicationStage()
        stages.append(stage)
        base = stage.app("a")
        async with trio.open_nursery() as nursery:
            top = await start_applications(nursery, [stage.app("b", base)])
            stage.refused = {fails}
            try:
                more = stage.app("ef", base, stage.app("cd"))
                await top.call(ApplicationController.ensure_all_started, more)
                await top.call(ApplicationController.stop_application, "E")
            except ApplicationFailed:
                pass
            top.stop()

    async def check() -> None:
        log = [line for line in stages[-1].log if not line.startswith("fail")]
        assert name_table() == {}
        assert nested(log), log

    assert every_step(scenario, check) > 50


@pytest.mark.parametrize("how", ["kill", param("stop", marks=slow)])
@pytest.mark.parametrize(
    "victim", ["player", *(param(each, marks=slow) for each in ("top", "master", "controller"))]
)
def test_a_kill_or_stop_at_any_step_leaves_nothing(victim: str, how: str) -> None:
    """Kill or stop one actor at each step of the start and stop of two applications."""
    stages: list[ApplicationStage] = []

    async def scenario() -> None:
        stage = ApplicationStage()
        stages.append(stage)
        try:
            async with trio.open_nursery() as nursery:
                needed = stage.app("a")
                await start_applications(nursery, [stage.app("bc", needed)], name=CONTROLLER)
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                    top = CONTROLLER.whereis()
                    if top is not None:
                        await stop(top)
        except* (ApplicationEnded, ApplicationFailed, ActorExited, Exception) as group:
            stage.starts["failures"] = len(group.exceptions)

    def strike() -> None:
        process = name_table().get("controller" if victim == "controller" else "b")
        for _ in range({"top": 1, "master": 2}.get(victim, 0)):
            process = None if process is None else process.parent
        if process is not None:
            process.kill() if how == "kill" else process.stop()

    async def check() -> None:
        log = stages[-1].log
        assert name_table() == {}
        begun, ended, before, after = (
            sum(line.startswith(what) for line in log)
            for what in ("start", "term", "prep_stop", "stop")
        )
        assert (ended, after) == (begun, before) if how == "stop" else ended <= begun, log

    assert every_step(scenario, check, strike) > 40
