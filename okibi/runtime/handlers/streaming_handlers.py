"""Run handlers that stream, and send their pieces.

Imported for a streaming handler, or when a handler returns an async iterator or a generator.

An async generator is iterated and closed in the worker's own task, so that its cancel scopes and
nurseries nest correctly. A plain generator runs where a plain `def` runs: each step on the main
thread, under the interrupt; or all steps in one thread, because the generator may hold an object
that belongs to the thread (a database cursor).
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
from ...actors.hook_errors import require_awaitable
from ..codec.json import ResultIsStream, encode_async_def_result
from ..errors.error_response import calls_handler, platform_error
from ..in_flight.delivery import Delivery
from ..in_flight.lane import Lane
from ..process_end.forked_child import exit_child
from ..protocol.outcome import Outcome
from .context import Context
from .handler import Abandon, Handler, Instance, PlainHandler, is_handler, takes_response
from .response import Item, Response

if TYPE_CHECKING:
    from .asyncio_handlers import HandlerLoop

END: Any = object()


class StreamingCall:
    """A call of a handler marked `@streaming`, before its response exists."""

    __slots__ = ("_context", "_event", "_target")

    def __init__(self, target: Callable[..., Any], event: Any, context: Context) -> None:
        self._target = target
        self._event = event
        self._context = context

    @calls_handler
    async def run(self, response: Response) -> object:
        """Call the handler with its response, and return its result."""
        return await self._target(self._event, response, self._context)


def refuse_encoding(_: object) -> Outcome:
    """Take the place of the result encoder, for a handler that always streams.

    Raises:
        ResultIsStream: always.
    """
    raise ResultIsStream


def instance_factory(
    target: Any,
    abandon: Abandon,
    loop: "HandlerLoop | None",
) -> Callable[[], Instance]:
    """Return a factory of instances of a streaming handler.

    Args:
        target: a Handler class, or any callable.
        abandon: called for each abandoned thread (see PlainHandler).
        loop: the asyncio loop, if handlers run on asyncio.
    """
    if not is_handler(target):
        return lambda: StreamingPlainHandler(target, None, abandon)
    if loop is None:
        return lambda: _streamed(target())
    from .asyncio_handlers import AsyncioHandler

    def on_asyncio() -> Instance:
        inner = target()
        return GeneratorHandler(AsyncioHandler(inner, loop), inner.handle)

    return on_asyncio


def _streamed(inner: Any) -> Instance:
    return GeneratorHandler(inner, inner.handle)


class StreamingPlainHandler(PlainHandler):
    """Runs a streaming callable; calling one only creates its generator or coroutine."""

    __slots__ = ()

    @calls_handler
    async def handle(self, event: Any, context: Context) -> object:
        if takes_response(self.target):
            return StreamingCall(self.target, event, context)
        return self.target(event, context)


@attrs.define(eq=False)
class GeneratorHandler(Handler[Any]):
    """Runs a Handler whose `handle` is an async generator.

    Args:
        inner: the user's Handler, or the AsyncioHandler around it.
        items: creates the generator.
    """

    inner: Handler[Any]
    items: Callable[[Any, Context], object]

    async def init(self) -> None:
        # The user's class may be frozen, so bypass its __setattr__.
        object.__setattr__(self.inner, "nursery", self.nursery)
        await require_awaitable(self.inner.init(), self.inner, "init")

    async def handle(self, event: Any, context: Context) -> object:
        return self.items(event, context)

    async def terminate(self, reason: ExitReason) -> None:
        await require_awaitable(self.inner.terminate(reason), self.inner, "terminate")

    def __getattr__(self, name: str) -> Any:
        # The hooks around a snapshot.
        return getattr(self.inner, name)


async def send_stream(
    result: Any,
    instance: Instance,
    lane: Lane,
    delivery: Delivery,
    loop: "HandlerLoop | None",
) -> tuple[Outcome, bool]:
    """Send the pieces of a streaming handler.

    Args:
        result: the handler's result: a StreamingCall, an async iterator or a generator.
        instance: the instance that ran the handler.
        lane, delivery: the event to answer.
        loop: the asyncio loop, if handlers run on asyncio.

    Returns:
        The outcome that ends the response, and whether the instance may serve again.
    """
    scope, returned = trio.CancelScope(), None
    response = Response(lane, delivery, scope.cancel)
    with scope:
        if loop is None or isgenerator(result):
            returned = await _send_all(result, instance, response)
        else:
            from .asyncio_response import AsyncioResponse

            response = AsyncioResponse(lane, delivery, scope.cancel)
            write = result.run if isinstance(result, StreamingCall) else partial(_iterate, result)
            returned = await loop.run_handler(write, response)
        if delivery.other_answers is not None and returned is not None:
            # The adapter has not streamed this answer.
            return encode_async_def_result(returned), True
        return response.finish(), True
    text = f"The stream was cut: {response.over}"
    return platform_error("Runtime.StreamCut", text, delivery.request_id), False


async def _send_all(result: Any, instance: Instance, response: Response) -> object:
    if isinstance(result, StreamingCall):
        return await result.run(response)
    items: Any = result
    # The generator is suspended while its piece is written, so the stack is short.
    response.at_once = True
    if not isgenerator(result):
        await _iterate(items, response)
    elif isinstance(instance, PlainHandler) and instance.interrupt is None:
        await instance.in_thread(partial(_iterate_in_thread, items, response))
    else:
        await _step(items, response, instance)
    return None


async def _iterate(items: AsyncIterator[Item], response: Response) -> None:
    """Send the items of an asynchronous iterator.

    An error of a write is raised in the generator, at the `yield` of the item. This includes
    Cancelled: the scope or nursery may be one that the generator has around its `yield`, and must
    receive its own Cancelled.
    """
    try:
        item: Any = await anext(items, END)
        while item is not END:
            try:
                await response.write(item)
            except BaseException as error:
                if not hasattr(items, "athrow"):
                    raise
                item = await _throw(items, error)
            else:
                item = await anext(items, END)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def _throw(items: Any, error: BaseException) -> Any:
    """Raise an error in a generator and return the next item; END if there is none."""
    try:
        return await items.athrow(error)
    except StopAsyncIteration:
        return END


async def _step(items: Generator[Item], response: Response, instance: Instance) -> None:
    def run(act: Callable[[], Any]) -> Any:
        interrupt = instance.interrupt if isinstance(instance, PlainHandler) else None
        return act() if interrupt is None else interrupt.run(_without_event(act), None, None)

    try:
        item = run(lambda: next(items, END))
        while item is not END:
            try:
                await response.write(item)
            except Exception as error:
                item = run(partial(_throw_plainly, items, error))
            else:
                item = run(lambda: next(items, END))
    finally:
        run(items.close)


def _throw_plainly(items: Generator[Item], error: Exception) -> Any:
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
                # The generator forked, and this is the child, which has no loop.
                exit_child(None)
            try:
                # Not AsyncioResponse.write, which needs a thread of the asyncio loop.
                trio.from_thread.run(Response.write, response, item)
            except Exception as error:
                item = _throw_plainly(items, error)
            else:
                item = next(items, END)
