"""Rings of entities, which okibi takes before the handler sees them."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from okibi import Context, Function, Handler
from okibi.entities import Entities, Entity, EntityStore, MemoryStore
from okibi.entities.alarms import ring_of
from okibi.supervisors import Child
from okibi.testing import FunctionError, running, virtual_time


@attrs.define(eq=False)
class Log(Entity):
    lines: list[str] = attrs.Factory(list[str])

    async def note(self, line: str) -> None:
        self.lines.append(line)

    async def fail(self) -> None:
        raise LookupError("no pen")

    async def plan_failure(self) -> None:
        self.send_after(1, Log.fail)


LOGS = Entities("ring worker log", Log)
KEY = f"{LOGS.kind}/a"


@attrs.frozen
class Line:
    text: str


class Typed(Handler[Line]):
    async def handle(self, event: Line, context: Context) -> str:
        await LOGS["a"].cast(Log.note, event.text)
        return "typed"


def plain(event: Any, context: Context) -> str:
    return "plain"


async def streamed(event: Any, context: Context) -> AsyncIterator[bytes]:
    yield b"streamed"


@pytest.mark.parametrize(
    ("handler", "loop"),
    [(Typed, "trio"), (Typed, "asyncio"), (plain, "trio"), (streamed, "asyncio")],
)
@virtual_time
async def test_a_ring_runs_the_mail_and_not_the_handler(handler: Any, loop: Any) -> None:
    store = MemoryStore()
    children = [Child(lambda: EntityStore(store))]
    async with running(Function(handler, children, loop=loop)) as function:
        is_typed = handler is Typed
        if is_typed:
            assert await function.invoke({"text": "hello"}) == "typed"
            assert store.rows[KEY].mail
        assert await function.invoke(ring_of(KEY)) is None
        assert not is_typed or not store.rows[KEY].mail


async def plan(event: Any, context: Context) -> None:
    await LOGS["a"].call(Log.plan_failure)


@virtual_time
async def test_a_ring_that_fails_is_an_error_that_lambda_repeats() -> None:
    store = MemoryStore()
    async with running(Function(plan, [Child(lambda: EntityStore(store))])) as function:
        with pytest.raises(FunctionError, match="no Entities of this program have its kind"):
            await function.invoke(ring_of("nobody/a"))
        await function.invoke()
        with pytest.raises(FunctionError, match=r"an alarm of .* failed: LookupError: no pen"):
            await function.invoke(ring_of(KEY, 1000))
        assert await function.invoke(ring_of(KEY, 1000)) is None


@virtual_time
async def test_an_event_that_only_looks_like_a_ring_is_the_handlers() -> None:
    async with running(Function(lambda event, context: event)) as function:
        for event in ({"okibi.entities": 1}, ["okibi.entities"], b'{"okibi.entities"'):
            if isinstance(event, bytes):
                with pytest.raises(FunctionError, match="Unable to unmarshal"):
                    await function.invoke(event)
            else:
                assert await function.invoke(event) == event
