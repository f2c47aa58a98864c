"""What is served, as one frozen value: the handler, and the user's own part of the tree."""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false
import inspect
from collections.abc import Callable
from typing import Any, Literal

import attrs

from ...actors import Actor
from ...actors.safe_repr import misplaced
from ...actors.signatures import bind
from ...supervisors import Child, SpecError, Strategy, SupervisorSpec
from ...supervisors.spec import as_children
from .handler import Handler, is_async, is_handler, streams, takes_response

HandlerTarget = type[Handler[Any]] | Callable[..., Any]


class InvalidHandler(SpecError):
    """`handler` is nothing that can be called with an event."""


class InvalidCount(SpecError):
    """`count` is no whole number from 1."""


class InvalidLoop(SpecError):
    """`loop` is neither "trio" nor "asyncio"."""


@attrs.frozen
class Workers:
    """How many workers serve.

    Args:
        handler: a Handler class, or any callable that takes event and context.
        count: how many; None for one for each event that may be in flight, and a spare. With many
            in flight (`AWS_LAMBDA_MAX_CONCURRENCY`) there is at least one for each, whatever this
            says: to let fewer into a piece of code, hold a `trio.Semaphore` there.

    Raises:
        InvalidHandler: it cannot be called.
        InvalidCount: less than 1.
    """

    handler: HandlerTarget
    count: int | None = None

    def __attrs_post_init__(self) -> None:
        count: object = self.count
        fault = _fault(self.handler)
        if fault is not None:
            raise InvalidHandler(fault)
        whole = isinstance(count, int) and not isinstance(count, bool) and count >= 1
        if count is not None and not whole:
            raise InvalidCount(f"count is a whole number from 1, or None, not {misplaced(count)}")


def _fault(handler: Any) -> str | None:
    """Why it cannot be a handler, in one sentence; None if it can.

    Said at the start: at the first event it would be a puzzle, and each event would fail.
    """
    name: str = getattr(handler, "__name__", type(handler).__name__)
    if is_handler(type(handler)):
        return f"give the class {name} itself: each worker makes its own"
    if not callable(handler):
        return f"a handler is a Handler class or a callable, not {misplaced(handler)}"
    if not inspect.isclass(handler):
        return None
    if issubclass(handler, Actor):
        return f"{name} is an actor: let a handler ask it, and name it as a Child of the Function"
    if not is_handler(handler):
        if not hasattr(handler, "handle"):
            return None
        return f"{name} has a `handle` but is no Handler: write class {name}(Handler[...])"
    method: Any = getattr(handler, "handle")  # noqa: B009, a class of no known shape
    if method is getattr(Handler, "handle"):  # noqa: B009
        return f"{name} is a Handler without a `handle(self, event, context)`"
    if takes_response(method):
        return f"{name}.handle is marked @streaming, which is for functions: let it yield"
    if not (is_async(method) or streams(method)):
        return f"{name}.handle is no `async def`"
    for hook, arguments in _TAKES.items():
        method = getattr(handler, hook)
        if method is getattr(Handler, hook):
            continue
        # By the bases' own dicts: a proxy of the class, as wrapt makes them, hides its own.
        bases: tuple[type[Any], ...] = handler.__mro__
        written = next((vars(kind)[hook] for kind in bases if hook in vars(kind)), None)
        unbound = isinstance(written, classmethod | staticmethod)
        try:
            bind(method, *arguments[unbound:])
        except TypeError:
            return f"{name}.{hook} does not take ({', '.join(arguments)})"
    return None


# What a Handler's methods are given.
_TAKES = {
    "handle": ("self", "event", "context"),
    "init": ("self",),
    "terminate": ("self", "reason"),
}


def _as_workers(handler: object) -> Workers:
    return handler if isinstance(handler, Workers) else Workers(handler)  # type: ignore[arg-type]


@attrs.frozen
class Function:
    """A Lambda function: what answers its events, and the actors that live beside.

    | field | default | legal |
    | --- | --- | --- |
    | handler | | a Handler class, any callable, or Workers to say how many |
    | children | () | Child values; started before the first event, in order |
    | strategy, intensity, period | as a SupervisorSpec's | of the supervisor over `children` |
    | loop | None | "trio" or "asyncio": what async handlers run on; None for OKIBI_LOOP's word |

    A frozen value: print it, compare it, test it without running it. Name it in `_HANDLER`.

    Raises:
        SpecError: the subclass that belongs to the field.
    """

    handler: Workers = attrs.field(converter=_as_workers)
    children: tuple[Child[Any], ...] = attrs.field(default=(), converter=as_children)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 3
    period: float = 5.0
    loop: Literal["trio", "asyncio"] | None = None
    supervision: SupervisorSpec = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.loop not in (None, "trio", "asyncio"):
            raise InvalidLoop(f'loop is "trio", "asyncio" or None, not {misplaced(self.loop)}')
        flags = SupervisorSpec(self.children, self.strategy, self.intensity, self.period)
        object.__setattr__(self, "supervision", flags)
