"""Places and children: the parts that all kinds of supervisor share."""

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


class MinimalParent(Parent):
    """A minimal parent: starts and stops children when a test asks for it."""

    def __init__(self, *specs: Child[Any]) -> None:
        self.kept_places = [Place(spec) for spec in specs]
        self.ended: list[str] = []

    @property
    def places(self) -> list[Place]:
        return self.kept_places

    async def init(self) -> None:
        for place in self.kept_places:
            await self._children.start(place)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, ChildEnded):
            place = self._children.by_process.get(message.process)
            self.ended.append("no place" if place is None else place.id)
            if place is not None:
                self._children.detach(place)
        elif isinstance(message, Retry) and message.wanted:
            await self._children.start(message.place)

    async def again(self, n: int, delay: float = 0.0) -> None:
        self._children.schedule_retry(self.kept_places[n], delay)

    async def drop(self, n: int) -> None:
        await self.stop(self.kept_places[n])

    async def stop_children(self) -> None:
        for place in self.kept_places:
            self._children.request_stop(place)
        for place in self.kept_places:
            self._record_stop(await self._children.wait_ended(place))


def test_a_new_place_is_undefined_and_refuses_impossible_events(stage: Stage) -> None:
    place = Place(stage.child("a"))
    assert (place.id, place.state, place.ref()) == ("a", ChildState.UNDEFINED, None)

    with pytest.raises(LifeCycleError, match="event 'ended' is not allowed in state 'undefined'"):
        place.move(ChildEvent.ENDED)
    assert repr(place) == "<Place a undefined, 0 starts>"


def test_a_retry_is_unwanted_after_a_stop_or_a_newer_retry(stage: Stage) -> None:
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


def test_a_place_may_have_another_id_than_its_spec(stage: Stage) -> None:
    place = Place(stage.child("a", restart=Restart.TEMPORARY), "a-17")

    assert (place.id, place.temporary, place.view().id) == ("a-17", True, "a-17")


async def test_children_are_found_by_their_processes(stage: Stage, nursery: trio.Nursery) -> None:
    parent = MinimalParent(stage.child("a"), stage.child("b"))
    ref = await start(nursery, lambda: parent, path="/parent")
    [a, b] = parent.kept_places

    assert a.process is not None
    assert parent._children.by_process[a.process] is a
    assert a.ref() == alive("a")
    await leave("b")

    assert parent.ended == ["b"]
    assert (b.state, b.process, len(parent._children.by_process)) == (ChildState.UNDEFINED, None, 1)
    await stop(ref)
    assert (a.state, parent._children.by_process) == (ChildState.UNDEFINED, {})


async def test_start_returns_a_ref_or_none_or_raises_start_error(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Needless(Server):
        async def init(self) -> None:
            raise Ignore

    results: list[object] = []

    class Trying(MinimalParent):
        async def init(self) -> None:
            for place in self.kept_places:
                try:
                    results.append(await self._children.start(place))
                except StartError as failure:
                    results.append(failure)

    stage.refused = {"b1"}
    name = Name("a", Server)
    parent = Trying(
        stage.child("a"), stage.child("b"), Child(Needless), Child(Server, name=name, id="taken")
    )
    ref = await start(nursery, lambda: parent, path="/parent")

    ready, failed, ignored, taken = results
    assert ready == alive("a")
    assert isinstance(failed, StartError)
    assert failed.path == "/parent/b"
    assert ignored is None
    assert isinstance(taken, StartError)
    assert isinstance(taken.reason.error, AlreadyRegistered)
    assert IGNORED.quiet
    states = [place.state.value for place in parent.kept_places]
    assert states == ["running", "undefined", "undefined", "undefined"]
    assert len(parent._children.by_process) == 1
    await wait_all_tasks_blocked()
    assert parent.ended == ["no place", "no place"]
    await stop(ref)


def test_build_factory_returns_the_factory_or_builds_a_supervisor() -> None:
    assert build_factory(Child(Server)) is Server
    assert isinstance(build_factory(Child(SupervisorSpec()))(), Supervisor)


async def test_a_parent_that_ends_by_itself_stops_its_children_first(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Brief(MinimalParent):
        async def run(self) -> None:
            stage.log.append("done")

    ref = await start(nursery, lambda: Brief(stage.child("a")))

    assert await ref.wait() is NORMAL
    assert stage.said() == "start a; done; term a shutdown"


async def test_a_parent_needs_places_and_stop_children() -> None:
    with pytest.raises(NotImplementedError, match="Parent needs a property `places`"):
        _ = Parent().places
    with pytest.raises(NotImplementedError, match="Parent needs a `stop_children`"):
        await Parent().stop_children()
