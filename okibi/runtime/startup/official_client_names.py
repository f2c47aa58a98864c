"""The names of the official client that libraries patch.

Sentry's AwsLambdaIntegration looks for `bootstrap`, a module of awslambdaric, in `__main__`. It
wraps the function that runs a handler and the methods that post responses and errors. This module
has the same names. `__main__` imports the module only when a library asks for `bootstrap`.

Only a plain `def` runs through the patched functions. The patches expect a finished result, so an
`async def`, a generator or a Handler class runs directly.
"""

import functools
from collections.abc import Callable
from inspect import isclass
from typing import Any

import attrs

from ...actors.safe_repr import TEXT_LIMIT, class_name, error_text
from ..handlers.function import Function
from ..handlers.handler import is_async, streams, yields

PlainDef = Callable[[Any, Any], Any]


class LambdaRuntimeClient:
    """Methods that libraries wrap, called for a failed start and before each answer."""

    def post_init_error(self, error_response_data: Any, error_type: Any = None) -> None:
        """Called while the error is being handled."""

    def post_invocation_result(self, invoke_id: str, result_data: Any, *_: Any) -> None:
        """Called with the handler's result, before the result is encoded."""

    def post_invocation_error(self, invoke_id: str, error_response_data: Any, *_: Any) -> None:
        """Called while the error is being handled."""


def handle_event_request(
    lambda_runtime_client: Any, request_handler: PlainDef, *_: Any
) -> PlainDef:
    """Return the handler; a library replaces this function by one that wraps the handler."""
    return request_handler


_UNPATCHED = handle_event_request


def replace_handler(function: Function) -> Function:
    """Return the Function with its handler wrapped by the patches of libraries."""
    workers = function.handler
    handler = wrap_by_patches(workers.handler)
    if handler is workers.handler:
        return function
    return attrs.evolve(function, handler=attrs.evolve(workers, handler=handler))


def wrap_by_patches(target: Any) -> Any:
    """Wrap a plain `def` by the patches of libraries; return any other handler unchanged."""
    # Look both names up now: a patch replaces them in this module.
    not_plain = isclass(target) or is_async(target) or streams(target) or yields(target)
    if handle_event_request is _UNPATCHED or not_plain or not callable(target):
        return target
    client = LambdaRuntimeClient()
    run = handle_event_request(client, target)

    @functools.wraps(target, updated=())
    def patched(event: Any, context: Any) -> Any:
        try:
            result = run(event, context)
        except Exception as error:
            body = {
                "errorMessage": error_text(error, TEXT_LIMIT),
                "errorType": class_name(type(error)),
            }
            client.post_invocation_error(context.aws_request_id, body, "")
            raise
        client.post_invocation_result(context.aws_request_id, result)
        return result

    return patched
