"""Name.wait and Name.waiting: what ends the wait, and that nothing is left."""

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    ActorExited,
    CallCycle,
    ExitReason,
    Name,
    NoProcess,
    Ref,
    Server,
    from_thread,
    start,
    stop,
)
from okibi.actors.names import name_table
from tests.conformance.cancellation import every_step


@attrs.define(eq=False)
class Desk(Server):
    got: list[object] = attrs.Factory(list)

    async def echo(self, word: str) -> str:
        self.got.append(word)
        return word

    async def ask(self, name: "Name[Desk]") -> str:
        return await name.waiting(1).call(Desk.echo, "asked")

    async def handle_info(self, message: object) -> None:
        self.got.append(message)


class Slow(Desk):
    async def init(self) -> None:
        await trio.sleep(2)


class Failing(Desk):
    async def init(self) -> None:
        await trio.sleep(2)
        raise ValueError("boom")


class Tidy(Desk):
    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(2)


DESK, OTHER = Name("desk", Desk), Name("other", Desk)


async def later(nursery: trio.Nursery, seconds: float, kind: type[Desk] = Desk) -> None:
    await trio.sleep(seconds)
    await start(nursery, kind, name=DESK)


async def test_wait_for_a_taken_name_is_one_checkpoint(nursery: trio.Nursery) -> None:
    desk = await start(nursery, Desk, name=DESK)

    with trio.testing.assert_checkpoints():
        assert await DESK.wait() == desk
    with trio.move_on_after(0) as given_up:
        await DESK.wait()

    assert given_up.cancelled_caught
    await stop(desk)


async def test_all_waiters_get_the_actor_that_takes_the_name(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    given: list[tuple[float, Ref[Desk]]] = []

    async def wait() -> None:
        given.append((trio.current_time(), await DESK.wait()))

    async with trio.open_nursery() as waiters:
        for _ in range(2):
            waiters.start_soon(wait)
        await wait_all_tasks_blocked()
        desk = await start(nursery, Desk, name=DESK)

    assert given == [(0.0, desk), (0.0, desk)]
    assert not name_table().waiting
    await stop(desk)


async def test_wait_ends_when_init_has_returned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(later, nursery, 1, Slow)

    desk = await DESK.wait()

    assert (trio.current_time(), desk.alive) == (3.0, True)
    await stop(desk)


async def test_wait_goes_on_when_an_init_fails(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def both() -> None:
        with pytest.raises(Exception, match="boom"):
            await start(nursery, Failing, name=DESK)
        await later(nursery, 1)

    nursery.start_soon(both)

    desk = await DESK.wait()

    assert trio.current_time() == 3.0
    await stop(desk)


async def test_wait_ends_with_its_cancel_scope(autojump_clock: MockClock) -> None:
    with trio.move_on_after(5) as given_up:
        await DESK.wait()

    assert given_up.cancelled_caught
    assert not name_table().waiting


VERBS: dict[str, Callable[[], Awaitable[object]]] = {
    "call": lambda: DESK.waiting(5).call(Desk.echo, "word"),
    "cast": lambda: DESK.waiting(5).cast(Desk.echo, "word"),
    "request": lambda: DESK.waiting(5).request(Desk.echo, "word"),
    "send": lambda: DESK.waiting(5).send("word"),
}


@pytest.mark.parametrize("act", VERBS.values(), ids=VERBS)
async def test_a_message_waits_until_the_name_is_taken(
    nursery: trio.Nursery, autojump_clock: MockClock, act: Callable[[], Awaitable[object]]
) -> None:
    nursery.start_soon(later, nursery, 3)

    await act()
    await wait_all_tasks_blocked()

    assert trio.current_time() == 3.0
    desk = DESK.process()
    assert isinstance(desk.actor, Desk)
    assert desk.actor.got == ["word"]
    desk.stop()


@pytest.mark.parametrize("act", VERBS.values(), ids=VERBS)
async def test_a_message_without_actor_in_time_is_noproc(
    autojump_clock: MockClock, act: Callable[[], Awaitable[object]]
) -> None:
    with pytest.raises(
        NoProcess,
        match=r"^no actor is registered as 'desk': none was started within 5 s, start one with",
    ):
        await act()

    assert trio.current_time() == 5.0
    assert not name_table().waiting


async def test_noproc_names_an_actor_slow_to_start_or_end(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(later, nursery, 0, Slow)
    with pytest.raises(NoProcess, match="desk has not started within 1 s"):
        await DESK.waiting(1).call(Desk.echo, "word")
    await stop(await DESK.wait())
    tidy = await start(nursery, Tidy, name=DESK)
    tidy.stop()
    with pytest.raises(NoProcess, match="desk has not ended within 1 s"):
        await DESK.waiting(1).call(Desk.echo, "word")


async def test_a_message_to_a_taken_name_does_not_wait(nursery: trio.Nursery) -> None:
    desk = await start(nursery, Desk, name=DESK)

    assert await DESK.waiting(0).call(Desk.echo, "word") == "word"
    DESK.waiting(0).cast_nowait(Desk.echo, "again")
    assert await trio.to_thread.run_sync(
        lambda: from_thread.call(DESK.waiting(0), Desk.echo, "thread")
    )
    await stop(desk)


async def test_a_message_from_a_thread_waits_for_the_name(nursery: trio.Nursery) -> None:
    def work() -> str:
        return from_thread.call(DESK.waiting(60), Desk.echo, "thread")

    class Host(Server):
        async def work(self) -> str:
            return await trio.to_thread.run_sync(work)

    async def when_waited_for() -> None:
        while not name_table().waiting:  # noqa: ASYNC110, a thread sets no Event
            await trio.sleep(0.001)
        await start(nursery, Desk, name=DESK)

    host = await start(nursery, Host)
    nursery.start_soon(when_waited_for)

    assert await host.call(Host.work) == "thread"
    await stop(await DESK.wait())
    await stop(host)


def test_the_seconds_of_waiting_must_not_be_negative() -> None:
    assert repr(DESK.waiting(5)) == "Name('desk', Desk).waiting(5)"
    for seconds in (-1, float("nan")):
        with pytest.raises(
            ValueError, match=r"^Name\('desk', Desk\)\.waiting: seconds must be >= 0, got"
        ):
            DESK.waiting(seconds)


async def test_an_actor_that_waits_for_its_own_name_gets_its_ref(
    nursery: trio.Nursery,
) -> None:
    seen: list[bool] = []

    class Own(Desk):
        async def init(self) -> None:
            seen.append(await DESK.wait() == self.ref)

        async def terminate(self, reason: ExitReason) -> None:
            seen.append(await DESK.wait() == self.ref)

    await stop(await start(nursery, Own, name=DESK))

    assert seen == [True, True]


async def test_actors_do_not_wait_for_each_others_start(
    nursery: trio.Nursery,
) -> None:
    class Asking(Desk):
        async def init(self) -> None:
            with pytest.raises(ActorExited):
                await OTHER.call(Desk.ask, DESK)

    with pytest.raises(BaseExceptionGroup) as crashed:  # noqa: PT012, the nursery raises
        async with trio.open_nursery() as inner:
            await start(inner, Desk, name=OTHER)
            await start(inner, Asking, name=DESK)

    assert isinstance(crashed.value.exceptions[0], CallCycle)


@attrs.define
class Scene:
    """Two waiting tasks and an actor that is slow to start; repeated for each step."""

    given: list[object] = attrs.Factory(list)

    async def run(self) -> None:
        self.given = []
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as waiters:
                waiters.start_soon(self._wait)
                waiters.start_soon(self._call)
                await trio.sleep(1)
                desk = await start(nursery, Slow, name=DESK)
            desk.stop()

    async def _wait(self) -> None:
        self.given.append(await DESK.wait())

    async def _call(self) -> None:
        try:
            self.given.append(await DESK.waiting(10).call(Desk.echo, "word"))
        except ActorExited:
            self.given.append(None)

    async def check(self) -> None:
        assert len(self.given) <= 2
        assert name_table() == {}
        assert not name_table().waiting


def test_wait_cancelled_at_any_step_leaves_nothing() -> None:
    scene = Scene()

    assert every_step(scene.run, scene.check) > 15
    assert len(scene.given) == 2
