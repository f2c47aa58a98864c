"""Elixir's registry tests for unique keys, case by case, on okibi's names.

Adapted in all cases: an actor has one name, from before its `init` to its end. Each trio run has
its own name table. A predicate replaces Elixir's match specification.
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

    async def set_value(self, value: object) -> object:
        return HELLO.update_value(lambda _: value)

    async def increment_value(self) -> object:
        return HELLO.update_value(lambda value: value + 1)

    async def set_value_of_world(self) -> object:
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
async def nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery for the actors of a test."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def test_counts_0_keys_in_an_empty_registry() -> None:
    assert len(name_table()) == 0


async def test_counts_the_number_of_keys_in_a_registry(nursery: trio.Nursery) -> None:
    await start(nursery, Worker, name=HELLO)
    await start(nursery, Worker, name=WORLD)

    assert len(name_table()) == 2


async def test_has_unique_registrations(nursery: trio.Nursery) -> None:
    hello = await start(nursery, Worker, name=HELLO)
    with pytest.raises(AlreadyRegistered) as taken:
        await start(nursery, Worker, name=HELLO)
    await start(nursery, Worker, name=WORLD)

    assert taken.value.ref == hello
    assert sorted(name_table()) == ["hello", "world"]


async def test_via_callbacks(nursery: trio.Nursery) -> None:
    with pytest.raises(StartError):
        await start(nursery, Failing, name=HELLO)
    hello = await start(nursery, Worker, name=HELLO)

    assert HELLO.whereis() == hello
    assert await HELLO.call(Worker.ping) == "hello"
    with pytest.raises(AlreadyRegistered):
        await start(nursery, Worker, name=HELLO)


async def test_empty_list_for_empty_registry() -> None:
    assert list(name_table()) == []


async def test_select_all(nursery: trio.Nursery) -> None:
    hello = await start(nursery, Worker, name=HELLO)
    world = await start(nursery, Worker, name=WORLD)

    assert name_table() == {"hello": hello.process(), "world": world.process()}


async def test_doesn_t_grow_ets_on_already_registered(nursery: trio.Nursery) -> None:
    await start(nursery, Worker, name=HELLO)
    for _ in range(3):
        with pytest.raises(AlreadyRegistered):
            await start(nursery, Worker, name=HELLO)

    assert list(name_table()) == ["hello"]


async def test_doesn_t_grow_ets_on_already_registered_across_processes(
    nursery: trio.Nursery,
) -> None:
    """A refused actor has no name, and its end frees none."""
    hello = await start(nursery, Worker, name=HELLO)
    async with trio.open_nursery() as elsewhere:
        with pytest.raises(AlreadyRegistered):
            await start(elsewhere, Worker, name=HELLO)

    assert name_table() == {"hello": hello.process()}


async def test_compares_using(nursery: trio.Nursery) -> None:
    """Adapted: names compare as dict keys. 1 and 1.0 are one name; in Elixir they are two."""
    one = await start(nursery, Worker, name=Name(1, Worker))

    assert Name(1.0, Worker).whereis() == one
    assert Name((1, "one"), Worker).whereis() is None


async def test_updates_current_process_value(nursery: trio.Nursery) -> None:
    """Adapted: the value is None until the actor sets it."""
    hello = await start(nursery, Worker, name=HELLO)
    assert Name.select(Worker) == [Registered("hello", hello, None)]

    assert await hello.call(Worker.set_value, 1) == 1
    assert await hello.call(Worker.increment_value) == 2
    assert Name.select(Worker) == [Registered("hello", hello, 2)]

    with pytest.raises(RuntimeError, match="may change its value: this task is in no actor"):
        HELLO.update_value(lambda _: "mine")
    await stop(hello)
    again = await start(nursery, Worker, name=HELLO)
    assert Name.select(Worker) == [Registered("hello", again, None)]
    assert not name_table().attached_values


async def test_the_value_of_another_process_is_not_updated() -> None:
    with pytest.raises(BaseExceptionGroup) as crashed:  # noqa: PT012, the crash ends the nursery
        async with trio.open_nursery() as nursery:
            hello = await start(nursery, Worker, name=HELLO)
            with pytest.raises(ActorExited):
                await hello.call(Worker.set_value_of_world)

    assert "may change its value: hello does not have it" in str(crashed.value.exceptions[0])


async def test_supports_guard_conditions(nursery: trio.Nursery) -> None:
    """Adapted: a predicate selects, not a match specification."""
    for number in range(3):
        await start(nursery, Numbered, name=Name(("number", number), Numbered))
    await start(nursery, Worker, name=HELLO)

    found = Name.select(Numbered, lambda each: each.key != ("number", 0))

    assert [each.key for each in found] == [("number", 1), ("number", 2)]
    assert [await each.ref.call(Numbered.ping) for each in found] == [
        "('number', 1)",
        "('number', 2)",
    ]
    assert len(Name.select(Worker)) == 4
    assert Name.select(Failing) == []


async def test_select_finds_generic_servers(nursery: trio.Nursery) -> None:
    box = await start(nursery, Box[int], name=Name("box", Box[int]))

    assert [each.ref for each in Name.select(Box[int])] == [box]


async def test_select_skips_an_actor_whose_factory_is_running(nursery: trio.Nursery) -> None:
    """The name is taken, but the class is unknown until the factory returns."""
    seen: list[object] = []

    def make() -> Worker:
        seen.append((HELLO.whereis() is not None, Name.select(Worker)))
        return Worker()

    await start(nursery, make, name=HELLO)

    assert seen == [(True, [])]
