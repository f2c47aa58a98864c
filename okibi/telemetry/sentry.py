"""Errors and transactions of Sentry, for every kind of handler.

    import sentry_sdk
    from okibi.telemetry import sentry

    sentry_sdk.init(dsn="https://...", traces_sample_rate=0.1)
    sentry.capture_events()

It takes the place of Sentry's AwsLambdaIntegration, which is for a plain `def`. The package
`sentry-sdk` is the user's: okibi does not install it.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from os import environ
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk
from sentry_sdk.integrations import aws_lambda
from sentry_sdk.utils import event_from_exception

from . import ObservedEvent, after_events, around_events

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

__all__ = ["capture_events"]

_MECHANISM = {"type": "okibi", "handled": False}
_STATUS = {None: "ok", "Runtime.DeadlineExceeded": "deadline_exceeded"}


def capture_events() -> None:
    """Send the error of each event to Sentry, and a transaction, after the response.

    Each event has an isolation scope of its own, whatever kind the handler is. Errors are the
    handler's exceptions, an event at its deadline, and an event whose worker was killed. They have
    the data that AwsLambdaIntegration adds: the function, the request id, the time that is left,
    the place in CloudWatch's logs, and the HTTP request as far as the settings of Sentry allow.

    With `traces_sample_rate` or `traces_sampler`, each sampled event is a transaction with the
    function's name and the operation `function.aws`. A sampler gets `aws_event` and `aws_context`.

    Call it while the function's module is imported, once, after `sentry_sdk.init`.

    Raises:
        RuntimeError: Sentry's AwsLambdaIntegration is on, which would send each event twice.
    """
    if sentry_sdk.get_client().get_integration("aws_lambda") is not None:
        raise RuntimeError(
            "capture_events takes the place of Sentry's AwsLambdaIntegration, and both would send "
            "each event of a plain `def`: leave AwsLambdaIntegration out of sentry_sdk.init"
        )
    make_processor: Any = getattr(aws_lambda, "_make_request_event_processor", None)
    ends: deque[Callable[[], object]] = deque()

    @around_events
    @contextmanager
    def observe_event(observed: ObservedEvent) -> Generator[None]:
        context, fields = observed.context, _as_fields(observed.event)
        captured: list[BaseException] = []

        def note_exception(sent: "Event", hint: "Hint") -> "Event":
            if "exc_info" in hint:
                captured.append(hint["exc_info"][1])
            return sent

        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.add_event_processor(note_exception)
            scope.set_tag("aws_region", environ.get("AWS_REGION"))
            if make_processor is not None:
                left = context.get_remaining_time_in_millis()
                scope.add_event_processor(make_processor(fields, context, left))
            transaction = sentry_sdk.start_transaction(
                sentry_sdk.continue_trace(
                    _as_fields(fields.get("headers")),
                    op="function.aws",
                    name=context.function_name,
                    source="component",
                    origin="auto.function.okibi",
                ),
                custom_sampling_context={"aws_event": observed.event, "aws_context": context},
            )
            sentry_sdk.get_current_scope().span = transaction
            yield
            transaction.set_status(_STATUS.get(observed.error_type, "internal_error"))
            status = _as_fields(observed.result).get("statusCode")
            if isinstance(status, int):
                transaction.set_http_status(status)
            ended, error = datetime.now(UTC), observed.error

            def send() -> None:
                transaction.finish(end_timestamp=ended)
                # The handler or a framework's integration may have sent the exception.
                if all(each is not error for each in captured):
                    _capture_error(error, observed)

            # After the response: the first error takes the SDK a tenth of a second.
            ends.append(partial(copy_context().run, send))

    @after_events
    def flush(seconds: float) -> None:
        while ends:
            ends.popleft()()
        sentry_sdk.flush(seconds)


def _capture_error(error: BaseException | None, observed: ObservedEvent) -> None:
    if error is not None:
        options = sentry_sdk.get_client().options
        sentry_sdk.capture_event(*event_from_exception(error, options, _MECHANISM))
    elif observed.error_type is not None:
        described = {
            "type": observed.error_type,
            "value": observed.error_message,
            "mechanism": _MECHANISM,
        }
        sentry_sdk.capture_event({"level": "error", "exception": {"values": [described]}})


def _as_fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
