"""Names: which actor has one, and when it is free."""

from typing import Any, Generic, TypeVar

import attrs
import pytest
import trio

from okibi.actors import (
    AlreadyRegistered,
    Down,
    Name,
    NoProcess,
    Ref,
    Server,
    StartError,
    start,
    stop,
)
from okibi.actors.names import name_table

T = TypeVar("T")


class Visits(Server):
    async def visit(self) -> int:
        return 1

    async def crash(self) -> None:
        raise ValueError("boom")


class Other(Server): ...


VISITS = Name("visits", Visits)


async def test_a_name_reaches_the_actor_that_has_it_now(nursery: trio.Nursery) -> None:
    for _ in range(2):
        visits = await start(nursery, Visits, name=VISITS)
        assert await VISITS.call(Visits.visit) == 1
        assert VISITS.whereis() == visits
        await stop(visits)


async def test_a_name_is_free_before_a_start_and_after_an_end(nursery: trio.Nursery) -> None:
    assert VISITS.whereis() is None

    await stop(await start(nursery, Visits, name=VISITS))

    assert VISITS.whereis() is None
    assert name_table() == {}
    with pytest.raises(NoProcess):
        await VISITS.call(Visits.visit)


async def test_a_taken_name_is_refused_with_its_holder(nursery: trio.Nursery) -> None:
    visits = await start(nursery, Visits, name=VISITS)

    with pytest.raises(AlreadyRegistered, match="the name 'visits' is taken by <Ref visits") as no:
        await start(nursery, Visits, name=VISITS)

    assert no.value.ref == visits
    assert VISITS.whereis() == visits
    await stop(visits)


async def test_a_name_is_free_when_the_down_arrives(nursery: trio.Nursery) -> None:
    @attrs.define(eq=False)
    class Watcher(Server):
        async def init(self) -> None:
            self.monitor(VISITS)

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Down)
            seen.append(VISITS.whereis())
            await start(nursery, Visits, name=VISITS)
            done.set()

    seen: list[Ref[Visits] | None] = []
    done = trio.Event()
    visits = await start(nursery, Visits, name=VISITS)
    watcher = await start(nursery, Watcher)
    visits.kill()
    await done.wait()

    assert seen == [None]
    for ref in (watcher, VISITS.whereis()):
        assert ref is not None
        ref.stop()


async def test_a_name_is_free_when_the_start_error_is_raised(
    nursery: trio.Nursery,
) -> None:
    class Failing(Visits):
        async def init(self) -> None:
            raise ValueError("boom")

    with pytest.raises(StartError):
        await start(nursery, Failing, name=VISITS)

    assert VISITS.whereis() is None


async def test_a_name_is_registered_during_init(nursery: trio.Nursery) -> None:
    class Self(Visits):
        async def init(self) -> None:
            seen.append(VISITS.whereis() == self.ref)

    seen: list[bool] = []
    await stop(await start(nursery, Self, name=VISITS))

    assert seen == [True]


def test_the_table_belongs_to_one_run_of_trio() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await start(nursery, Visits, name=VISITS)
            await trio.to_thread.run_sync(trio.run, look)
            nursery.cancel_scope.cancel()

    async def look() -> None:
        seen.append(VISITS.whereis())

    seen: list[object] = []
    trio.run(main)
    trio.run(look)

    assert seen == [None, None]


async def test_an_actor_of_another_class_cannot_have_the_name(nursery: trio.Nursery) -> None:
    with pytest.raises(
        StartError, match="visits: the name is for Visits, the factory returned Other"
    ):
        await start(nursery, Other, name=VISITS)  # type: ignore[arg-type]


async def test_an_actor_of_a_subclass_can_have_the_name(nursery: trio.Nursery) -> None:
    class Better(Visits): ...

    await stop(await start(nursery, Better, name=VISITS))


async def test_a_name_may_be_of_a_generic_class(nursery: trio.Nursery) -> None:
    class Box(Server, Generic[T]):
        async def kind(self) -> str:
            return type(self).__name__

    box = Name("box", Box[int])
    await start(nursery, Box[int], name=box)

    assert await box.call(Box.kind) == "Box"
    assert repr(box) == "Name('box', Box)"
    ref = box.whereis()
    assert ref is not None
    await stop(ref)


def test_names_are_equal_by_key() -> None:
    same: Name[Any] = Name("visits", Other)
    assert same == VISITS
    assert hash(same) == hash(VISITS)
    assert repr(VISITS) == "Name('visits', Visits)"


def test_a_name_checks_its_key_and_class() -> None:
    for key in ("", None):
        with pytest.raises(TypeError, match=r"^Name\(key, actor\): key must not be empty, got"):
            Name(key, Visits)
    with pytest.raises(TypeError, match=r"^Name\(key, actor\): key must be hashable: unhashable"):
        Name(["visits"], Visits)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"^Name\('visits', actor\): actor must be a class, got str\[6\]$"
    ):
        Name("visits", "Visits")  # type: ignore[arg-type]


async def test_any_hashable_value_is_a_key(nursery: trio.Nursery) -> None:
    room: Name[Visits] = Name(("room", 7), Visits)
    with pytest.raises(NoProcess, match=r"no actor is registered as \('room', 7\): start one with"):
        await room.call(Visits.visit)

    visits = await start(nursery, Visits, name=room)

    assert visits.path == "('room', 7)"
    assert await Name(("room", 7), Visits).call(Visits.visit) == 1
    assert Name(("room", 8), Visits).whereis() is None
    await stop(visits)
