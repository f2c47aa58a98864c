"""Elixir's registry tests for unique keys, case by case: okibi's names.

What is adapted in all of them: an actor bears one name, from before its `init` to its end, and
the table is the run's own.
"""

from collections.abc import AsyncIterator

import pytest
import trio

from actors import AlreadyRegistered, Name, Server, StartError, start
from actors.names import names


class Worker(Server):
    async def ping(self) -> str:
        return self.path


class Failing(Worker):
    async def init(self) -> None:
        raise ValueError


HELLO = Name("hello", Worker)
WORLD = Name("world", Worker)


@pytest.fixture
async def room() -> AsyncIterator[trio.Nursery]:
    """Actors live here for the time of a test."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def test_counts_0_keys_in_an_empty_registry() -> None:
    assert len(names()) == 0


async def test_counts_the_number_of_keys_in_a_registry(room: trio.Nursery) -> None:
    await start(room, Worker, name=HELLO)
    await start(room, Worker, name=WORLD)

    assert len(names()) == 2


async def test_has_unique_registrations(room: trio.Nursery) -> None:
    hello = await start(room, Worker, name=HELLO)
    with pytest.raises(AlreadyRegistered) as taken:
        await start(room, Worker, name=HELLO)
    await start(room, Worker, name=WORLD)

    assert taken.value.ref == hello
    assert sorted(names()) == ["hello", "world"]


async def test_via_callbacks(room: trio.Nursery) -> None:
    with pytest.raises(StartError):
        await start(room, Failing, name=HELLO)
    hello = await start(room, Worker, name=HELLO)

    assert HELLO.whereis() == hello
    assert await HELLO.call(Worker.ping) == "hello"
    with pytest.raises(AlreadyRegistered):
        await start(room, Worker, name=HELLO)


async def test_empty_list_for_empty_registry() -> None:
    assert list(names()) == []


async def test_select_all(room: trio.Nursery) -> None:
    hello = await start(room, Worker, name=HELLO)
    world = await start(room, Worker, name=WORLD)

    assert names() == {"hello": hello.process(), "world": world.process()}


async def test_doesn_t_grow_ets_on_already_registered(room: trio.Nursery) -> None:
    await start(room, Worker, name=HELLO)
    for _ in range(3):
        with pytest.raises(AlreadyRegistered):
            await start(room, Worker, name=HELLO)

    assert list(names()) == ["hello"]


async def test_doesn_t_grow_ets_on_already_registered_across_processes(
    room: trio.Nursery,
) -> None:
    """Who is refused bears no name, and gives none back when it is gone."""
    hello = await start(room, Worker, name=HELLO)
    async with trio.open_nursery() as elsewhere:
        with pytest.raises(AlreadyRegistered):
            await start(elsewhere, Worker, name=HELLO)

    assert names() == {"hello": hello.process()}
