"""Actor: which classes may be actors, and how a factory's result becomes one."""

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
    """Need not call a base `__init__`."""

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
async def test_attrs_dataclass_and_plain_classes_can_be_servers(
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


async def test_receive_raises_after_the_actor_has_ended(
    nursery: trio.Nursery,
) -> None:
    class Idle(Actor):
        async def run(self) -> None:
            made.append(self)

    made = list[Idle]()
    await (await start(nursery, Idle, path="/idle")).wait()

    with pytest.raises(RuntimeError, match=r"^/idle has ended and receives no more messages$"):
        await made[0].receive()


@pytest.mark.parametrize("woken", [False, True])
async def test_receive_raises_when_the_actor_ends_meanwhile(
    nursery: trio.Nursery, woken: bool
) -> None:
    class Read(Actor):
        """Receives in a task that outlives the actor."""

        async def run(self) -> None:
            nursery.start_soon(self.read)
            await trio.testing.wait_all_tasks_blocked()
            if woken:
                self.send_after(1000, "wakes the reader")

        async def read(self) -> None:
            with pytest.raises(RuntimeError, match=r"has ended and receives no more messages$"):
                await self.receive()
            refused.set()

    refused = trio.Event()
    await (await start(nursery, Read)).wait()

    with trio.fail_after(HANG):
        await refused.wait()


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


async def test_an_actor_has_its_ref_and_path(nursery: trio.Nursery) -> None:
    class Aware(Actor):
        async def run(self) -> None:
            seen.extend((self.ref, self.path, repr(self)))

    seen: list[object] = []
    aware = await start(nursery, Aware, path="/aware")
    await aware.wait()

    assert seen == [aware, "/aware", "<Aware /aware incarnation 1>"]


def test_the_repr_of_an_actor_that_was_not_started() -> None:
    assert repr(Plain()) == "<Plain not started>"


async def test_an_actor_without_run_raises_not_implemented() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await start(nursery, Actor)

    [error] = caught.value.exceptions
    assert str(error) == "Actor needs a `run`"


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (dict, "dict: the factory must return an Actor, got dict[0]"),
        (lambda: None, "<lambda>: the factory must return an Actor, got None"),
    ],
)
async def test_a_factory_must_return_an_actor(
    nursery: trio.Nursery, factory: Callable[[], Actor], sentence: str
) -> None:
    with pytest.raises(StartError) as refused:
        await start(nursery, factory)

    assert sentence in str(refused.value)


async def test_a_factory_must_return_a_new_actor_each_time(nursery: trio.Nursery) -> None:
    made_once = Plain()
    await stop(await start(nursery, lambda: made_once))

    with pytest.raises(
        StartError, match="returned an actor that was started before: return a new one"
    ):
        await start(nursery, lambda: made_once)


async def test_the_mailbox_policy_is_that_of_the_actor_made(nursery: trio.Nursery) -> None:
    class Small(Plain):
        mailbox = MailboxPolicy(3, WhenFull.REJECT)

    for factory in (Small, lambda: Small(2)):
        small = await start(nursery, factory)
        assert small.process().mailbox.policy is Small.mailbox
        await stop(small)


async def test_a_mailbox_that_is_no_policy_is_refused(nursery: trio.Nursery) -> None:
    class Wrong(Plain):
        mailbox = 10  # type: ignore[assignment]

    with pytest.raises(StartError, match="Wrong: mailbox must be a MailboxPolicy, got 10"):
        await start(nursery, Wrong)


# -- private names


@pytest.mark.parametrize(
    ("base", "name", "owner"),
    [
        (Actor, "_process", "Actor"),
        (Server, "_process", "Actor"),
        (Server, "_handle_request", "Server"),
        (Server, "_answers_calls", "Actor"),
    ],
)
def test_a_private_name_of_okibi_is_refused_when_the_class_is_made(
    base: type[Actor], name: str, owner: str
) -> None:
    with pytest.raises(TypeError) as refused:
        type("Gateway", (base,), {name: None})

    assert str(refused.value) == (
        f"Gateway defines `{name}`, a name that okibi's {owner} uses itself: choose another name"
    )


def test_a_private_name_of_okibi_is_refused_as_a_field() -> None:
    with pytest.raises(TypeError, match=r"^Gateway defines `_process`, a name that okibi's Actor"):

        @attrs.define(eq=False)
        class Gateway(Server):
            _process: int  # type: ignore[assignment]


def test_a_private_name_of_okibi_is_refused_in_a_mixin() -> None:
    class Mixin:
        def _handle_request(self) -> None: ...

    with pytest.raises(TypeError) as refused:
        type("Gateway", (Mixin, Server), {})

    assert str(refused.value) == (
        "Gateway inherits `_handle_request` from Mixin, a name that okibi's Server uses itself: "
        "choose another name"
    )


async def test_a_private_name_of_okibi_set_in_dunder_init_fails_the_start(
    nursery: trio.Nursery,
) -> None:
    class Gateway(Server):
        def __init__(self) -> None:
            self._process = "nginx"  # type: ignore[assignment]

    with pytest.raises(StartError) as refused:
        await start(nursery, Gateway)

    assert str(refused.value.__cause__) == (
        "Gateway defines `_process`, a name that okibi's Actor uses itself: choose another name"
    )
