"""The context object of an invocation, with the official client's attributes."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, TypeVarTuple, overload

from ...actors.safe_repr import describe_value
from ..in_flight.delivery import Delivery
from ..protocol.runtime_api import (
    CLIENT_CONTEXT,
    COGNITO_IDENTITY,
    DEADLINE,
    TENANT,
    TRACE,
    header_text,
)
from ..settings import Settings

if TYPE_CHECKING:
    from .mobile_client import ClientContext, CognitoIdentity


def check_context(delivery: Delivery) -> None:
    """Check the context headers that hold JSON, before the handler runs.

    Raises:
        LambdaContextUnmarshalError: a header is not valid JSON.
    """
    headers = delivery.headers
    if headers.get(CLIENT_CONTEXT) or headers.get(COGNITO_IDENTITY):
        from .mobile_client import client_context, identity

        identity(delivery)
        client_context(delivery)


T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LazyAttribute(Generic[T]):
    """An attribute that is computed at the first read; afterwards an ordinary attribute."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Self | T:
        if instance is None:
            return self
        value = self.compute(instance)
        setattr(instance, self.name, value)
        return value


class _Sources:
    """The sources of the attributes, in slots, so that `vars` does not show them."""

    __slots__ = ("_delivery", "_settings")

    _delivery: Delivery
    _settings: Settings


class _Attributes(_Sources):
    """Holds the computed attributes and the ones that the user sets."""


_attributes_of: Callable[[_Attributes], dict[str, Any]] = vars(_Attributes)["__dict__"].__get__


class Context(_Attributes):
    """Information on the invocation (Runtime API; AWS: the Lambda context object).

    Attributes are computed at the first read. As with the official client, attributes can be set,
    `vars` shows the same names, and the object can be copied and pickled.

        async def handler(event, context):
            if context.get_remaining_time_in_millis() < 500:
                return {"done": False, "id": context.aws_request_id}
    """

    def __init__(self, delivery: Delivery, settings: Settings) -> None:
        self._delivery = delivery
        self._settings = settings

    @LazyAttribute
    def aws_request_id(self) -> str:
        """The id of the invocation; a retry of an asynchronous event has the same id."""
        return self._delivery.request_id

    @LazyAttribute
    def function_name(self) -> str:
        """The function's name."""
        return self._settings.function_name

    @LazyAttribute
    def function_version(self) -> str:
        """The function's version, `$LATEST` or a number."""
        return self._settings.function_version

    @LazyAttribute
    def memory_limit_in_mb(self) -> str:
        """The function's memory in MB, as text, as in the official client."""
        return self._settings.memory

    @LazyAttribute
    def log_group_name(self) -> str:
        """The name of the function's log group."""
        return self._settings.log_group

    @LazyAttribute
    def log_stream_name(self) -> str:
        """The name of this sandbox's log stream."""
        return self._settings.log_stream

    @LazyAttribute
    def invoked_function_arn(self) -> str:
        """The ARN of the invocation, with alias or version."""
        return self._header(b"lambda-runtime-invoked-function-arn") or ""

    @LazyAttribute
    def tenant_id(self) -> str | None:
        """The tenant's id, for a function with tenant isolation; else None."""
        return self._header(TENANT)

    @LazyAttribute
    def xray_trace_id(self) -> str | None:
        """The X-Ray trace header, or None.

        The official client sets only the environment variable. With many events in flight the
        header is available here and from `okibi.runtime.xray_trace_id()` only.
        """
        return self._header(TRACE)

    @LazyAttribute
    def client_context(self) -> "ClientContext | None":
        """The client context that the mobile SDK sent, or None."""
        from .mobile_client import client_context

        return client_context(self._delivery)

    @LazyAttribute
    def identity(self) -> "CognitoIdentity":
        """The caller's Cognito identity; an object without values if there is none."""
        from .mobile_client import identity

        return identity(self._delivery)

    @LazyAttribute
    def _epoch_deadline_time_in_ms(self) -> int:
        # Private in the official client, but tracers and users' tests read the attribute.
        return int(self._header(DEADLINE) or 0)

    @LazyAttribute
    def _w3c_fields(self) -> dict[str, str]:
        from .mobile_client import trace_context

        return trace_context(self._delivery)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the platform's deadline; 0 after the deadline."""
        now = (self._settings.wall_clock or time.time)()
        return max(self._epoch_deadline_time_in_ms - int(now * 1000), 0)

    def w3c(self) -> dict[str, str]:
        """Return the W3C trace context: `traceparent`, `tracestate` and `baggage`, if sent."""
        return dict(self._w3c_fields)

    def after_response(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run a function after the invoker has the response, before the next event.

            async def handler(event, context):
                context.after_response(send_metrics, event["id"])
                return {"done": True}

        The functions run one after the other, also if the handler has raised. An `async def` runs
        where an `async def` handler runs, any other function where a plain `def` handler runs. An
        error is logged and changes no response. The deadline of the event holds for them too. They
        may register more functions. (Not in AWS's client.)

        Args:
            function: a function; its result is ignored, an awaitable one is awaited.
            args: its arguments.

        Raises:
            TypeError: `function` cannot be called.
            RuntimeError: the event is answered, or this is a copy of the context.
        """
        called: object = function
        if not callable(called):
            raise TypeError(
                f"after_response takes a function and its arguments, got {describe_value(called)}:"
                " write context.after_response(work, 1) instead of after_response(work(1))"
            )
        delivery: Delivery | None = getattr(self, "_delivery", None)
        follow_ups = None if delivery is None else delivery.open_follow_ups()
        if follow_ups is None:
            raise RuntimeError(
                "after_response was called too late: call it in the handler, before it returns, or "
                "in a function that runs after the response"
                if delivery is not None
                else "this context is a copy: call after_response of the handler's own context"
            )
        follow_ups.add(function, args)

    def log(self, msg: Any) -> None:
        """Write to the function's log, or to standard output without a log handler of Lambda's.

        One call makes one log event. On standard output a log event is a line, so a missing line
        end is added.

        Args:
            msg: any value; `str` converts the value.
        """
        text = str(msg)
        for handler in logging.getLogger().handlers:
            sink = getattr(handler, "log_sink", None)
            if sink is not None:
                sink.log(text)
                return
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def _header(self, name: bytes) -> str | None:
        return header_text(self._delivery.headers, name)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        for name in (*SHOWN, "_epoch_deadline_time_in_ms", "_w3c_fields"):
            getattr(self, name)
        return _attributes_of(self)

    def __getstate__(self) -> dict[str, Any]:
        # Compute all attributes: the delivery holds the worker, which cannot be copied or pickled.
        names = [
            name for name in dir(type(self)) if isinstance(getattr(type(self), name), LazyAttribute)
        ]
        return {**vars(self), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # For the clock: all else is in the state.
        self._settings = Settings("", "", "")
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in SHOWN)
        return f"LambdaContext([{fields}])"


# Libraries recognise the context by the name of the official client's class. With any other name,
# safe-init does nothing.
Context.__name__ = "LambdaContext"

SHOWN = (
    "aws_request_id",
    "log_group_name",
    "log_stream_name",
    "function_name",
    "memory_limit_in_mb",
    "function_version",
    "invoked_function_arn",
    "client_context",
    "identity",
    "tenant_id",
)
