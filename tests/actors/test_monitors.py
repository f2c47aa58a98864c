"""Monitors: each brings exactly one Down."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    NO_PROCESS,
    Address,
    Down,
    Monitor,
    Name,
    Server,
    start,
    stop,
)


class Mortal(Server):
    async def visit(self) -> None: ...


@attrs.define(eq=False)
class Watcher(Server):
    downs: list[Down] = attrs.Factory(list)

    async def watch(self, address: Address[Mortal]) -> Monitor:
        return self.monitor(address)

    async def watch_then_ignore(self, address: Address[Mortal]) -> None:
        monitor = self.monitor(address)
        process = address.process()
        process.kill()
        # The Down must be in the mailbox before demonitor.
        await process.wait_dead()
        monitor.demonitor()

    async def seen(self) -> list[Down]:
        return self.downs

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Down)
        self.downs.append(message)


async def test_each_monitor_brings_its_own_down(nursery: trio.Nursery) -> None:
    mortal = await start(nursery, Mortal)
    watchers = [await start(nursery, Watcher) for _ in range(3)]
    monitors = [
        [await watcher.call(Watcher.watch, mortal) for _ in range(3)] for watcher in watchers
    ]

    mortal.kill()
    await wait_all_tasks_blocked()

    for watcher, own in zip(watchers, monitors, strict=True):
        assert [down.monitor for down in await watcher.call(Watcher.seen)] == own
        await stop(watcher)


async def test_a_monitor_of_a_free_name_brings_noproc_at_once(
    nursery: trio.Nursery,
) -> None:
    watcher = await start(nursery, Watcher)

    monitor = await watcher.call(Watcher.watch, Name("absent", Mortal))

    assert await watcher.call(Watcher.seen) == [Down("absent", NO_PROCESS, monitor, None)]
    await stop(watcher)


async def test_a_down_comes_after_terminate_has_run(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    class Slow(Mortal):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(2)
            ended.append(trio.current_time())

    ended: list[float] = []
    slow, watcher = await start(nursery, Slow), await start(nursery, Watcher)
    await watcher.call(Watcher.watch, slow)
    slow.stop()
    await trio.sleep(1)

    assert await watcher.call(Watcher.seen) == []
    await trio.sleep(2)
    assert len(await watcher.call(Watcher.seen)) == 1
    assert ended
    await stop(watcher)


async def test_no_down_arrives_after_demonitor(nursery: trio.Nursery) -> None:
    mortal, watcher = await start(nursery, Mortal), await start(nursery, Watcher)
    monitor = await watcher.call(Watcher.watch, mortal)

    monitor.demonitor()
    mortal.kill()
    await wait_all_tasks_blocked()

    assert await watcher.call(Watcher.seen) == []
    await stop(watcher)


async def test_demonitor_removes_a_waiting_down(nursery: trio.Nursery) -> None:
    mortal, watcher = await start(nursery, Mortal), await start(nursery, Watcher)

    await watcher.call(Watcher.watch_then_ignore, mortal)

    assert await watcher.call(Watcher.seen) == []
    await stop(watcher)


async def test_demonitor_leaves_other_monitors(nursery: trio.Nursery) -> None:
    mortal, watcher = await start(nursery, Mortal), await start(nursery, Watcher)
    first = await watcher.call(Watcher.watch, mortal)
    second = await watcher.call(Watcher.watch, mortal)

    first.demonitor()
    first.demonitor()
    assert list(watcher.process().watchers) == [second]
    mortal.kill()
    await wait_all_tasks_blocked()

    assert [down.monitor for down in await watcher.call(Watcher.seen)] == [second]
    await stop(watcher)


async def test_a_watcher_that_ends_leaves_nothing_behind(nursery: trio.Nursery) -> None:
    mortal = await start(nursery, Mortal)
    for _ in range(100):
        watcher = await start(nursery, Watcher)
        await watcher.call(Watcher.watch, mortal)
        await stop(watcher)

    assert mortal.process().watchers == {}
    await stop(mortal)


@pytest.mark.parametrize("first", ["watcher", "watched"])
async def test_two_actors_that_monitor_each_other_may_both_end(
    nursery: trio.Nursery, first: str
) -> None:
    class Peer(Watcher): ...

    a, b = await start(nursery, Peer), await start(nursery, Peer)
    await a.call(Watcher.watch, b)  # type: ignore[arg-type]
    await b.call(Watcher.watch, a)  # type: ignore[arg-type]

    for peer in (a, b) if first == "watcher" else (b, a):
        await stop(peer)


async def test_a_dead_actors_monitor_leaves_nothing_behind(
    nursery: trio.Nursery,
) -> None:
    mortal, watcher = await start(nursery, Mortal), await start(nursery, Watcher)
    actor = watcher.process().actor
    assert isinstance(actor, Watcher)
    await stop(watcher)

    actor.monitor(mortal)

    assert not mortal.process().watchers
    await stop(mortal)


class Incomparable:
    """Raises when compared, like an array of numpy."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")


class Numbers(Watcher):
    async def watch_then_ignore(self, address: Address[Mortal]) -> None:
        self.ref.process().mailbox.post(Incomparable())
        await super().watch_then_ignore(address)

    async def handle_info(self, message: object) -> None:
        assert not isinstance(message, Down)


async def test_demonitor_compares_no_waiting_message(nursery: trio.Nursery) -> None:
    mortal, watcher = await start(nursery, Mortal), await start(nursery, Numbers)

    await watcher.call(Watcher.watch_then_ignore, mortal)

    assert await watcher.call(Watcher.seen) == []
    await stop(watcher)


class Careless(Server):
    async def watch(self) -> None:
        self.monitor("mortal")  # type: ignore[call-overload]


async def test_monitor_refuses_other_values() -> None:
    with pytest.raises(ExceptionGroup) as crashed:
        async with trio.open_nursery() as nursery:
            await (await start(nursery, Careless, path="/c")).cast(Careless.watch)

    sentence = "/c: monitor needs an address, a Group, a Pending or a Task, got str"
    assert crashed.group_contains(TypeError, match=sentence)
