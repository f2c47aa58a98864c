"""Elixir's registry tests for unique keys, case by case: okibi's names.

What is adapted in all of them: an actor bears one name, from before its `init` to its end, and
the table is the run's own. What Elixir selects by a match specification, a predicate selects here.
"""

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import pytest
import trio

from okibi.actors import (
    ActorExited,
    AlreadyRegistered,
    Name,
    Registered,
    Server,
    StartError,
    start,
    stop,
)
from okibi.actors.names import name_table


class Worker(Server):
    async def ping(self) -> str:
        return self.path

    async def keep(self, value: object) -> object:
        return HELLO.update_value(lambda _: value)

    async def count(self) -> object:
        return HELLO.update_value(lambda value: value + 1)

    async def take_over(self) -> object:
        return WORLD.update_value(lambda _: "mine")


class Failing(Worker):
    async def init(self) -> None:
        raise ValueError


class Numbered(Worker): ...


T = TypeVar("T")


class Box(Server, Generic[T]): ...


HELLO = Name("hello", Worker)
WORLD = Name("world", Worker)


@pytest.fixture
async def room() -> AsyncIterator[trio.Nursery]:
    """Actors live here for the time of a test."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def test_counts_0_keys_in_an_empty_registry() -> None:
    assert len(name_table()) == 0


async def test_counts_the_number_of_keys_in_a_registry(room: trio.Nursery) -> None:
    await start(room, Worker, name=HELLO)
    await start(room, Worker, name=WORLD)

    assert len(name_table()) == 2


async def test_has_unique_registrations(room: trio.Nursery) -> None:
    hello = await start(room, Worker, name=HELLO)
    with pytest.raises(AlreadyRegistered) as taken:
        await start(room, Worker, name=HELLO)
    await start(room, Worker, name=WORLD)

    assert taken.value.ref == hello
    assert sorted(name_table()) == ["hello", "world"]


async def test_via_callbacks(room: trio.Nursery) -> None:
    with pytest.raises(StartError):
        await start(room, Failing, name=HELLO)
    hello = await start(room, Worker, name=HELLO)

    assert HELLO.whereis() == hello
    assert await HELLO.call(Worker.ping) == "hello"
    with pytest.raises(AlreadyRegistered):
        await start(room, Worker, name=HELLO)


async def test_empty_list_for_empty_registry() -> None:
    assert list(name_table()) == []


async def test_select_all(room: trio.Nursery) -> None:
    hello = await start(room, Worker, name=HELLO)
    world = await start(room, Worker, name=WORLD)

    assert name_table() == {"hello": hello.process(), "world": world.process()}


async def test_doesn_t_grow_ets_on_already_registered(room: trio.Nursery) -> None:
    await start(room, Worker, name=HELLO)
    for _ in range(3):
        with pytest.raises(AlreadyRegistered):
            await start(room, Worker, name=HELLO)

    assert list(name_table()) == ["hello"]


async def test_doesn_t_grow_ets_on_already_registered_across_processes(
    room: trio.Nursery,
) -> None:
    """Who is refused bears no name, and gives none back when it is gone."""
    hello = await start(room, Worker, name=HELLO)
    async with trio.open_nursery() as elsewhere:
        with pytest.raises(AlreadyRegistered):
            await start(elsewhere, Worker, name=HELLO)

    assert name_table() == {"hello": hello.process()}


async def test_compares_using(room: trio.Nursery) -> None:
    """Adapted: as a dict compares its keys: 1 and 1.0 are one name, which to Elixir are two."""
    one = await start(room, Worker, name=Name(1, Worker))

    assert Name(1.0, Worker).whereis() == one
    assert Name((1, "one"), Worker).whereis() is None


async def test_updates_current_process_value(room: trio.Nursery) -> None:
    """Adapted: the value is None until the actor has put one there."""
    hello = await start(room, Worker, name=HELLO)
    assert Name.select(Worker) == [Registered("hello", hello, None)]

    assert await hello.call(Worker.keep, 1) == 1
    assert await hello.call(Worker.count) == 2
    assert Name.select(Worker) == [Registered("hello", hello, 2)]

    with pytest.raises(RuntimeError, match="may change its value: this task is in no actor"):
        HELLO.update_value(lambda _: "mine")
    await stop(hello)
    again = await start(room, Worker, name=HELLO)
    assert Name.select(Worker) == [Registered("hello", again, None)]
    assert not name_table().attached_values


async def test_the_value_of_another_process_is_not_updated() -> None:
    with pytest.raises(BaseExceptionGroup) as crashed:  # noqa: PT012, a crash leaves its nursery
        async with trio.open_nursery() as room:
            hello = await start(room, Worker, name=HELLO)
            with pytest.raises(ActorExited):
                await hello.call(Worker.take_over)

    assert "may change its value: hello does not have it" in str(crashed.value.exceptions[0])


async def test_supports_guard_conditions(room: trio.Nursery) -> None:
    """Adapted: a predicate selects, and not a match specification."""
    for number in range(3):
        await start(room, Numbered, name=Name(("number", number), Numbered))
    await start(room, Worker, name=HELLO)

    found = Name.select(Numbered, lambda each: each.key != ("number", 0))

    assert [each.key for each in found] == [("number", 1), ("number", 2)]
    assert [await each.ref.call(Numbered.ping) for each in found] == [
        "('number', 1)",
        "('number', 2)",
    ]
    assert len(Name.select(Worker)) == 4
    assert Name.select(Failing) == []


async def test_select_of_generic_servers(room: trio.Nursery) -> None:
    box = await start(room, Box[int], name=Name("box", Box[int]))

    assert [each.ref for each in Name.select(Box[int])] == [box]


async def test_an_actor_that_is_not_made_yet_is_not_selected(room: trio.Nursery) -> None:
    """Its name is taken, but nobody knows yet what its factory makes."""
    seen: list[object] = []

    def make() -> Worker:
        seen.append((HELLO.whereis() is not None, Name.select(Worker)))
        return Worker()

    await start(room, make, name=HELLO)

    assert seen == [(True, [])]
