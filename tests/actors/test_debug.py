"""The functions of `actors.debug`: their answers, and that none of them hangs."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NORMAL,
    Actor,
    ActorExited,
    CallCycle,
    CallingSelf,
    Exit,
    Name,
    NoProcess,
    Ref,
    Server,
    Status,
    debug,
    start,
    stop,
)


@attrs.define(eq=False)
class Visits(Server):
    seen: dict[str, int] = attrs.Factory(dict)
    limit: int = attrs.field(default=10, validator=attrs.validators.instance_of(int))
    key: str = attrs.field(default="sesame", repr=False)
    _inner: int = 7

    async def visit(self, name: str) -> int:
        self.seen[name] = self.seen.get(name, 0) + 1
        return self.seen[name]

    async def wait(self, event: trio.Event) -> None:
        await event.wait()


QUESTIONS: list[Callable[[Ref[Any]], Awaitable[object]]] = [
    debug.get_state,
    debug.get_status,
    debug.suspend,
    debug.resume,
    debug.trace,
    debug.log,
    debug.statistics,
    lambda ref: debug.replace_state(ref, dict),
]


# -- state


async def test_get_state_returns_the_public_fields_themselves(nursery: trio.Nursery) -> None:
    visits = await start(nursery, Visits)
    await visits.call(Visits.visit, "bob")

    state = await debug.get_state(visits)

    assert state == {"seen": {"bob": 1}, "limit": 10, "key": "sesame"}
    await stop(visits)


async def test_the_state_of_a_plain_class_is_its_public_attributes(nursery: trio.Nursery) -> None:
    class Plain(Server):
        def __init__(self) -> None:
            self.seen = 1
            self._hidden = 2

    plain = await start(nursery, Plain)

    assert await debug.get_state(plain) == {"seen": 1}
    await stop(plain)


def broken(state: dict[str, Any]) -> dict[str, Any]:
    raise LookupError("no change")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (broken, LookupError),
        (lambda _: {"seen": {}, "limit": "ten"}, TypeError),
        (lambda _: {"seen": {}, "nothing": 1}, AttributeError),
        (lambda _: {"_inner": 1}, AttributeError),
        (lambda _: 7, TypeError),
    ],
)
async def test_a_failed_replace_state_changes_nothing(
    nursery: trio.Nursery, change: Callable[..., Any], error: type[Exception]
) -> None:
    visits = await start(nursery, Visits)
    await visits.call(Visits.visit, "bob")

    with pytest.raises(error):
        await debug.replace_state(visits, change)

    assert (await debug.get_state(visits)) == {"seen": {"bob": 1}, "limit": 10, "key": "sesame"}
    await stop(visits)


# -- status


async def test_get_status_describes_the_server(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    visits = await start(nursery, Visits, path="/visits")
    await trio.sleep(3)
    await debug.log(visits, 2)
    await debug.statistics(visits, on=True)
    await visits.call(Visits.visit, "bob")

    status = await debug.get_status(visits)

    assert (status.path, status.incarnation, status.actor) == ("/visits", 1, "Visits")
    assert (status.suspended, status.tracing, status.age) == (False, False, 3.0)
    assert status.state == {"seen": "dict[1]", "limit": "int"}
    assert status.mailbox.length == 0
    assert status.statistics == debug.Statistics(3.0, 1, 1)
    assert [event.kind for event in status.log] == ["in", "reply"]
    await stop(visits)


async def test_get_status_is_redacted_by_format_status(nursery: trio.Nursery) -> None:
    class Vault(Visits):
        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, state={**status.state, "seen": "***"}, log=())

    vault = await start(nursery, Vault)
    await debug.log(vault, 5)
    await vault.call(Vault.visit, "bob")

    status = await debug.get_status(vault)

    assert (status.state["seen"], status.log) == ("'***'", ())
    assert (await debug.get_state(vault))["seen"] == {"bob": 1}
    await stop(vault)


# -- the asked server


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_server_that_ends_first_raises_actor_exited(
    question: Callable[[Ref[Any]], Awaitable[object]], nursery: trio.Nursery
) -> None:
    visits = await start(nursery, Visits)
    await visits.cast(Visits.wait, trio.Event())
    reasons: list[object] = []

    async def ask() -> None:
        with pytest.raises(ActorExited) as told:
            await question(visits)
        reasons.append(told.value.reason)

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    assert reasons == []
    visits.stop(NORMAL)
    await wait_all_tasks_blocked()

    assert reasons == [NORMAL]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_actor_without_the_loop_of_a_server_is_refused(
    question: Callable[[Ref[Any]], Awaitable[object]], nursery: trio.Nursery
) -> None:
    class Bare(Actor):
        async def run(self) -> None:
            await trio.sleep_forever()

    class Own(Server):
        async def run(self) -> None:
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)

    for kind in (Bare, Own):
        bare: Ref[Any] = await start(nursery, kind, path="/bare")
        with pytest.raises(
            TypeError, match=r"^/bare \(\w+\) cannot answer \w+: it does not run the loop"
        ):
            await question(bare)
        await stop(bare)


async def test_a_server_whose_init_fails_raises_actor_exited(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    name = Name("slow", Visits)

    class Slow(Visits):
        async def init(self) -> None:
            await trio.sleep(2)
            raise Exit

    async def begin() -> None:
        with pytest.raises(Exception, match="did not start"):
            await start(nursery, Slow, name=name)

    nursery.start_soon(begin)
    await wait_all_tasks_blocked()

    with pytest.raises(ActorExited):
        await debug.get_state(name)
    with pytest.raises(NoProcess):
        await debug.get_state(name)


async def test_a_server_that_asks_itself_gets_calling_self(nursery: trio.Nursery) -> None:
    class Curious(Server):
        async def look(self) -> str:
            with pytest.raises(CallingSelf) as told:
                await debug.get_state(self.ref)
            return str(told.value)

    curious = await start(nursery, Curious, path="/curious")

    told = await curious.call(Curious.look)

    assert told == "/curious calls itself: get_state() would never return"
    await stop(curious)


async def test_a_server_that_asks_its_waiting_caller_gets_call_cycle(nursery: trio.Nursery) -> None:
    @attrs.define(eq=False)
    class Front(Server):
        async def ask(self, back: "Ref[Back]") -> bool:
            return await back.call(Back.look, self.ref)

        async def look_at(self, back: "Ref[Back]") -> dict[str, Any]:
            return await debug.get_state(back)

    @attrs.define(eq=False)
    class Back(Server):
        seen: int = 3

        async def look(self, front: Ref[Front]) -> bool:
            with pytest.raises(CallCycle):
                await debug.get_state(front)
            return True

    front, back = await start(nursery, Front), await start(nursery, Back)

    assert await front.call(Front.ask, back)
    assert await front.call(Front.look_at, back) == {"seen": 3}
    await stop(front)
    await stop(back)


async def test_system_messages_go_before_waiting_data(nursery: trio.Nursery) -> None:
    visits = await start(nursery, Visits)
    event = trio.Event()
    await visits.cast(Visits.wait, event)
    await visits.cast(Visits.visit, "bob")
    states: list[object] = []

    async def ask() -> None:
        states.append((await debug.get_status(visits)).state["seen"])

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    event.set()
    await wait_all_tasks_blocked()

    assert states == ["dict[0]"]
    await stop(visits)


async def test_a_negative_log_size_is_refused(nursery: trio.Nursery) -> None:
    visits = await start(nursery, Visits)

    with pytest.raises(ValueError, match=r"^most must be >= 0, got -1$"):
        await debug.log(visits, -1)
    await stop(visits)
