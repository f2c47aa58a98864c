"""Handler, the base class with state and an event type; any other callable as a handler."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeGuard, TypeVar, get_args, get_origin

import trio

from ...actors import ExitReason
from ..deadlines.interrupt import DeadlineInterrupt
from ..in_flight.stream import RESPONSE
from ..logs.invocation_context import request_id
from .context import Context

if TYPE_CHECKING:
    from .handler_thread import HandlerThread
    from .response import Item

Event = TypeVar("Event")
# Called with the name of an abandoned thread and a function: whether the thread still runs.
Abandon = Callable[[str, Callable[[], bool]], None]
_NEVER_AWAITABLE = frozenset({dict, list, str, bytes, int, float, bool, type(None)})


class Handler(Generic[Event]):
    """Serves events; each worker creates one instance and keeps the instance across invocations.

        @attrs.frozen
        class Greeting:
            name: str

        class Greeter(Handler[Greeting]):
            async def handle(self, event: Greeting, context: Context) -> dict[str, object]:
                return {"message": f"hello {event.name}"}

    The event is decoded into the type in the brackets: an attrs class, a dataclass, a
    msgspec.Struct, a TypedDict, a built-in container, a pydantic model, HttpEvent, or Any. An event
    that does not fit is answered with `Runtime.UnmarshalError`, which names the field.

    After `handle` raises or times out, the worker cancels the instance's tasks, calls `terminate`,
    and creates a new instance.

    Attributes:
        nursery: the nursery for background tasks. They may run between invocations, and end with
            the instance.
    """

    __slots__ = ("__weakref__", "nursery")

    nursery: trio.Nursery

    async def init(self) -> None:
        """Prepare, before the first event. An exception here fails the start."""

    # A plain `def`, so that a subclass may override with an `async def` or an async generator.
    def handle(self, event: Event, context: Context) -> "Awaitable[object] | AsyncIterator[Item]":
        """Answer one event: an `async def`, or an async generator.

        A returned value is sent as JSON, bytes unchanged. Each yielded piece is sent at once
        (`okibi.runtime.handlers.response`).

        Args:
            event: the decoded event.
            context: the invocation's context object.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a `handle`")

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up when the instance ends: within 1 s, or 0.1 s if the process ends.

        Args:
            reason: why the instance ends.
        """


class Instance(Protocol):
    """The object that a worker runs: a Handler, or a callable wrapped as one."""

    nursery: trio.Nursery

    async def init(self) -> None: ...

    # The worker awaits an awaitable. Any other value is the result, and blocked the loop meanwhile.
    def handle(self, event: Any, context: Context, /) -> object: ...

    async def terminate(self, reason: ExitReason, /) -> None: ...


class PlainHandler(Handler[Any]):
    """Runs a callable, as AWS's own Python runtime does.

    Args:
        target: `handler(event, context)`. An awaitable result is awaited. For a coroutine function
            see `AsyncHandler`.
        interrupt: interrupts a plain `def` on the main thread at the deadline. None: run the
            target in a thread of this handler, which cannot be ended, only abandoned.
        abandon: called for each abandoned thread, and for each thread that could not be started.
    """

    __slots__ = ("_thread", "abandon", "interrupt", "target")

    def __init__(
        self,
        target: Callable[[Any, Context], Any],
        interrupt: DeadlineInterrupt | None,
        abandon: Abandon,
    ) -> None:
        self.target = target
        self.interrupt = interrupt
        self.abandon = abandon
        self._thread: HandlerThread | None = None

    def handle(self, event: Any, context: Context) -> object:  # type: ignore[override]
        if self.interrupt is None:
            return self._in_thread(event, context)
        return self.convert_result(self.interrupt.run(self.target, event, context))

    def convert_result(self, result: object) -> object:
        """Convert the target's result for the worker, which awaits an awaitable."""
        return result

    async def _in_thread(self, event: Any, context: Context) -> object:
        result = self.convert_result(await self.in_thread(partial(self.target, event, context)))
        return await result if is_awaitable(result) else result

    async def run_function(self, function: Callable[[], object]) -> None:
        """Run another function where the target runs, and await an awaitable result."""
        if self.interrupt is None:
            result = await self.in_thread(function)
        else:
            result = self.interrupt.run(_call_first, function, None)
        result = self.convert_result(result)
        if is_awaitable(result):
            await result

    async def in_thread(self, act: Callable[[], object]) -> object:
        """Run part of the handler in the handler's thread; a cancellation abandons the thread."""
        thread = self._thread
        if thread is None:
            # Not needed while one event is served at a time, so imported late.
            from .handler_thread import HandlerThread

            thread = self._thread = HandlerThread(self.nursery)
        try:
            return await thread.call(act)
        except trio.Cancelled:
            self._thread = None
            thread.abandon()
            if thread.refused:
                # While the system refuses threads, no worker can serve an event.
                self.abandon(f"what keeps {request_id()} from a thread", lambda: thread.refused)
            else:
                self.abandon(f"the thread of {request_id()}", lambda: thread.running)
            raise


def _call_first(function: Callable[[], object], _: object) -> object:
    return function()


class AsyncHandler(Handler[Any]):
    """Runs an `async def`; the worker awaits the user's coroutine directly.

    Args:
        handle: `handler(event, context)`, a coroutine function.
    """

    __slots__ = ("handle",)

    def __init__(self, handle: Callable[[Any, Context], Awaitable[object]]) -> None:
        self.handle = handle  # type: ignore[method-assign, assignment]


def is_awaitable(result: object) -> TypeGuard[Awaitable[object]]:
    """Return whether a handler's result has to be awaited."""
    # The type decides most cases; `inspect.isawaitable` asks an abstract base class.
    kind = type(result)
    return kind is CoroutineType or (kind not in _NEVER_AWAITABLE and inspect.isawaitable(result))


def is_async(target: object) -> bool:
    """Return whether a callable is a coroutine function, as far as known without a call."""
    return _is(target, inspect.iscoroutinefunction)


def yields(target: object) -> bool:
    """Return whether a callable is a generator function."""
    return _is(target, inspect.isgeneratorfunction)


def _is(target: object, kind: Callable[[object], bool]) -> bool:
    call: object = getattr(target, "__call__", None)  # noqa: B004, the attribute itself is inspected
    return kind(target) or kind(call)


def streams(target: Any) -> bool:
    """Return whether a handler streams its response, as far as known without a call.

    A plain generator function is called as any plain `def`; its result is a generator.
    """
    target = target.handle if is_handler(target) else target
    return takes_response(target) or _is(target, inspect.isasyncgenfunction)


def takes_response(target: Any) -> bool:
    """Return whether a callable, or the function of a partial, is marked with `@streaming`."""
    while isinstance(target, partial):
        target = target.func
    # A mock or proxy has every attribute, so compare with True.
    return getattr(target, RESPONSE, None) is True


def event_type(handler: type[Handler[Any]]) -> Any:
    """Return the type in a Handler's brackets, with type variables substituted.

    >>> from typing import Generic, TypeVar
    >>> T = TypeVar("T")
    >>> class Logged(Handler[list[T]], Generic[T]): ...
    >>> class Numbers(Logged[int]): ...
    >>> event_type(Numbers)
    list[int]
    """
    return _argument(handler, {})


def _argument(cls: type[Any], known: dict[Any, Any]) -> Any:
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin: Any = get_origin(base) or base
        if not is_handler(origin):
            continue
        given = [_substitute(argument, known) for argument in get_args(base)]
        if origin is Handler:
            return given[0] if given else Any
        parameters = getattr(origin, "__parameters__", ())
        return _argument(origin, dict(zip(parameters, given, strict=False)))
    return Any


def is_handler(cls: Any) -> bool:
    """Return whether a value is a subclass of Handler."""
    return isinstance(cls, type) and issubclass(cls, Handler)


def _substitute(argument: Any, known: dict[Any, Any]) -> Any:
    if isinstance(argument, TypeVar):
        return known.get(argument, Any)
    inner = getattr(argument, "__parameters__", ())
    return argument[tuple(known.get(p, Any) for p in inner)] if inner else argument
