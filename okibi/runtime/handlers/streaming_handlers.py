"""Handlers that answer piece by piece, and how what they say is sent.

Imported by a function with such a handler, or when a handler returns what is no value but a
stream: an async iterator, or a generator.

An async generator is iterated in the worker's own task, so that its scopes and nurseries are in
order, and closed there. A plain generator runs where a plain `def` does: each of its steps on the
main thread, under the alarm, or all of it in one thread, since what it holds (a cursor) may belong
to that.
"""

import os
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from functools import partial
from inspect import isgenerator
from typing import TYPE_CHECKING, Any

import attrs
import trio

from ...actors import ExitReason
from ...actors.hook_errors import awaited
from ..codec.json import ResultIsStream
from ..errors.error_response import calls_handler, platform_error
from ..in_flight.delivery import Delivery
from ..in_flight.lane import Lane
from ..process.forked_child import end_child
from ..protocol.outcome import Outcome
from .context import Context
from .handler import Abandon, Handler, Instance, PlainHandler, is_handler, takes_response
from .response import Item, Response

if TYPE_CHECKING:
    from .asyncio_loop.loop import AsyncioLoop

END: Any = object()


class StreamingCall:
    """A handler that is to be given its response, with its event."""

    __slots__ = ("_context", "_event", "_target")

    def __init__(self, target: Callable[..., Any], event: Any, context: Context) -> None:
        self._target = target
        self._event = event
        self._context = context

    @calls_handler
    async def run(self, response: Response) -> None:
        """Have it write its answer."""
        await self._target(self._event, response, self._context)


def refuse_encoding(_: object) -> Outcome:
    """What stands in for the encoder of results.

    Raises:
        ResultIsStream: always.
    """
    raise ResultIsStream


def instance_factory(
    target: Any,
    abandon: Abandon,
    loop: "AsyncioLoop | None",
) -> Callable[[], Instance]:
    """What makes the instances of a handler that streams.

    Args:
        target: a Handler class, or any callable.
        abandon: as a PlainHandler's.
        loop: asyncio's, if handlers run there.
    """
    if not is_handler(target):
        return lambda: StreamingPlainHandler(target, None, abandon)
    if loop is None:
        return lambda: _streamed(target())
    from .asyncio_loop.asyncio_handlers import AsyncioHandler

    def on_asyncio() -> Instance:
        inner = target()
        return GeneratorHandler(AsyncioHandler(inner, loop), inner.handle)

    return on_asyncio


def _streamed(inner: Any) -> Instance:
    return GeneratorHandler(inner, inner.handle)


class StreamingPlainHandler(PlainHandler):
    """A callable that streams: called, it has not run yet."""

    __slots__ = ()

    @calls_handler
    async def handle(self, event: Any, context: Context) -> object:
        if takes_response(self.target):
            return StreamingCall(self.target, event, context)
        return self.target(event, context)


@attrs.define(eq=False)
class GeneratorHandler(Handler[Any]):
    """A Handler whose `handle` is an async generator.

    Args:
        inner: the user's own, or what runs it on asyncio.
        items: makes the generator.
    """

    inner: Handler[Any]
    items: Callable[[Any, Context], object]

    async def init(self) -> None:
        # Past the class's own __setattr__: it may be a frozen one.
        object.__setattr__(self.inner, "nursery", self.nursery)
        await awaited(self.inner.init(), self.inner, "init")

    async def handle(self, event: Any, context: Context) -> object:
        return self.items(event, context)

    async def terminate(self, reason: ExitReason) -> None:
        await awaited(self.inner.terminate(reason), self.inner, "terminate")

    def __getattr__(self, name: str) -> Any:
        # Its hooks around a snapshot.
        return getattr(self.inner, name)


async def send_stream(
    result: Any,
    instance: Instance,
    lane: Lane,
    delivery: Delivery,
    loop: "AsyncioLoop | None",
) -> tuple[Outcome, bool]:
    """Send what a handler streams.

    Args:
        result: what it has returned.
        instance: what it was run by.
        lane, delivery: what it answers.
        loop: where asynchronous code runs, if not here.

    Returns:
        What ends the answer, and whether the instance may be trusted again.
    """
    scope = trio.CancelScope()
    response = Response(lane, delivery, scope.cancel)
    with scope:
        if loop is None or isgenerator(result):
            await _say_all(result, instance, response)
        else:
            from .asyncio_loop.asyncio_response import AsyncioResponse

            response = AsyncioResponse(lane, delivery, scope.cancel)
            write = result.run if isinstance(result, StreamingCall) else partial(_iterate, result)
            await loop.run(write, response)
        return response.finish(), True
    text = f"The stream was cut: {response.over}"
    return platform_error("Runtime.StreamCut", text, delivery.request_id), False


async def _say_all(result: Any, instance: Instance, response: Response) -> None:
    if isinstance(result, StreamingCall):
        await result.run(response)
        return
    items: Any = result
    # What gives the pieces is suspended while they are written.
    response.at_once = True
    if not isgenerator(result):
        await _iterate(items, response)
    elif isinstance(instance, PlainHandler) and instance.alarm is None:
        await instance.in_thread(partial(_iterate_in_thread, items, response))
    else:
        await _step(items, response, instance)


async def _iterate(items: AsyncIterator[Item], response: Response) -> None:
    """Send what an asynchronous iterator gives.

    What goes wrong with an item is raised in the generator, where it was made: also a Cancelled
    from the wait for the connection, which may be of a scope, or a nursery, that the generator has
    around its `yield`, and is that one's to take.
    """
    try:
        item: Any = await anext(items, END)
        while item is not END:
            try:
                await response.write(item)
            except BaseException as error:
                if not hasattr(items, "athrow"):
                    raise
                item = await _thrown(items, error)
            else:
                item = await anext(items, END)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def _thrown(items: Any, error: BaseException) -> Any:
    """The next item of a generator in which an error is raised; END if it has no other."""
    try:
        return await items.athrow(error)
    except StopAsyncIteration:
        return END


async def _step(items: Generator[Item], response: Response, instance: Instance) -> None:
    def run(act: Callable[[], Any]) -> Any:
        alarm = instance.alarm if isinstance(instance, PlainHandler) else None
        return act() if alarm is None else alarm.run(_without_event(act), None, None)

    try:
        item = run(lambda: next(items, END))
        while item is not END:
            try:
                await response.write(item)
            except Exception as error:
                item = run(partial(_thrown_plainly, items, error))
            else:
                item = run(lambda: next(items, END))
    finally:
        run(items.close)


def _thrown_plainly(items: Generator[Item], error: Exception) -> Any:
    try:
        return items.throw(error)
    except StopIteration:
        return END


def _without_event(act: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    return lambda event, context: act()


def _iterate_in_thread(items: Generator[Item], response: Response) -> None:
    own = os.getpid()
    with closing(items):
        item: Any = next(items, END)
        while item is not END:
            if os.getpid() != own:
                # It has forked, and this is the child: there is no loop here.
                end_child(None)
            try:
                # Past asyncio's way, if there is one: this is none of its threads.
                trio.from_thread.run(Response.write, response, item)
            except Exception as error:
                item = _thrown_plainly(items, error)
            else:
                item = next(items, END)
