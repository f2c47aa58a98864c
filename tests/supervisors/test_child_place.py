"""A child's place, and who comes and goes there: what every kind of supervisor shares."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    IGNORED,
    NORMAL,
    AlreadyRegistered,
    Ignore,
    Name,
    Server,
    StartError,
    start,
    stop,
)
from okibi.supervisors import Child, ChildState, Restart, Supervisor, SupervisorSpec
from okibi.supervisors.child_place import ChildEnded, Place, Retry
from okibi.supervisors.child_state import ChildEvent, LifeCycleError
from okibi.supervisors.parent import Parent
from okibi.supervisors.spec import build_factory
from tests.support.child_stage import Stage, alive, leave


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Nest(Parent):
    """The least that can have children: it starts and stops them when a test says so."""

    def __init__(self, *specs: Child[Any]) -> None:
        self.held = [Place(spec) for spec in specs]
        self.ended: list[str] = []

    @property
    def places(self) -> list[Place]:
        return self.held

    async def init(self) -> None:
        for place in self.held:
            await self._children.start(place)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, ChildEnded):
            place = self._children.by_process.get(message.process)
            self.ended.append("nobody" if place is None else place.id)
            if place is not None:
                self._children.detach(place)
        elif isinstance(message, Retry) and message.wanted:
            await self._children.start(message.place)

    async def again(self, n: int, delay: float = 0.0) -> None:
        self._children.schedule_retry(self.held[n], delay)

    async def drop(self, n: int) -> None:
        await self.stop(self.held[n])

    async def stop_children(self) -> None:
        for place in self.held:
            self._children.request_stop(place)
        for place in self.held:
            self._record_stop(await self._children.wait_ended(place))


def test_a_place_is_what_its_events_have_made_of_it(stage: Stage) -> None:
    place = Place(stage.child("a"))
    assert (place.id, place.state, place.ref()) == ("a", ChildState.UNDEFINED, None)

    with pytest.raises(LifeCycleError, match="event 'ended' is not allowed in state 'undefined'"):
        place.move(ChildEvent.ENDED)
    assert repr(place) == "<Place a undefined, 0 starts>"


def test_a_retry_is_outdated_once_its_place_has_moved_on(stage: Stage) -> None:
    place = Place(stage.child("a"))
    place.move(ChildEvent.RETRY)
    first = place.retry = Retry(place)
    wanted = [first.wanted]
    place.move(ChildEvent.STOP)
    wanted.append(first.wanted)
    place.move(ChildEvent.RETRY)
    place.retry = Retry(place)
    wanted.append(first.wanted)

    assert wanted == [True, False, False]


def test_a_place_may_be_called_otherwise_than_its_spec(stage: Stage) -> None:
    place = Place(stage.child("a", restart=Restart.TEMPORARY), "a-17")

    assert (place.id, place.temporary, place.view().id) == ("a-17", True, "a-17")


async def test_who_lives_there_is_found_by_its_process(stage: Stage, nursery: trio.Nursery) -> None:
    nest = Nest(stage.child("a"), stage.child("b"))
    ref = await start(nursery, lambda: nest, path="/nest")
    [a, b] = nest.held

    assert a.process is not None
    assert nest._children.by_process[a.process] is a
    assert a.ref() == alive("a")
    await leave("b")

    assert nest.ended == ["b"]
    assert (b.state, b.process, len(nest._children.by_process)) == (ChildState.UNDEFINED, None, 1)
    await stop(ref)
    assert (a.state, nest._children.by_process) == (ChildState.UNDEFINED, {})


async def test_a_start_gives_the_ref_or_none_or_an_error_and_leaves_nobody(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Needless(Server):
        async def init(self) -> None:
            raise Ignore

    results: list[object] = []

    class Trying(Nest):
        async def init(self) -> None:
            for place in self.held:
                try:
                    results.append(await self._children.start(place))
                except StartError as failure:
                    results.append(failure)

    stage.refused = {"b1"}
    name = Name("a", Server)
    nest = Trying(
        stage.child("a"), stage.child("b"), Child(Needless), Child(Server, name=name, id="taken")
    )
    ref = await start(nursery, lambda: nest, path="/nest")

    ready, failed, ignored, taken = results
    assert ready == alive("a")
    assert isinstance(failed, StartError)
    assert failed.path == "/nest/b"
    assert ignored is None
    assert isinstance(taken, StartError)
    assert isinstance(taken.reason.error, AlreadyRegistered)
    assert IGNORED.quiet
    states = [place.state.value for place in nest.held]
    assert states == ["running", "undefined", "undefined", "undefined"]
    assert len(nest._children.by_process) == 1
    await wait_all_tasks_blocked()
    assert nest.ended == ["nobody", "nobody"]
    await stop(ref)


def test_a_child_is_made_by_its_factory_or_by_who_performs_its_flags() -> None:
    assert build_factory(Child(Server)) is Server
    assert isinstance(build_factory(Child(SupervisorSpec()))(), Supervisor)


async def test_a_parent_that_ends_by_itself_ends_after_its_children(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Brief(Nest):
        async def run(self) -> None:
            stage.log.append("done")

    ref = await start(nursery, lambda: Brief(stage.child("a")))

    assert await ref.wait() is NORMAL
    assert stage.said() == "start a; done; term a shutdown"


async def test_a_parent_must_say_who_its_children_are_and_how_they_stop() -> None:
    with pytest.raises(NotImplementedError, match="Parent needs a property `places`"):
        _ = Parent().places
    with pytest.raises(NotImplementedError, match="Parent needs a `stop_children`"):
        await Parent().stop_children()
