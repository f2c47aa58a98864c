"""Elixir's registry tests for duplicate keys, case by case, on okibi's groups."""

from typing import cast

import pytest
import trio

from okibi.actors import Address, Group, Server, start


class Worker(Server):
    pass


HELLO = Group("hello", Worker)


async def test_counts_0_keys_in_an_empty_registry() -> None:
    assert len(HELLO.members()) == 0


async def test_counts_the_number_of_keys_in_a_registry() -> None:
    """Adapted: each group has its own count."""
    async with trio.open_nursery() as nursery:
        worker = await start(nursery, Worker)
        HELLO.join(worker)
        HELLO.join(worker)

        assert len(HELLO.members()) == 2
        worker.stop()


async def test_unregisters_with_no_entries() -> None:
    """Adapted: leave returns whether the actor was a member."""
    async with trio.open_nursery() as nursery:
        worker = await start(nursery, Worker)

        assert not HELLO.leave(worker)
        worker.stop()


async def test_raises_if_attempt_to_be_used_on_via() -> None:
    """A group is no address: it cannot be called, and no actor starts under its key."""
    assert not isinstance(cast("object", HELLO), Address)
    with pytest.raises(AttributeError):
        HELLO.call  # type: ignore[attr-defined]  # noqa: B018
