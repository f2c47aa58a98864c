"""Actors: what can be one, and how it is put into its process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import attrs
import pytest
import trio

from okibi.actors import (
    Actor,
    ExitReason,
    MailboxPolicy,
    Server,
    StartError,
    WhenFull,
    start,
    stop,
)
from tests.limits import HANG

T = TypeVar("T")


class Plain(Server):
    """No base `__init__` has to be called: there is none."""

    def __init__(self, number: int = 1) -> None:
        self.number = number

    async def get(self) -> int:
        return self.number


@attrs.define(eq=False)
class Slotted(Server):
    number: int = 1

    async def get(self) -> int:
        return self.number


@attrs.frozen(eq=False)
class Frozen(Server):
    number: int = 1

    async def get(self) -> int:
        return self.number


@dataclass
class Data(Server):
    number: int = 1

    async def get(self) -> int:
        return self.number


@attrs.define(eq=False)
class Box(Server, Generic[T]):
    number: T

    async def get(self) -> T:
        return self.number


@pytest.mark.parametrize("kind", [Plain, Slotted, Frozen, Data, lambda: Box[int](1)])
async def test_any_kind_of_class_can_be_a_server(
    nursery: trio.Nursery, kind: Callable[[], Server]
) -> None:
    server = await start(nursery, kind)

    assert await server.call(Plain.get) == 1  # type: ignore[arg-type]
    await stop(server)


async def test_a_generic_server_can_be_started_by_its_alias(nursery: trio.Nursery) -> None:
    class Empty(Server, Generic[T]):
        async def get(self) -> int:
            return 1

    server = await start(nursery, Empty[str])

    assert await server.call(Empty.get) == 1
    assert server.path == "Empty"
    await stop(server)


async def test_who_asks_for_the_mail_of_one_that_has_ended_is_told_so(
    nursery: trio.Nursery,
) -> None:
    class Idle(Actor):
        async def run(self) -> None:
            made.append(self)

    made = list[Idle]()
    await (await start(nursery, Idle, path="/idle")).wait()

    with pytest.raises(RuntimeError, match=r"^/idle has ended: no message comes to it$"):
        await made[0].receive()


@pytest.mark.parametrize("woken", [False, True])
async def test_who_waits_for_the_mail_of_one_that_ends_meanwhile_is_told_so(
    nursery: trio.Nursery, woken: bool
) -> None:
    class Read(Actor):
        """A task beside it reads its mail."""

        async def run(self) -> None:
            nursery.start_soon(self.read)
            await trio.testing.wait_all_tasks_blocked()
            if woken:
                self.send_after(1000, "a timer that the reader has to look at")

        async def read(self) -> None:
            with pytest.raises(RuntimeError, match=r"has ended: no message comes to it$"):
                await self.receive()
            told.set()

    told = trio.Event()
    await (await start(nursery, Read)).wait()

    with trio.fail_after(HANG):
        await told.wait()


async def test_an_actor_runs_init_run_terminate_in_one_task(nursery: trio.Nursery) -> None:
    class Whole(Actor):
        def __init__(self) -> None:
            self.note("made")

        def note(self, what: str) -> None:
            notes.append((what, trio.lowlevel.current_task()))

        async def init(self) -> None:
            self.note("init")

        async def run(self) -> None:
            self.note("run")

        async def terminate(self, reason: ExitReason) -> None:
            self.note(f"terminate {reason}")

    notes: list[tuple[str, object]] = []
    await (await start(nursery, Whole)).wait()

    assert [what for what, _ in notes] == ["made", "init", "run", "terminate normal"]
    assert len({task for _, task in notes}) == 1


async def test_an_actor_knows_its_ref_and_path(nursery: trio.Nursery) -> None:
    class Aware(Actor):
        async def run(self) -> None:
            seen.extend((self.ref, self.path, repr(self)))

    seen: list[object] = []
    aware = await start(nursery, Aware, path="/aware")
    await aware.wait()

    assert seen == [aware, "/aware", "<Aware /aware incarnation 1>"]


def test_an_actor_that_was_not_started_says_so() -> None:
    assert repr(Plain()) == "<Plain not started>"


async def test_an_actor_without_run_says_what_it_needs() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await start(nursery, Actor)

    [error] = caught.value.exceptions
    assert str(error) == "Actor needs a `run`"


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (dict, "dict: the factory made dict[0], which is no Actor"),
        (lambda: None, "<lambda>: the factory made None, which is no Actor"),
    ],
)
async def test_a_factory_must_make_an_actor(
    nursery: trio.Nursery, factory: Callable[[], Actor], sentence: str
) -> None:
    with pytest.raises(StartError) as refused:
        await start(nursery, factory)

    assert sentence in str(refused.value)


async def test_a_factory_must_make_a_fresh_actor_each_time(nursery: trio.Nursery) -> None:
    the_one = Plain()
    await stop(await start(nursery, lambda: the_one))

    with pytest.raises(StartError, match="gave an actor that has lived before"):
        await start(nursery, lambda: the_one)


async def test_the_mailbox_of_what_a_factory_makes_counts(nursery: trio.Nursery) -> None:
    class Small(Plain):
        mailbox = MailboxPolicy(3, WhenFull.REJECT)

    for factory in (Small, lambda: Small(2)):
        small = await start(nursery, factory)
        assert small.process().mailbox.policy is Small.mailbox
        await stop(small)


async def test_a_mailbox_that_is_no_policy_is_refused(nursery: trio.Nursery) -> None:
    class Wrong(Plain):
        mailbox = 10  # type: ignore[assignment]

    with pytest.raises(StartError, match="mailbox is a MailboxPolicy, not 10"):
        await start(nursery, Wrong)
