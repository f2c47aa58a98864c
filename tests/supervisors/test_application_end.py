"""Nothing is left of an application: no actor, no task, no name, whatever happened to it when."""

from typing import ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import ActorExited, Name, Server, start, stop
from okibi.actors.names import names
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
from tests.support.application_stage import Troupe
from tests.support.child_stage import Boom, alive, leave

CONTROLLER = Name("controller", ApplicationController)
param, slow = pytest.param, pytest.mark.slow


@pytest.fixture
def troupe() -> Troupe:
    return Troupe()


# -- what is in no tree


class Stray(Server):
    """Starts what no supervisor knows: a task, and an actor, in its application's nursery."""

    log: ClassVar[list[str]] = []

    async def init(self) -> None:
        nursery = application_nursery()
        nursery.start_soon(self.wander)
        await start(nursery, Lodger, name=Name("lodger", Lodger))

    async def wander(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("stray")

    async def fall(self) -> None:
        async def fail() -> None:
            raise Boom("stray")

        application_nursery().start_soon(fail)


class Lodger(Server):
    async def terminate(self, reason: object) -> None:
        Stray.log.append("lodger")


STRAY = Name("stray", Stray)


async def test_tasks_in_no_tree_end_after_the_stop_hook(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    async def hook() -> None:
        application_nursery().start_soon(trio.sleep_forever)
        troupe.log.extend(["stop", *Stray.log])

    Stray.log.clear()
    tree = SupervisorSpec([Child(Stray, name=STRAY)])
    top = await start_applications(nursery, [Application("a", tree, stop=hook)])

    await stop(top)

    assert troupe.said() == "stop"
    assert sorted(Stray.log) == ["lodger", "stray"]
    assert names() == {}
    assert not nursery.child_tasks


async def test_a_task_in_no_tree_that_crashes_is_the_end_of_its_application(
    troupe: Troupe,
) -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            tree = SupervisorSpec([troupe.child("a"), Child(Stray, name=STRAY)])
            await start_applications(nursery, [troupe.app("a", tree=tree)])
            await STRAY.call(Stray.fall)

    with pytest.raises(BaseExceptionGroup) as caught:
        await scenario()

    assert caught.group_contains(ApplicationEnded, match=r"crashed \(Boom: stray\)")
    assert troupe.said() == "start a; prep_stop A; term a shutdown; stop A"
    assert names() == {}


# -- one that was started anew


def test_the_nursery_of_an_application_is_for_those_in_it() -> None:
    with pytest.raises(RuntimeError, match="for the actors and the hooks of an application"):
        application_nursery()


async def test_an_actor_outside_any_application_has_no_such_nursery(
    nursery: trio.Nursery,
) -> None:
    stray = await start(nursery, Lodger)

    class Asks(Server):
        async def init(self) -> None:
            with pytest.raises(RuntimeError, match="for the actors"):
                application_nursery()

    asks = await start(nursery, Asks)
    await stop(asks)
    await stop(stray)


# -- in another tree


async def test_as_the_first_child_of_a_tree_they_start_before_it_and_stop_after_it(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    library = Child(Applications([troupe.app("b", troupe.app("a"))]))
    top = await supervise(nursery, SupervisorSpec([library, troupe.child("x")]))
    a = alive("a")

    assert a is not None
    assert a.path == "/supervisor/applications/A/supervisor/a"
    assert troupe.said() == "start a; start b; start x"
    await stop(top)
    assert troupe.said() == (
        "term x shutdown; prep_stop B; term b shutdown; stop B; prep_stop A; term a shutdown; "
        "stop A"
    )


async def end_of_a_library(troupe: Troupe, intensity: int) -> None:
    library = Child(Applications([troupe.app("a")]))
    tree = SupervisorSpec([library, troupe.child("x")], Strategy.REST_FOR_ONE, intensity=intensity)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, tree)
        troupe.said()
        await leave("a")
        await stop(top)


async def test_without_intensity_the_end_of_a_library_is_the_end_of_its_tree(
    troupe: Troupe,
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await end_of_a_library(troupe, 0)

    assert caught.group_contains(SupervisorGaveUp, match="application 'A' ended")
    assert troupe.said() == "term a crashed; prep_stop A; stop A; term x shutdown"


# -- the sweeps


def nested(log: list[str]) -> bool:
    """Whether all that started has ended, in reverse, and the hooks stand around the trees."""
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


@pytest.mark.parametrize("fails", ["", param("c1", marks=slow), param("d1", marks=slow)])
def test_cancelled_at_any_step_all_that_started_ends_in_reverse(fails: str) -> None:
    troupes: list[Troupe] = []

    async def scenario() -> None:
        troupe = Troupe()
        troupes.append(troupe)
        base = troupe.app("a")
        async with trio.open_nursery() as nursery:
            top = await start_applications(nursery, [troupe.app("b", base)])
            troupe.refused = {fails}
            try:
                more = troupe.app("ef", base, troupe.app("cd"))
                await top.call(ApplicationController.ensure_all_started, more)
                await top.call(ApplicationController.stop_application, "E")
            except ApplicationFailed:
                pass
            top.stop()

    async def check() -> None:
        log = [line for line in troupes[-1].log if not line.startswith("fail")]
        assert names() == {}
        assert nested(log), log

    assert every_step(scenario, check) > 50


@pytest.mark.parametrize("how", ["kill", param("stop", marks=slow)])
@pytest.mark.parametrize(
    "victim", ["player", param("top", marks=slow), "master", param("controller", marks=slow)]
)
def test_a_blow_at_any_step_leaves_nothing_behind(victim: str, how: str) -> None:
    """Start and stop of two applications; one actor is struck at each step."""
    troupes: list[Troupe] = []

    async def scenario() -> None:
        troupe = Troupe()
        troupes.append(troupe)
        try:
            async with trio.open_nursery() as nursery:
                needed = troupe.app("a")
                await start_applications(nursery, [troupe.app("bc", needed)], name=CONTROLLER)
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                    top = CONTROLLER.whereis()
                    if top is not None:
                        await stop(top)
        except* (ApplicationEnded, ApplicationFailed, ActorExited, Exception) as group:
            troupe.starts["failures"] = len(group.exceptions)

    def strike() -> None:
        process = names().get("controller" if victim == "controller" else "b")
        for _ in range({"top": 1, "master": 2}.get(victim, 0)):
            process = None if process is None else process.parent
        if process is not None:
            process.kill() if how == "kill" else process.stop()

    async def check() -> None:
        log = troupes[-1].log
        assert names() == {}
        begun, ended, before, after = (
            sum(line.startswith(what) for line in log)
            for what in ("start", "term", "prep_stop", "stop")
        )
        assert (ended, after) == (begun, before) if how == "stop" else ended <= begun, log

    assert every_step(scenario, check, strike) > 40
