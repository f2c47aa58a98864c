"""Handlers: a class with state and an event type, or any callable."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeGuard, TypeVar, get_args, get_origin

import attrs
import trio

from ...actors import ExitReason
from ..deadlines.interrupt import Alarm
from ..in_flight.stream import RESPONSE
from ..telemetry.invocation_context import request_id
from .context import Context

if TYPE_CHECKING:
    from .handler_thread import HandlerThread
    from .response import Item

Event = TypeVar("Event")
Abandon = Callable[[str, Callable[[], bool]], None]
"""Told of a thread that was let go of: whose it is, and how to see whether it still runs."""
_NO_AWAITABLE = frozenset({dict, list, str, bytes, int, float, bool, type(None)})


class Handler(Generic[Event]):
    """What serves events: one instance a worker, made once, kept warm across invocations.

        @attrs.frozen
        class Greeting:
            name: str

        class Greeter(Handler[Greeting]):
            async def handle(self, event: Greeting, context: Context) -> dict[str, object]:
                return {"message": f"hello {event.name}"}

    The event is decoded into the type in the brackets (attrs, dataclasses, msgspec, TypedDict,
    plain containers; Any for whatever comes) before `handle` sees it; one that does not fit is
    answered with `Runtime.UnmarshalError`, naming the field.

    An instance whose `handle` raised or ran out of time is not trusted again: its tasks end, its
    `terminate` runs, and the worker makes a new one.

    Attributes:
        nursery: for tasks that may go on between invocations; they end with the instance.
    """

    __slots__ = ("__weakref__", "nursery")

    nursery: trio.Nursery

    async def init(self) -> None:
        """Get ready, before the first event; what it raises fails the start."""

    # No `async def`: an async generator is none, and may stand in its place.
    def handle(self, event: Event, context: Context) -> "Awaitable[object] | AsyncIterator[Item]":
        """Answer one event. What it returns is sent as JSON, bytes as they are; what it yields is
        sent at once, piece by piece (`okibi.runtime.handlers.response`).
        """
        raise NotImplementedError(f"{type(self).__name__} needs a `handle`")

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up, within the worker's grace."""


class Instance(Protocol):
    """What a worker owns: a Handler, or a plain callable dressed as one."""

    nursery: trio.Nursery

    async def init(self) -> None: ...

    # What can be awaited is; anything else is the result, and has held the loop until it was there.
    def handle(self, event: Any, context: Context, /) -> object: ...

    async def terminate(self, reason: ExitReason, /) -> None: ...


class PlainHandler(Handler[Any]):
    """A callable as a handler, as AWS's own Python runtime takes it.

    Args:
        target: `handler(event, context)`; an awaitable that it returns is awaited. (What is a
            coroutine function to begin with is an `AsyncHandler`.)
        alarm: what ends a plain `def` on the main thread at its deadline; None to run it in a
            thread of this handler's own, which cannot be ended, only abandoned.
        abandon: told of each such thread, and how to see whether it still runs; and of each that
            could not be started, and whether none could since.
    """

    __slots__ = ("_thread", "abandon", "alarm", "target")

    def __init__(
        self,
        target: Callable[[Any, Context], Any],
        alarm: Alarm | None,
        abandon: Abandon,
    ) -> None:
        self.target = target
        self.alarm = alarm
        self.abandon = abandon
        self._thread: HandlerThread | None = None

    def handle(self, event: Any, context: Context) -> object:  # type: ignore[override]
        if self.alarm is None:
            return self._in_thread(event, context)
        return self.result_of(self.alarm.run(self.target, event, context))

    def result_of(self, result: object) -> object:
        """What a plain target's result is to the worker: an awaitable is awaited as it is."""
        return result

    async def _in_thread(self, event: Any, context: Context) -> object:
        result = self.result_of(await self.in_thread(partial(self.target, event, context)))
        return await result if is_awaitable(result) else result

    async def in_thread(self, act: Callable[[], object]) -> object:
        """Run something of the handler's in its thread, abandoned when this is cancelled."""
        thread = self._thread
        if thread is None:
            # Where one event is served at a time there is none.
            from .handler_thread import HandlerThread

            thread = self._thread = HandlerThread(self.nursery)
        try:
            return await thread.call(act)
        except trio.Cancelled:
            self._thread = None
            thread.abandon()
            if thread.refused:
                # As long as none can be started no event of any worker's is served.
                self.abandon(f"what keeps {request_id()} from a thread", lambda: thread.refused)
            else:
                self.abandon(f"the thread of {request_id()}", lambda: thread.running)
            raise


@attrs.define(eq=False)
class AsyncHandler(Handler[Any]):
    """An `async def` as a handler: it is what is awaited, and nothing stands between.

    Args:
        handle: `handler(event, context)`, a coroutine function.
    """

    handle: Callable[[Any, Context], Awaitable[object]]  # type: ignore[assignment]


def is_awaitable(result: object) -> TypeGuard[Awaitable[object]]:
    """Whether a handler's result is still to be awaited."""
    # Of most its type says it; to ask costs an abstract class's look.
    kind = type(result)
    return kind is CoroutineType or (kind not in _NO_AWAITABLE and inspect.isawaitable(result))


def is_async(target: object) -> bool:
    """Whether calling it gives a coroutine, as far as can be told without calling it."""
    return _is(target, inspect.iscoroutinefunction)


def yields(target: object) -> bool:
    """Whether it is a plain `def` that yields."""
    return _is(target, inspect.isgeneratorfunction)


def _is(target: object, kind: Callable[[object], bool]) -> bool:
    call: object = getattr(target, "__call__", None)  # noqa: B004, it is looked at, not tested for
    return kind(target) or kind(call)


def streams(target: Any) -> bool:
    """Whether it answers piece by piece, as far as can be told without calling it.

    A plain `def` that yields is called as any other: what it returns tells.
    """
    target = target.handle if is_handler(target) else target
    return takes_response(target) or _is(target, inspect.isasyncgenfunction)


def takes_response(target: Any) -> bool:
    """Whether `@streaming` has marked it, or what it is a partial of."""
    while isinstance(target, partial):
        target = target.func
    # A mock, or a proxy, has an attribute of each name.
    return getattr(target, RESPONSE, None) is True


def event_type(handler: type[Handler[Any]]) -> Any:
    """The type in a handler's brackets, found along its bases, type variables put in.

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
    """Whether it is a Handler class, as opposed to a callable or an instance of one."""
    return isinstance(cls, type) and issubclass(cls, Handler)


def _substitute(argument: Any, known: dict[Any, Any]) -> Any:
    if isinstance(argument, TypeVar):
        return known.get(argument, Any)
    inner = getattr(argument, "__parameters__", ())
    return argument[tuple(known.get(p, Any) for p in inner)] if inner else argument
