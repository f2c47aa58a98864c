"""Traces of Datadog: the span `aws.lambda` of each event, whatever kind the handler is.

Nothing has to be written: where `datadog_lambda.handler.handler` is the handler setting and
`DD_LAMBDA_HANDLER` names anything but a plain `def`, okibi serves what the variable names and calls
`trace_events`. With another handler setting a function calls it itself:

    from okibi.telemetry.datadog import trace_events

    trace_events()

Spans, tags, metrics and trace context are made by the wrapper of `datadog-lambda`. That package is
the user's: okibi does not install it.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Any

from . import ObservedEvent, after_events, around_events

__all__ = ["trace_events"]


def trace_events() -> None:
    """Make Datadog's span and metrics of each event, and send them after the response.

    The span is the active one in the handler, whatever kind the handler is. Its parent is what
    datadog-lambda finds in the event. It has an error for an exception, at a deadline, for a killed
    worker and for an HTTP status of 500 or more.

    Call it while the function's module is imported, once, and wrap no handler with
    `datadog_lambda_wrapper` beside it.
    """
    # Imported here, because these packages change others as soon as they are imported. They have
    # no types.
    decorator: Any = import_module("datadog_lambda.wrapper").datadog_lambda_wrapper
    submit_errors_metric: Any = import_module("datadog_lambda.metric").submit_errors_metric
    find_status: Any = import_module("datadog_lambda.trigger").extract_http_status_code_tag
    tracer: Any = import_module("ddtrace.trace").tracer
    # Its two halves. A version without them is refused here.
    before, after = decorator._before, decorator._after
    # Made once: this changes the formatters of all log handlers.
    settings = decorator(_no_handler).__dict__
    ends: deque[Callable[[], object]] = deque()

    @around_events
    @contextmanager
    def observe_event(observed: ObservedEvent) -> Generator[None]:
        event, context = observed.event, observed.context
        # The wrapper's attributes are those of one event.
        wrapper: Any = object.__new__(decorator)
        wrapper.__dict__.update(settings)
        before(wrapper, event, context)
        yield
        ended = time.time()
        wrapper.response = observed.result
        if observed.error_type is not None:
            submit_errors_metric(context)
            if wrapper.span:
                _note_error(wrapper.span, observed)
        else:
            if wrapper.response is None:
                # Of a stream nothing is known: the wrapper takes None for a missing response, 502.
                wrapper.response = ""
            status = find_status(wrapper.trigger_tags, wrapper.response) or ""
            if wrapper.span and status.startswith("5"):
                # The wrapper notes it after the span's end, when the span may have been sent.
                wrapper.span.error = 1
        for name in ("span", "inferred_span"):
            if (span := getattr(wrapper, name)) is not None:
                setattr(wrapper, name, _EndedSpan(span, ended))
        ends.append(partial(copy_context().run, after, wrapper, event, context))

    @after_events
    def send(seconds: float) -> None:
        while ends:
            ends.popleft()()
        tracer.flush()


def _no_handler(event: object, context: object) -> None: ...


def _note_error(span: Any, observed: ObservedEvent) -> None:
    error = observed.error
    if error is not None and error.__traceback__ is not None:
        span.set_exc_info(type(error), error, error.__traceback__)
    else:
        span.error = 1
        span.set_tag("error.type", observed.error_type)
        span.set_tag("error.message", observed.error_message)


class _EndedSpan:
    """A span whose `finish` has the time of an event's end: the finish sends the trace, and waits.

    Args:
        span: the span.
        ended: seconds since 1970.
    """

    def __init__(self, span: Any, ended: float) -> None:
        vars(self).update(span=span, ended=ended)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.span, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.span, name, value)

    def finish(self, finish_time: float | None = None) -> None:
        self.span.finish(self.ended if finish_time is None else finish_time)
