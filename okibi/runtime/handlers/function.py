"""Function: the handler and the user's supervised children, as one frozen value."""

# The checks below do not trust the annotations.
# pyright: reportUnnecessaryIsInstance=false
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ...actors import Actor
from ...actors.safe_repr import describe_value
from ...actors.signatures import bind
from ...supervisors import INFINITY, Child, SpecError, Strategy, SupervisorSpec
from ...supervisors.spec import as_children
from ...supervisors.spec_error import wrong_value
from .handler import Handler, is_async, is_handler, streams, takes_response

if TYPE_CHECKING:
    from ...supervisors import Application, Backoff
    from .powertools import Misfit

HandlerTarget = type[Handler[Any]] | Callable[..., Any]


@attrs.frozen
class Workers:
    """A handler and the number of workers that run the handler.

        function = Function(handler=Workers(Greeter, count=4))

    Args:
        handler: a Handler class, or any callable that takes event and context.
        count: the number of workers; default: one per event that may be in flight, plus one spare.
            There is always at least one worker per event that may be in flight
            (`AWS_LAMBDA_MAX_CONCURRENCY`). To limit the concurrency of a piece of code, use a
            `trio.Semaphore`.

    Raises:
        SpecError: `handler` cannot be called, or `count` is less than 1.
    """

    handler: HandlerTarget
    count: int | None = None

    def __attrs_post_init__(self) -> None:
        count: object = self.count
        fault = _fault(self.handler)
        if fault is not None:
            raise SpecError(fault, field="handler", value=self.handler)
        whole = isinstance(count, int) and not isinstance(count, bool) and count >= 1
        if count is not None and not whole:
            raise wrong_value("count", "an integer >= 1 or None", count)


def _fault(handler: Any) -> str | None:
    """Return why a handler cannot serve, in one sentence; None if the handler can.

    Found at the start, because otherwise every event would fail with a message that does not name
    the cause.
    """
    name: str = getattr(handler, "__name__", type(handler).__name__)
    if is_handler(type(handler)):
        return f"give the class {name} instead of an instance: each worker creates its own"
    if not callable(handler) or isinstance(handler, Function):
        return f"handler must be a Handler class or a callable, got {describe_value(handler)}"
    if not inspect.isclass(handler):
        return _find_callable_error(handler)
    if issubclass(handler, Actor):
        return f"{name} is an actor: start it as a Child of the Function, and call it in a handler"
    if not is_handler(handler):
        if not hasattr(handler, "handle"):
            return None
        return f"{name} has a `handle` but is not a Handler: write class {name}(Handler[...])"
    method: Any = getattr(handler, "handle")  # noqa: B009, a class of no known shape
    if method is getattr(Handler, "handle"):  # noqa: B009
        return f"{name} has no `handle`: write async def handle(self, event, context)"
    if takes_response(method):
        return f"{name}.handle is marked @streaming, which is for functions: use `yield` instead"
    if not (is_async(method) or streams(method)):
        return f"{name}.handle must be an `async def`{_describe_decorator(method)}"
    for hook, arguments in _PARAMETERS.items():
        method = getattr(handler, hook)
        if method is getattr(Handler, hook):
            continue
        # Look in the dicts of the bases: a proxy of the class (wrapt) hides its own dict.
        bases: tuple[type[Any], ...] = handler.__mro__
        written = next((vars(kind)[hook] for kind in bases if hook in vars(kind)), None)
        unbound = isinstance(written, classmethod | staticmethod)
        try:
            bind(method, *arguments[unbound:])
        except TypeError:
            return f"{name}.{hook} must take ({', '.join(arguments)})"
    return None


def _describe_decorator(method: Any) -> str:
    """Return a hint for an `async def` that a decorator has made a plain `def`; else empty."""
    if not is_async(getattr(method, "__wrapped__", None)):
        return ""
    # Not `__module__`, which `functools.wraps` copies from the user's function.
    known = isinstance(method, FunctionType)
    module = method.__globals__["__name__"] if known else type(method).__module__
    return (
        f", and a decorator of {module} makes it a plain `def`: decorate an "
        "`async def handler(event, context)` instead, and give that as handler"
    )


def _find_callable_error(handler: Any) -> str | None:
    """Refuse a web application, and a decorator under which each event would fail."""
    refused = [misfit.sentence for misfit in _find_misfits(handler) if misfit.refused]
    if refused:
        return refused[0]
    code = getattr(handler, "__code__", None)
    if code is not None and code.co_argcount == 2 and code.co_varnames[1] != "start_response":
        return None  # most handlers; the import below is not for them
    from .web_application import find_web_application_error

    return find_web_application_error(handler)


def find_warnings(handler: HandlerTarget) -> list[str]:
    """Say which decorators of a handler do less than they seem to do, in a sentence each."""
    return [misfit.sentence for misfit in _find_misfits(handler)]


def _find_misfits(handler: object) -> "Sequence[Misfit]":
    if "aws_lambda_powertools" not in sys.modules:  # the import below is only for its users
        return ()
    from .powertools import find_misfits

    return find_misfits(handler)


# The arguments of a Handler's methods.
_PARAMETERS = {
    "handle": ("self", "event", "context"),
    "init": ("self",),
    "terminate": ("self", "reason"),
}


def children_backoff() -> "Backoff":
    """Delays of children that keep ending: none for the first three, then 1, 3, 9, 27 and 30 s."""
    # Imported here: a function without children has no back-off.
    from ...supervisors import Backoff

    return Backoff(first=1.0, maximum=30.0, factor=3.0, immediate=3)


def _as_applications(applications: "Iterable[Application]") -> "tuple[Application, ...]":
    if applications == ():
        return ()
    # Imported here: few functions have applications.
    from ...supervisors import Applications

    return Applications(applications).applications


def _as_workers(handler: object) -> Workers:
    return handler if isinstance(handler, Workers) else Workers(handler)  # type: ignore[arg-type]


@attrs.frozen
class Function:
    """A Lambda function: the handler that answers events, and the actors beside the handler.

        function = Function(handler=Greeter, children=[Child(Visits, name=VISITS)])

    Name the value in `_HANDLER` (`app.function`). Creating a Function starts nothing.

    | field | default | meaning |
    | --- | --- | --- |
    | handler | | a Handler class, any callable, or Workers to set their number |
    | children | () | Child values; started in order before the first event, stopped in reverse |
    | strategy | ONE_FOR_ONE | which children restart when a child ends |
    | intensity, period | None | None: children that keep ending never end the process |
    | loop | None | "trio" or "asyncio", which runs async handlers; None: OKIBI_LOOP decides |
    | applications | () | Application values; started before the children, stopped after them |

    Without `intensity` and `period`, a child that ends again and again is restarted three times at
    once, then after 1, 3, 9, 27 and each time 30 s, until it has run for 5 s. Callers get NoProcess
    meanwhile, with the reason and the time of the next start. If either is given, OTP's rule holds:
    after more than `intensity` restarts (default 3) within `period` seconds (default 5.0) the
    supervisor of the children gives up and is restarted; if it gives up again within 5 s, the
    process ends. In both cases a child that fails in the first start is an init error.

    An application has its own supervisor, which follows its own `intensity`. When an application
    ends, its kind decides whether all applications are started anew; twice within 5 s ends the
    process. An application that does not start is an init error.

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    handler: Workers = attrs.field(converter=_as_workers)
    children: tuple[Child[Any], ...] = attrs.field(default=(), converter=as_children)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int | None = None
    period: float | None = None
    loop: Literal["trio", "asyncio"] | None = None
    applications: "tuple[Application, ...]" = attrs.field(
        default=(), converter=_as_applications, kw_only=True
    )
    supervision: SupervisorSpec = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.loop not in (None, "trio", "asyncio"):
            raise wrong_value("loop", '"trio", "asyncio" or None', self.loop)
        object.__setattr__(self, "supervision", self._make_supervision())

    @property
    def has_actors(self) -> bool:
        """Whether the user's own actors run beside the handler."""
        return bool(self.children or self.applications)

    def _make_supervision(self) -> SupervisorSpec:
        """Build the spec of the supervisor over the children."""
        children, strategy = self.children, self.strategy
        if self.intensity is None and self.period is None and children:
            return SupervisorSpec(children, strategy, INFINITY, backoff=children_backoff())
        intensity = 3 if self.intensity is None else self.intensity
        period = 5.0 if self.period is None else self.period
        return SupervisorSpec(children, strategy, intensity, period)

    if not TYPE_CHECKING:  # for a type checker a Function is no callable, so no handler

        def __call__(self, *_: object, **__: object) -> None:
            """Refuse the call of a wrapper that takes a Function for a handler."""
            raise TypeError(
                "a wrapper called the Function, so its children cannot start: name the Function "
                "in the handler setting, and wrap the `def` inside: "
                "Function(wrapper(handler), children=[...])"
            )
