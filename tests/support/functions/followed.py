"""Handlers that register functions with `Context.after_response`.

The event names what runs after its response. The answer lists what has run so far.
"""

import asyncio
import io
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import trio

from okibi import Child, Context, Function, Handler, Server

Event = dict[str, str]
ran = list[str]()


def wait(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.001)
    ran.append("wait")


async def wait_on_trio(path: str) -> None:
    while not await trio.Path(path).exists():  # noqa: ASYNC110, of the test
        await trio.sleep(0.001)
    ran.append("wait_on_trio")


async def wait_on_asyncio(path: str) -> None:
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240, of the test
        await asyncio.sleep(0.001)
    ran.append("wait_on_asyncio")


def fail(_: str) -> None:
    raise ValueError("the invoker has its answer")


def sleep(_: str) -> None:
    time.sleep(60)


async def sleep_on_trio(_: str) -> None:
    await trio.sleep_forever()


async def shield(_: str) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(3)


async def block(_: str) -> None:
    time.sleep(60)  # noqa: ASYNC251, it blocks the loop


def hold(_: str) -> None:
    re.match("(a*)*b", "a" * 60)


def register(event: Event, context: Context) -> list[str]:
    """Register a function named by the event, and return the names of those that have run."""
    if "function" in event:
        context.after_response(globals()[event["function"]], event.get("path", ""))
    if event.get("raise"):
        raise ValueError("the handler's own")
    return [*ran]


def plain(event: Event, context: Context) -> list[str]:
    return register(event, context)


async def asynchronous(event: Event, context: Context) -> list[str]:
    return register(event, context)


async def late(event: Event, context: Context) -> list[str]:
    names = register(event, context)
    if event:
        await trio.sleep_forever()
    return names


async def stream(event: Event, context: Context) -> AsyncIterator[str]:
    yield '["'
    yield '", "'.join(register(event, context)) + '"]'


class Class(Handler[Event]):
    async def handle(self, event: Event, context: Context) -> Any:
        return register(event, context)


class Interrupted(Handler[Event]):
    """Replaces standard output by one whose next flush raises SystemExit."""

    async def init(self) -> None:
        self.nursery.start_soon(self.clean_up)

    async def clean_up(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)

    async def handle(self, event: Event, context: Context) -> Any:
        if event:
            stdout, sys.stdout = sys.stdout, io.StringIO()

            def flush() -> None:
                sys.stdout = stdout
                raise SystemExit

            sys.stdout.flush = flush  # type: ignore[method-assign]
        return register(event, context)


@attrs.define(eq=False)
class Beside(Server): ...


in_thread = Function(handler=plain, children=[Child(Beside)])
