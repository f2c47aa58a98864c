"""Actors whose methods run on asyncio: the class, and what is the same as on trio."""

import asyncio
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    CallCycle,
    ExitReason,
    Name,
    Refusal,
    Reply,
    Server,
    StateMachine,
    loops,
    start,
)
from okibi.actors.trio_internals import CONTEXT
from okibi.asyncio_loop import from_asyncio

pytestmark = pytest.mark.skipif(CONTEXT is None, reason="asyncio runs inside known releases only")


def on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Full(Refusal):
    pass


@attrs.define(eq=False)
class Store(Server, loop="asyncio"):
    """Notes where its methods and hooks run."""

    ran: dict[str, bool] = attrs.Factory(dict[str, bool])
    terminated: list[ExitReason] = attrs.Factory(list[ExitReason])

    async def init(self) -> None:
        self.ran["init"] = on_asyncio()
        self.continue_with("more")

    async def handle_continue(self, continuation: object) -> None:
        self.ran["handle_continue"] = on_asyncio()

    async def handle_info(self, message: object) -> None:
        self.ran[f"handle_info {type(message).__name__}"] = on_asyncio()

    async def terminate(self, reason: ExitReason) -> None:
        await asyncio.sleep(0)
        self.ran["terminate"] = on_asyncio()
        self.terminated.append(reason)

    async def read(self) -> dict[str, bool]:
        await asyncio.sleep(0.01)
        self.ran["method"] = on_asyncio()
        return self.ran

    async def refuse(self) -> None:
        await asyncio.sleep(0)
        raise Full("no room")

    async def crash(self) -> None:
        raise LookupError("lost")

    async def watch(self, name: "Name[Any]") -> None:
        self.monitor(name)
        self.send_after(1, "later")

    async def asked_by(self) -> str:
        return self.caller.path

    async def put_off(self) -> str:
        reply: Reply[str] = self.reply_later()
        asyncio.get_running_loop().call_later(1, reply.send, "later")
        return NO_REPLY


@attrs.define(eq=False)
class Audit(Server):
    store: Name[Any]

    async def note(self, text: str) -> str:
        return f"noted {text}"

    async def ask_back(self) -> str:
        try:
            return await self.store.call(Calling.idle)
        except CallCycle as cycle:
            return " ".join(cycle.paths)


@attrs.define(eq=False)
class Calling(Server, loop="asyncio"):
    audit: Name[Audit]

    async def idle(self) -> str:
        return "idle"

    async def note(self, text: str) -> str:
        return await from_asyncio.call(self.audit, Audit.note, text)

    async def ask_for_oneself(self) -> str:
        try:
            return await from_asyncio.call(self.audit, Audit.ask_back)
        except CallCycle as cycle:
            return " ".join(cycle.paths)

    async def ask_in_a_task(self) -> str:
        return await asyncio.create_task(self.note("in a task"))


class Plain(Server):
    async def where(self) -> bool:
        return on_asyncio()


class AlsoPlain(Store, loop="trio"):
    async def where(self) -> bool:
        return on_asyncio()


class Below(Store):
    """Inherits the loop of its class above."""


class Light(StateMachine[str], loop="asyncio"):
    initial = "red"

    async def enter(self, state: str, previous: str | None) -> None:
        assert on_asyncio()
        await asyncio.sleep(0)

    async def switch(self) -> str:
        assert on_asyncio()
        self.change("green")
        return self.state


@pytest.mark.parametrize("kind", [Store, Below])
async def test_methods_and_hooks_run_on_asyncio(kind: type[Store]) -> None:
    async with trio.open_nursery() as nursery:
        other = Name("other", Plain)
        watched = await start(nursery, Plain, name=other)
        store = await start(nursery, kind, path="store")
        await store.call(Store.watch, other)
        watched.stop()
        await trio.sleep(1.1)
        ran = await store.call(Store.read)
        store.stop()
        await store.wait()
    assert ran == dict.fromkeys(
        ["init", "handle_continue", "handle_info Down", "handle_info str", "method", "terminate"],
        True,
    )


async def test_a_class_below_may_go_back_to_trio() -> None:
    async with trio.open_nursery() as nursery:
        plain = await start(nursery, AlsoPlain)
        assert not await plain.call(AlsoPlain.where)
        plain.kill()


async def test_a_state_machine_runs_on_asyncio() -> None:
    async with trio.open_nursery() as nursery:
        light = await start(nursery, Light)
        assert [await light.call(Light.switch) for _ in range(2)] == ["red", "green"]
        light.stop()


async def test_a_refusal_leaves_the_actor_alive_and_an_error_ends_it() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="lost")):
        async with trio.open_nursery() as nursery:
            store = await start(nursery, Store)
            with pytest.raises(Full, match="no room"):
                await store.call(Store.refuse)
            assert store.alive
            with pytest.raises(ActorExited, match="lost"):
                await store.call(Store.crash)


async def test_the_caller_is_the_actor_that_calls_from_asyncio() -> None:
    async def asked_from_asyncio() -> str:
        return await from_asyncio.call(store, Store.asked_by)

    class Asking(Server, loop="asyncio"):
        async def ask(self) -> str:
            return await asked_from_asyncio()

    async with trio.open_nursery() as nursery:
        store = await start(nursery, Store)
        asking = await start(nursery, Asking, path="/asking")
        assert await asking.call(Asking.ask) == "/asking"
        nursery.cancel_scope.cancel()


async def test_messages_are_handled_one_after_the_other(autojump_clock: MockClock) -> None:
    order = list[str]()

    class Slow(Server, loop="asyncio"):
        async def work(self, name: str) -> None:
            order.append(f"{name} begins")
            await asyncio.sleep(1)
            order.append(f"{name} ends")

    async with trio.open_nursery() as nursery:
        slow = await start(nursery, Slow)
        async with trio.open_nursery() as calls:
            for name in ("a", "b"):
                calls.start_soon(slow.call, Slow.work, name)
                await trio.sleep(0.1)
        slow.stop()
    assert order == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_reply_may_be_put_off(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        store = await start(nursery, Store)
        assert await store.call(Store.put_off) == "later"
        assert trio.current_time() >= 1
        store.stop()


@pytest.mark.parametrize("method", [Calling.note, Calling.ask_in_a_task])
async def test_a_method_calls_other_actors(method: Any) -> None:
    calling, audit = Name("calling", Calling), Name("audit", Audit)
    async with trio.open_nursery() as nursery:
        await start(nursery, lambda: Audit(calling), name=audit)
        ref = await start(nursery, lambda: Calling(audit), name=calling)
        args = ("it",) if method is Calling.note else ()
        assert (await ref.call(method, *args)).startswith("noted i")
        nursery.cancel_scope.cancel()


async def test_a_call_that_would_never_return_is_refused() -> None:
    calling, audit = Name("calling", Calling), Name("audit", Audit)
    async with trio.open_nursery() as nursery:
        await start(nursery, lambda: Audit(calling), name=audit)
        ref = await start(nursery, lambda: Calling(audit), name=calling)
        said = await ref.call(Calling.ask_for_oneself)
        assert said == f"{audit.process().path} {ref.path} {audit.process().path}"
        nursery.cancel_scope.cancel()


def test_an_unknown_loop_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r'Odd: loop must be "trio" or "asyncio", got .uvloop.'):

        class Odd(Server, loop="uvloop"):  # type: ignore[arg-type]  # pyright: ignore
            pass


async def test_a_runner_runs_functions_on_the_named_loop() -> None:
    async def where() -> bool:
        return on_asyncio()

    found = [await loops.runner(name)(where) for name in (None, "trio", "asyncio")]
    assert found == [False, False, True]
