"""Entities as a user writes them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import pytest
import trio
from msgspec.structs import replace

from okibi import Child, Function
from okibi.actors import CallCycle, Refusal
from okibi.entities import (
    CallLate,
    Entities,
    Entity,
    EntityCrashed,
    EntityRefused,
    EntityStore,
    MemoryStore,
    NoEntityStore,
    StateError,
)
from okibi.entities.entities import CURRENT, MOST_NUMBERS
from okibi.entities.messages import may_wait
from okibi.supervisors import SupervisorSpec, supervise
from okibi.testing import running, virtual_time


class SoldOut(Refusal):
    pass


@attrs.frozen
class Line:
    article: str
    count: int


@attrs.define(eq=False)
class Cart(Entity):
    lines: dict[str, Line] = attrs.Factory(dict[str, Line])
    version: ClassVar[int] = 2

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        return {"lines": {name: Line(name, 1) for name in fields["articles"]}}

    async def add(self, article: str, count: int = 1) -> Line:
        await trio.lowlevel.checkpoint()
        had = self.lines.get(article, Line(article, 0))
        line = self.lines[article] = attrs.evolve(had, count=had.count + count)
        return line

    async def add_many(self, count: int) -> None:
        self.lines["x" * count] = Line("x", count)

    async def read_all(self) -> str:
        self.lines["read"] = Line("read", 1)
        return "x".join(self.lines)

    async def refuse_all(self) -> None:
        raise SoldOut("x".join(self.lines))

    async def add_line(self, line: Line) -> int:
        self.lines[line.article] = line
        return len(self.lines)

    async def fail(self, error: str) -> None:
        self.lines.clear()
        raise SoldOut(error) if error == "sold out" else LookupError(error)

    async def wait(self) -> None:
        await trio.sleep_forever()

    async def ask(self, other: str) -> Line:
        return await CARTS[other].call(Cart.ask_back, "bob")

    async def ask_back(self, other: str) -> Line:
        return await CARTS[other].call(Cart.add, "tea")


CARTS = Entities("cart", Cart)


@asynccontextmanager
async def started(store: MemoryStore | None = None) -> AsyncGenerator[MemoryStore]:
    store = store or MemoryStore()
    async with trio.open_nursery() as nursery:
        spec = SupervisorSpec([Child(lambda: EntityStore(store))])
        top = await supervise(nursery, spec)
        yield store
        top.stop()


@virtual_time
async def test_an_entity_keeps_its_state_and_answers_with_types() -> None:
    async with started() as store:
        assert await CARTS["bob"].call(Cart.add, "tea") == Line("tea", 1)
        assert await CARTS["bob"].call(Cart.add, "tea", count=2) == Line("tea", 3)
        assert await CARTS["eve"].call(Cart.add_line, Line("cup", 1)) == 1
    assert {*store.rows} == {"cart/bob", "cart/eve"}
    async with started(store):
        assert await CARTS["bob"].call(Cart.add, "tea") == Line("tea", 4)


@virtual_time
async def test_callers_at_once_lose_nothing() -> None:
    async with started():
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(CARTS["hot"].call, Cart.add, "tea")
        assert await CARTS["hot"].call(Cart.add, "tea") == Line("tea", 51)


@virtual_time
async def test_a_call_once_runs_once() -> None:
    async with started():
        for _ in range(3):
            assert await CARTS["bob"].once("event-1").call(Cart.add, "tea") == Line("tea", 1)
        assert await CARTS["bob"].once("event-2").call(Cart.add, "tea") == Line("tea", 2)
        # The key of an event serves for each of its steps.
        assert await CARTS["bob"].once("event-1").call(Cart.add_line, Line("cup", 1)) == 2


@virtual_time
async def test_a_call_once_runs_again_after_a_crash_not_after_a_refusal() -> None:
    async with started():
        await CARTS["bob"].call(Cart.add, "tea")
        # The second time, mail waits, so the caller posts its message.
        for key in ("event-1", "event-2"):
            cart = CARTS["bob"].once(key)
            with pytest.raises(EntityCrashed, match="LookupError: gone"):
                await cart.call(Cart.fail, "gone")
            for error in ("sold out", "gone"):
                with pytest.raises(SoldOut, match="sold out"):
                    await cart.call(Cart.fail, error)
            await CARTS["bob"].cast(Cart.add, "tea")
        assert await CARTS["bob"].call(Cart.add, "tea") == Line("tea", 4)


@virtual_time
async def test_a_cast_runs_before_the_next_call() -> None:
    async with started():
        for _ in range(3):
            await CARTS["bob"].cast(Cart.add, "tea")
        assert await CARTS["bob"].call(Cart.add, "tea") == Line("tea", 4)


@virtual_time
async def test_a_method_that_raises_leaves_the_state() -> None:
    async with started():
        await CARTS["bob"].call(Cart.add, "tea")
        with pytest.raises(SoldOut, match="sold out"):
            await CARTS["bob"].call(Cart.fail, "sold out")
        with pytest.raises(EntityCrashed, match=r"of cart/bob failed: LookupError: gone"):
            await CARTS["bob"].call(Cart.fail, "gone")
        assert await CARTS["bob"].call(Cart.add, "tea") == Line("tea", 2)


@virtual_time
async def test_entities_that_would_wait_for_each_other_are_told() -> None:
    async with started():
        with pytest.raises(EntityCrashed, match="cart/bob -> cart/eve -> cart/bob"):
            await CARTS["bob"].call(Cart.ask, "eve")


@virtual_time
async def test_an_entity_that_calls_itself_is_told() -> None:
    async with started():
        with pytest.raises(EntityCrashed, match=r"CallCycle.* cart/bob -> cart/bob"):
            await CARTS["bob"].call(Cart.ask_back, "bob")
    assert issubclass(CallCycle, RuntimeError)


@virtual_time
async def test_older_state_is_upgraded_and_newer_state_refused() -> None:
    async with started() as store:
        await CARTS["bob"].call(Cart.add, "tea")
        old = '{"version":1,"fields":{"articles":["tea","cup"]}}'
        store.rows["cart/bob"] = replace(store.rows["cart/bob"], state=old)
        assert await CARTS["bob"].call(Cart.add, "cup") == Line("cup", 2)
        new = '{"version":3,"fields":{}}'
        store.rows["cart/bob"] = replace(store.rows["cart/bob"], state=new)
        with pytest.raises(EntityCrashed, match=r"Cart has version 2, and version 3 has saved"):
            await CARTS["bob"].call(Cart.add, "cup")


@virtual_time
async def test_a_late_call_raises_before_the_deadline_of_its_caller() -> None:
    async with started():
        for cup in (Line("cup", 0), Line("cup", 1)):
            with pytest.raises(CallLate), trio.fail_after(2):
                await CARTS["bob"].call(Cart.wait)
            # Mail that waits takes the caller off the quiet path.
            await CARTS["bob"].cast(Cart.add_line, cup)


@attrs.define(eq=False)
class Counted(Entity):
    async def count(self) -> int:
        return 1

    async def enter(self) -> None:
        async with trio.Lock():
            pass

    async def loop(self) -> None:
        async for _ in stream():
            pass

    async def collect(self) -> list[int]:
        return [each async for each in stream()]

    def hand_on(self) -> Awaitable[None]:
        return self.enter()

    waiting = staticmethod(trio.sleep)


async def stream() -> AsyncGenerator[int]:
    yield 1


@pytest.mark.parametrize(
    ("method", "waits"),
    [
        ("count", False),
        ("enter", True),
        ("loop", True),
        ("collect", True),
        ("hand_on", True),
        ("waiting", True),
    ],
)
def test_only_an_async_def_without_await_cannot_wait(method: str, waits: bool) -> None:
    assert may_wait(getattr(Counted, method)) is waits


@virtual_time
async def test_the_deadline_ends_a_method_that_waits_where_its_parent_does_not() -> None:
    @attrs.define(eq=False)
    class Patient(Counted):
        async def count(self) -> int:
            await trio.sleep_forever()

    patients = Entities("patient", Patient)
    async with started():
        with pytest.raises(CallLate), trio.fail_after(2):
            await patients["bob"].call(Counted.count)


@virtual_time
async def test_callers_at_once_lose_nothing_where_the_method_cannot_wait() -> None:
    async with started():
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(CARTS["hot"].call, Cart.add_line, Line(f"{number}", 1))
        assert await CARTS["hot"].call(Cart.add_line, Line("20", 1)) == 21


@virtual_time
async def test_without_a_store_a_call_says_what_to_add() -> None:
    with pytest.raises(NoEntityStore, match=r"add Child\(EntityStore\)"):
        await CARTS["bob"].call(Cart.add, "tea")


@virtual_time
async def test_entities_are_called_from_asyncio() -> None:
    async def handler(event: object, context: object) -> int:
        await asyncio.sleep(0.1)
        await CARTS["bob"].cast(Cart.add, "tea")
        return (await CARTS["bob"].call(Cart.add, "tea", count=2)).count

    function = Function(handler, children=[Child(EntityStore)], loop="asyncio")
    async with running(function) as app:
        assert await app.invoke() == 3


@virtual_time
async def test_two_classes_of_one_kind_are_refused() -> None:
    @attrs.define(eq=False)
    class Other(Entity):
        async def look(self) -> None: ...

    baskets, other = Entities("basket", Cart), Entities("basket", Other)
    async with started():
        await baskets["bob"].call(Cart.add, "tea")
        with pytest.raises(TypeError, match=r"basket of Cart> and .*Other> have one kind"):
            await other["bob"].call(Other.look)


@virtual_time
async def test_wrong_arguments_are_refused_before_the_message_is_sent() -> None:
    call: Any = CARTS["bob"].call
    async with started() as store:
        with pytest.raises(TypeError, match="missing a required argument: 'article'"):
            await call(Cart.add)
        with pytest.raises(TypeError, match="an argument cannot be sent"):
            await call(Cart.add, object())
        assert not store.rows


def test_a_field_that_cannot_be_saved_is_refused_when_the_class_is_made() -> None:
    class Socket:
        pass

    with pytest.raises(TypeError, match=r"Chat\.sockets cannot be saved: Socket has no JSON"):

        @attrs.define(eq=False)
        class Chat(Entity):
            sockets: list[Socket] = attrs.Factory(list[Socket])

    class Plain(Entity):
        pass

    with pytest.raises(TypeError, match=r"Plain is no attrs class"):
        Entities("plain", Plain)


@virtual_time
async def test_a_state_that_is_too_large_fails_its_message() -> None:
    async with started():
        with pytest.raises(EntityCrashed, match="and 262144 can be saved: keep long lists"):
            await CARTS["bob"].call(Cart.add_many, 300_000)
    assert issubclass(StateError, Exception)


@virtual_time
async def test_a_large_message_is_refused_and_a_large_reply_fails_its_message() -> None:
    async with started() as store:
        with pytest.raises(ValueError, match=r"to Cart\.add has 40025 bytes of JSON, and 32768"):
            await CARTS["bob"].call(Cart.add, "x" * 40_000)
        assert not store.rows
        await CARTS["bob"].call(Cart.add_many, 40_000)
        with pytest.raises(
            EntityCrashed, match=r"the reply has 400.. bytes of JSON, and 32768 can"
        ):
            await CARTS["bob"].call(Cart.read_all)
        assert "read" not in store.rows["cart/bob"].state
        with pytest.raises(EntityRefused, match="xxx"):
            await CARTS["bob"].call(Cart.refuse_all)
        with pytest.raises(ValueError, match="message to Cart"):
            await CARTS["bob"].cast(Cart.add, "x" * 40_000)


@attrs.frozen
class Tree:
    name: str = ""
    branches: "list[Tree]" = attrs.Factory(list)


@attrs.frozen
class Hidden:
    _name: str = ""


def test_a_field_that_would_lose_its_value_is_refused_when_the_class_is_made() -> None:
    @attrs.define(eq=False)
    class Forest(Entity):
        trees: list[Tree] = attrs.Factory(list[Tree])

    with pytest.raises(TypeError, match=r"Safe\.items cannot be saved.* as Hidden\._name; rename"):

        @attrs.define(eq=False)
        class Safe(Entity):
            items: dict[str, Hidden] = attrs.Factory(dict[str, Hidden])

    with pytest.raises(TypeError, match=r"Doc\.version is the version of the fields: write"):

        @attrs.define(eq=False)
        class Doc(Entity):
            version: int = 1  # type: ignore[misc]

    with pytest.raises(TypeError, match=r"User\.name needs a default: a new entity starts"):

        @attrs.define(eq=False)
        class User(Entity):
            name: str


@virtual_time
async def test_the_numbers_of_messages_take_bounded_memory() -> None:
    async with started():
        for number in range(MOST_NUMBERS + 2):
            await CARTS[str(number)].call(Cart.add, "tea")
        assert len(CURRENT.get().senders) == 1
        assert len(CURRENT.get().senders[0].numbers) == 1
