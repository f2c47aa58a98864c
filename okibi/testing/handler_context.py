"""A context object, to call a handler directly."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ..local.platform.invocation import Invocation, check_headers, new_request_id, new_trace_id
from ..local.settings import arn_of
from ..runtime.handlers.context import Context
from ..runtime.in_flight.delivery import Delivery
from ..runtime.protocol.runtime_api import (
    CLIENT_CONTEXT,
    COGNITO_IDENTITY,
    DEADLINE,
    TENANT,
    TRACE,
)
from ..runtime.settings import Settings
from .virtual_clock import wall_clock


def context(
    *,
    remaining: float = 3.0,
    request_id: str | None = None,
    function_name: str = "function",
    function_version: str = "$LATEST",
    memory: int = 128,
    function_arn: str | None = None,
    client_context: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    tenant_id: str = "",
    trace_id: str | None = None,
) -> Context:
    """Create the context object of an invocation, to call a handler directly.

        def test_the_handler_answers() -> None:
            assert handler({"name": "bob"}, context(remaining=1.5)) == "hello bob"

    Args:
        remaining: seconds until the deadline, by the wall clock; in virtual time, by that.
        request_id: the id of the invocation. Default: a new one.
        function_name: the name of the function.
        function_version: the version of the function.
        memory: the memory of the function in MB.
        function_arn: the ARN of the invocation. Default: the ARN that belongs to the name.
        client_context: the client context, as the mobile SDK sends it.
        identity: the Cognito identity: `cognitoIdentityId` and `cognitoIdentityPoolId`.
        tenant_id: the tenant, for a function with tenant isolation.
        trace_id: the X-Ray header. Default: a new one, not sampled.

    Raises:
        ValueError: a value has a character that an HTTP header cannot carry.
    """
    event = Invocation(
        b"",
        remaining,
        request_id=request_id or new_request_id(),
        client_context=encode_client_context(client_context),
        cognito_identity=encode_client_context(identity),
        tenant_id=tenant_id,
        trace_id=new_trace_id() if trace_id is None else trace_id,
        function_arn=function_arn or arn_of(function_name),
    )
    check_headers(event)
    clock = wall_clock()
    headers = {
        DEADLINE: str(int((clock() + remaining) * 1000)),
        b"lambda-runtime-invoked-function-arn": event.function_arn,
        CLIENT_CONTEXT: event.client_context,
        COGNITO_IDENTITY: event.cognito_identity,
        TENANT: event.tenant_id,
        TRACE: event.trace_id,
    }
    sent = {name: value.encode() for name, value in headers.items() if value}
    settings = Settings(
        "127.0.0.1:9001",
        "app.handler",
        "/var/task",
        function_name=function_name,
        function_version=function_version,
        memory=str(memory),
        log_group=f"/aws/lambda/{function_name}",
        log_stream="2026/01/01/[$LATEST]test",
        wall_clock=clock,
    )
    delivery = Delivery(event.request_id, sent, b"", remaining, remaining)
    return Context(delivery, settings)


def after_response(context: Context) -> Iterator[Callable[[], Any]]:
    """Take the functions that a handler has registered with a context made by `context`.

        handler({}, made := context())
        for run in after_response(made):
            run()

    Args:
        context: the context that the handler was called with.

    Yields:
        The functions with their arguments, in order, also those that a function registers. For an
        `async def`: `await run()`.
    """
    while taken := context._delivery.take_follow_ups():
        yield from taken


def encode_client_context(values: Mapping[str, Any] | None) -> str:
    """Encode a client context or an identity for its header; empty for None."""
    return "" if values is None else msgspec.json.encode(values).decode()
