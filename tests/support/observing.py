"""An observer that notes events, and a handler of each kind that tests observe."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs
import pytest
import trio

from okibi import Child, Context, Function, Handler, Server, telemetry
from okibi.testing import FunctionError, RunningFunction

CURRENT: ContextVar[str] = ContextVar("CURRENT", default="")


@attrs.frozen
class Seen:
    """What an observer has been told of one event."""

    request_id: str
    event: Any
    error_type: str | None
    error: BaseException | None
    result: Any


@attrs.define(eq=False)
class Observer:
    """Notes each event; its context variable is the event's request id."""

    begun: list[str] = attrs.field(factory=list)
    ended: list[Seen] = attrs.field(factory=list)
    left_in_own_context: list[bool] = attrs.field(factory=list)

    @contextmanager
    def observe(self, observed: telemetry.ObservedEvent) -> Iterator[None]:
        request_id = observed.context.aws_request_id
        self.begun.append(request_id)
        CURRENT.set(request_id)
        yield
        self.left_in_own_context.append(CURRENT.get() == request_id)
        self.ended.append(
            Seen(request_id, observed.event, observed.error_type, observed.error, observed.result)
        )

    def outcomes(self) -> list[str | None]:
        """Return the error types, after a check that each event has begun and ended once."""
        assert sorted(self.begun) == sorted(each.request_id for each in self.ended)
        assert len({*self.begun}) == len(self.begun)
        assert all(self.left_in_own_context)
        return [each.error_type for each in self.ended]


# -- handlers: each does what its event says, and answers with the context variable


def act(event: Any) -> str:
    match event:
        case "raise":
            raise ValueError("asked for")
        case "exit":
            raise SystemExit(3)
        case _:
            return CURRENT.get()


def plain(event: Any, context: Context) -> str:
    if event == "sleep":
        time.sleep(5)
        # Its thread may have been left behind, and another test run.
        return ""
    return act(event)


async def on_trio(event: Any, context: Context) -> str:
    await trio.lowlevel.checkpoint()
    if event == "sleep":
        await trio.sleep_forever()
    return act(event)


async def on_asyncio(event: Any, context: Context) -> str:
    import asyncio

    await asyncio.sleep(0)
    if event == "sleep":
        await asyncio.sleep(100)
    return await asyncio.to_thread(act, event)


class Class(Handler[str]):
    async def handle(self, event: str, context: Context) -> str:
        if event == "crash beside":
            self.nursery.start_soon(on_trio, "raise", context)
            event = "sleep"
        return await on_trio(event, context)


@attrs.define(eq=False)
class Beside(Server): ...


async def stream(event: Any, context: Context) -> AsyncIterator[str]:
    yield '"'
    yield await on_trio(event, context)
    yield '"'


def in_parts(event: Any, context: Context) -> Iterator[str]:
    yield '"'
    yield plain(event, context)
    yield '"'


HANDLERS: dict[str, Callable[[], Any]] = {
    "def": lambda: plain,
    "def in a thread": lambda: Function(plain, [Child(Beside)]),
    "generator": lambda: in_parts,
    "async def": lambda: on_trio,
    "on asyncio": lambda: Function(on_asyncio, loop="asyncio"),
    "Handler": lambda: Class,
    "stream": lambda: stream,
    "stream in a Function": lambda: Function(stream, [Child(Beside)]),
}


def text_of(answer: Any) -> Any:
    """Return the text of an answer, also of a stream."""
    return json.loads(answer) if isinstance(answer, bytes) else answer


async def invoke_and_kill(app: RunningFunction, **options: Any) -> None:
    """Invoke a handler of these that sleeps, and kill the workers meanwhile."""

    async def invoke() -> None:
        with pytest.raises(FunctionError, match=r"Runtime.WorkerExited"):
            await app.invoke("sleep", **options)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(invoke)
        await trio.sleep(0.1)
        for n in range(2):
            await app.kill(f"lambda/workers/worker-{n}")


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what a thread does."""
    with trio.fail_after(15):
        while not condition():  # noqa: ASYNC110, of a thread
            await trio.sleep(0.005)
