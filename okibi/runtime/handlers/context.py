"""The context object of an invocation: the official client's, attribute by attribute."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from ..in_flight.delivery import Delivery
from ..protocol.runtime_api import (
    CLIENT_CONTEXT,
    COGNITO_IDENTITY,
    DEADLINE,
    TENANT,
    TRACE,
    text_of,
)
from ..settings import Settings

if TYPE_CHECKING:
    from .mobile_client import ClientContext, CognitoIdentity


def check_context(delivery: Delivery) -> None:
    """See that the context object will have what it promises, before a handler has it.

    Raises:
        LambdaContextUnmarshalError: one of its headers is not the JSON that it should be.
    """
    headers = delivery.headers
    if headers.get(CLIENT_CONTEXT) or headers.get(COGNITO_IDENTITY):
        from .mobile_client import client_context, identity

        identity(delivery)
        client_context(delivery)


T = TypeVar("T")


class LazyAttribute(Generic[T]):
    """An attribute that is computed when it is first read, and then is one like any other."""

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
    """What a context object is computed from: no attributes that `vars` would show."""

    __slots__ = ("_delivery", "_settings")

    _delivery: Delivery
    _settings: Settings


class _Attributes(_Sources):
    """Whatever is computed, or set."""


_attributes_of: Callable[[_Attributes], dict[str, Any]] = vars(_Attributes)["__dict__"].__get__


class Context(_Attributes):
    """What a handler can know of its invocation.

    Read what you need: nothing is computed before it is asked for. Like the official client's it
    is an object of plain attributes: what is set on it stays there, be it a new one, `vars` shows
    the same names, and it can be copied and pickled.
    """

    def __init__(self, delivery: Delivery, settings: Settings) -> None:
        self._delivery = delivery
        self._settings = settings

    @LazyAttribute
    def aws_request_id(self) -> str:
        """The invocation's id; an asynchronous event's repeats when it is retried."""
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
        """The memory the function has, in MB; text, as in the official client."""
        return self._settings.memory

    @LazyAttribute
    def log_group_name(self) -> str:
        """Where its logs go."""
        return self._settings.log_group

    @LazyAttribute
    def log_stream_name(self) -> str:
        """Where this sandbox's logs go."""
        return self._settings.log_stream

    @LazyAttribute
    def invoked_function_arn(self) -> str:
        """The ARN it was invoked by, with alias or version."""
        return self._header(b"lambda-runtime-invoked-function-arn") or ""

    @LazyAttribute
    def tenant_id(self) -> str | None:
        """The tenant, for a function with tenant isolation."""
        return self._header(TENANT)

    @LazyAttribute
    def xray_trace_id(self) -> str | None:
        """The X-Ray trace header, None without one; the official client has the variable only.

        With many events in flight it stands here, and in `okibi.runtime.xray_trace_id()`, alone.
        """
        return self._header(TRACE)

    @LazyAttribute
    def client_context(self) -> "ClientContext | None":
        """What the mobile SDK sent along, None without it."""
        from .mobile_client import client_context

        return client_context(self._delivery)

    @LazyAttribute
    def identity(self) -> "CognitoIdentity":
        """Who invoked by Cognito; always an object, empty without it."""
        from .mobile_client import identity

        return identity(self._delivery)

    @LazyAttribute
    def _epoch_deadline_time_in_ms(self) -> int:
        # Private, and yet read: by tracers, in functions' own tests.
        return int(self._header(DEADLINE) or 0)

    @LazyAttribute
    def _w3c_fields(self) -> dict[str, str]:
        from .mobile_client import trace_context

        return trace_context(self._delivery)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the platform ends the invocation; 0 when that is past."""
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def w3c(self) -> dict[str, str]:
        """The W3C trace context: `traceparent`, `tracestate`, `baggage`, those that came."""
        return dict(self._w3c_fields)

    def log(self, msg: Any) -> None:
        """Write to the function's log: through the root logger's handlers, else to the output.

        One call is one event in the log. On the output that is a line, so it is ended where the
        message does not end it.
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
        return text_of(self._delivery.headers, name)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        for name in (*SHOWN, "_epoch_deadline_time_in_ms", "_w3c_fields"):
            getattr(self, name)
        return _attributes_of(self)

    def __getstate__(self) -> dict[str, Any]:
        # What it is computed from holds the worker, which can be neither copied nor pickled.
        names = [
            name for name in dir(type(self)) if isinstance(getattr(type(self), name), LazyAttribute)
        ]
        return {**vars(self), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        told = ",".join(f"{name}={getattr(self, name)}" for name in SHOWN)
        return f"LambdaContext([{told}])"


# Libraries take an argument for the context by the official client's name for its class: safe-init
# does nothing for an event with any other.
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
