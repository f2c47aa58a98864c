"""What libraries patch of the official client, so that it works here too.

Sentry's AwsLambdaIntegration looks in `__main__` for `bootstrap`, which is awslambdaric's, and puts
functions of its own around what runs a handler there, and around what posts answers and errors.
This module has those names, and `__main__` imports it for who looks; else it is not imported.

A plain `def` alone is run through them, as there. An `async def`, a generator, a Handler class they
would take for a function whose result is there at once.
"""

import functools
from collections.abc import Callable
from inspect import isclass
from typing import Any

import attrs

from ...actors.safe_repr import ALONE, class_name, said
from ..handlers.function import Function
from ..handlers.handler import is_async, streams, yields

Plain = Callable[[Any, Any], Any]


class LambdaRuntimeClient:
    """What is told of a start that failed, and of each answer before it is sent."""

    def post_init_error(self, error_response_data: Any, error_type: Any = None) -> None:
        """Called while the error is handled."""

    def post_invocation_result(self, invoke_id: str, result_data: Any, *_: Any) -> None:
        """Called with the result as it was returned: what it is encoded as is not known yet."""

    def post_invocation_error(self, invoke_id: str, error_response_data: Any, *_: Any) -> None:
        """Called while the error is handled."""


def handle_event_request(lambda_runtime_client: Any, request_handler: Plain, *_: Any) -> Plain:
    """What a patch of it is to run: here it is only given back."""
    return request_handler


_UNPATCHED = handle_event_request


def served(function: Function) -> Function:
    """A Function whose handler is run as libraries have it run."""
    workers = function.handler
    handler = as_patched(workers.handler)
    if handler is workers.handler:
        return function
    return attrs.evolve(function, handler=attrs.evolve(workers, handler=handler))


def as_patched(target: Any) -> Any:
    """A handler, as libraries have it run: a plain `def` once they have said how, anything else
    itself.
    """
    # Both names are looked up now: whoever patches puts another value in their place.
    other = isclass(target) or is_async(target) or streams(target) or yields(target)
    if handle_event_request is _UNPATCHED or other or not callable(target):
        return target
    client = LambdaRuntimeClient()
    run = handle_event_request(client, target)

    @functools.wraps(target, updated=())
    def patched(event: Any, context: Any) -> Any:
        try:
            result = run(event, context)
        except Exception as error:
            told = {"errorMessage": said(error, ALONE), "errorType": class_name(type(error))}
            client.post_invocation_error(context.aws_request_id, told, "")
            raise
        client.post_invocation_result(context.aws_request_id, result)
        return result

    return patched
