"""Errors and transactions of Sentry, for every kind of handler.

    import sentry_sdk
    from okibi.telemetry import sentry

    sentry_sdk.init(dsn="https://...", traces_sample_rate=0.1)
    sentry.capture_events()

It takes the place of Sentry's AwsLambdaIntegration, which is for a plain `def`. The package
`sentry-sdk` is the user's: okibi does not install it.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from . import ObservedEvent, after_events, around_events

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

    from ..runtime import Context

__all__ = ["capture_events"]

# The least time for a flush: with none, the SDK does not begin. The caller does not wait for it.
LEAST_FLUSH = 0.1
_MECHANISM = {"type": "okibi", "handled": False}
_STATUS = {None: "ok", "Runtime.DeadlineExceeded": "deadline_exceeded"}


def capture_events() -> None:
    """Send the error of each event to Sentry, and a transaction, after the response.

    Each event has an isolation scope of its own, whatever kind the handler is. An error has the
    function, the request id, the time that is left, and the place in CloudWatch's logs. Errors are
    the handler's exceptions, an event at its deadline, and an event whose worker was killed.

    With `traces_sample_rate` or `traces_sampler`, each sampled event is a transaction with the
    function's name and the operation `function.aws`. A sampler gets `aws_event` and `aws_context`.

    Call it while the function's module is imported, once.

    Raises:
        RuntimeError: Sentry's AwsLambdaIntegration is on, which would send each error twice.
    """
    _refuse_integration()

    @around_events
    @contextmanager
    def observe_event(observed: ObservedEvent) -> Generator[None]:
        _refuse_integration()  # `init` may have followed
        context, event = observed.context, observed.event
        captured: list[BaseException] = []
        began = time.time()

        def add_lambda(sent: "Event", hint: "Hint") -> "Event":
            if "exc_info" in hint:
                captured.append(hint["exc_info"][1])
            sent.setdefault("extra", {}).update(_describe(context, began))
            if request := _request_of(event):
                sent.setdefault("request", request)
            return sent

        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.add_event_processor(add_lambda)
            scope.set_tag("aws_region", os.environ.get("AWS_REGION"))
            transaction = sentry_sdk.continue_trace(
                _as_fields(_as_fields(event).get("headers")),
                op="function.aws",
                name=context.function_name,
                source="component",
                origin="auto.function.okibi",
            )
            sampling = {"aws_event": event, "aws_context": context}
            with sentry_sdk.start_transaction(
                transaction, custom_sampling_context=sampling
            ) as span:
                yield
                _capture_error(observed, captured)
                span.set_status(_STATUS.get(observed.error_type, "internal_error"))
                status = _as_fields(observed.result).get("statusCode")
                if isinstance(status, int):
                    span.set_http_status(status)

    @after_events
    def flush(seconds: float) -> None:
        sentry_sdk.flush(max(seconds, LEAST_FLUSH))


def _refuse_integration() -> None:
    if sentry_sdk.get_client().get_integration("aws_lambda") is not None:
        raise RuntimeError(
            "capture_events takes the place of Sentry's AwsLambdaIntegration, and both would send "
            "each error of a plain `def`: leave AwsLambdaIntegration out of sentry_sdk.init"
        )


def _capture_error(observed: ObservedEvent, captured: list[BaseException]) -> None:
    """Send the error of an event, unless a framework's integration or the handler has sent it."""
    error = observed.error
    if error is not None:
        if all(each is not error for each in captured):
            options = sentry_sdk.get_client().options
            sentry_sdk.capture_event(*event_from_exception(error, options, _MECHANISM))
    elif observed.error_type is not None:
        described = {
            "type": observed.error_type,
            "value": observed.error_message,
            "mechanism": _MECHANISM,
        }
        sentry_sdk.capture_event({"level": "error", "exception": {"values": [described]}})


def _describe(context: "Context", began: float) -> dict[str, Any]:
    """Return what AwsLambdaIntegration adds to an event of Sentry."""
    region = os.environ.get("AWS_REGION", "")
    console = "console.amazonaws.cn" if region.startswith("cn-") else "console.aws.amazon.com"
    group, stream = context.log_group_name, context.log_stream_name
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 1))
    return {
        "lambda": {
            "function_name": context.function_name,
            "function_version": context.function_version,
            "invoked_function_arn": context.invoked_function_arn,
            "aws_request_id": context.aws_request_id,
            "execution_duration_in_millis": int((time.time() - began) * 1000),
            "remaining_time_in_millis": context.get_remaining_time_in_millis(),
        },
        "cloudwatch logs": {
            "url": f"https://{console}/cloudwatch/home?region={region}#logEventViewer:"
            f"group={quote(group, '')};stream={quote(stream, '')};start={since}",
            "log_group": group,
            "log_stream": stream,
        },
    }


def _request_of(event: Any) -> dict[str, object]:
    """Return method and path of an HTTP event; none for another event."""
    fields = _as_fields(event)
    http = _as_fields(_as_fields(fields.get("requestContext")).get("http"))
    method = http.get("method") or fields.get("httpMethod")
    if not method:
        return {}
    return {"method": method, "url": fields.get("rawPath") or fields.get("path")}


def _as_fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
