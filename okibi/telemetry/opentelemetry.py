"""Traces of OpenTelemetry: a span for each event of a function, and for each record of a batch.

    from okibi.telemetry.opentelemetry import lambda_resource, trace_events
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=lambda_resource())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    trace_events()

Spans and attributes follow OpenTelemetry's semantic conventions for FaaS, AWS Lambda, HTTP and
messaging. The package `opentelemetry-sdk` is the user's: okibi does not install it.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from . import ObservedEvent, after_events, around_events, around_records

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from ..batch import Record

__all__ = ["lambda_resource", "trace_events"]

Fields = dict[str, Any]

# The least time for a flush: with none, the SDK does not begin. The caller does not wait for it.
LEAST_FLUSH_MS = 100
# OpenTelemetry's context of the event.
_EVENT: ContextVar[otel_context.Context] = ContextVar("okibi.telemetry.opentelemetry")
_TRIGGERS = {
    "aws:sqs": "pubsub",
    "aws:sns": "pubsub",
    "aws:kinesis": "pubsub",
    "aws:kafka": "pubsub",
    "SelfManagedKafka": "pubsub",
    "aws:mq": "pubsub",
    "aws:rmq": "pubsub",
    "aws:s3": "datasource",
    "aws:dynamodb": "datasource",
}
_SYSTEMS = {
    "aws:sqs": "aws_sqs",
    "aws:kinesis": "aws_kinesis",
    "aws:dynamodb": "aws_dynamodb",
    "aws:mq": "activemq",
    "aws:rmq": "rabbitmq",
}


def trace_events(provider: trace.TracerProvider | None = None) -> None:
    """Make a span of each event and of each record of a Batch, and export them after the response.

    The span is the current one in the handler, whatever kind the handler is: spans that the handler
    makes are its children. Its parent is the `traceparent` of an HTTP event, or what the configured
    propagator finds in the headers; without one, the sampled X-Ray trace of the invocation.

    Metrics of the global `MeterProvider` are exported with the spans.

    The span has the status ERROR for an error, at a deadline, for a killed worker and for an HTTP
    status of 500 or more. The record of an SQS batch has a link to the trace of its sender.

    Call it while the function's module is imported, once.

    Args:
        provider: makes the spans; None for the global provider.
    """
    tracer = trace.get_tracer("okibi", tracer_provider=provider)

    @contextmanager
    def observe_event(observed: ObservedEvent) -> Generator[None]:
        context, fields = observed.context, _as_fields(observed.event)
        web = _web_request_of(fields)
        trigger = "http" if web else _trigger_of(fields)
        arn = context.invoked_function_arn
        attributes: dict[str, Any] = {
            "faas.invocation_id": context.aws_request_id,
            "faas.coldstart": observed.first,
            "faas.trigger": trigger,
            "cloud.resource_id": arn,
            "aws.lambda.invoked_arn": arn,
        }
        parts = arn.split(":", 5)
        if len(parts) > 5:
            attributes["cloud.account.id"] = parts[4]
        headers: Fields = {}
        if web:
            attributes |= web
            headers = _headers_of(fields)
        span = tracer.start_span(
            context.function_name,
            _parent_of(headers, context.xray_trace_id),
            SpanKind.CONSUMER if trigger in ("pubsub", "datasource") else SpanKind.SERVER,
            attributes,
        )
        here = trace.set_span_in_context(span)
        _EVENT.set(here)
        # Never detached: the event's context variables end with the event, and the end of the
        # block may run in another context.
        otel_context.attach(here)
        yield
        if web:
            _end_web_request(span, observed, fields, web["http.request.method"])
        if observed.error is not None:
            span.record_exception(observed.error)
        if observed.error_type is not None:
            span.set_attribute("error.type", observed.error_type)
            span.set_status(StatusCode.ERROR, observed.error_message)
        span.end()

    @contextmanager
    def observe_record(record: "Record[Any]") -> Generator[None]:
        raw = record.raw
        source = raw.get("eventSource", "")
        queue = raw.get("topic") or raw.get("eventSourceARN", "").rpartition(":")[2] or "record"
        attributes = {
            "messaging.system": _SYSTEMS.get(source, "kafka" if "topic" in raw else source),
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "messaging.message.id": record.id,
        }
        event = _EVENT.get(None)
        span = tracer.start_span(
            f"process {queue}", event, SpanKind.CONSUMER, attributes, _links_of(raw)
        )
        otel_context.attach(trace.set_span_in_context(span, event))
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):
                span.record_exception(error)
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR, str(error))
            raise
        finally:
            span.end()
            # Not detached: after a pause the handler of a record runs in another context.
            if event is not None:
                otel_context.attach(event)

    around_events(observe_event)
    around_records(observe_record)

    @after_events
    def flush(seconds: float) -> None:
        until = time.monotonic() + seconds
        providers: list[Any] = [provider or trace.get_tracer_provider()]
        # What makes a provider of metrics has imported this.
        if "opentelemetry.metrics" in sys.modules:
            providers.append(import_module("opentelemetry.metrics").get_meter_provider())
        for used in providers:
            # The API's own providers, which stand for none, have no such method.
            force_flush = getattr(used, "force_flush", None)
            if force_flush is not None:
                force_flush(max(int((until - time.monotonic()) * 1000), LEAST_FLUSH_MS))


def lambda_resource() -> "Resource":
    """Return the resource of this sandbox: `cloud.*`, `faas.*` and `service.name`.

    The service's name is `OTEL_SERVICE_NAME`, or the function's name. `OTEL_RESOURCE_ATTRIBUTES`
    adds others.
    """
    from opentelemetry.sdk.resources import Resource

    environ = os.environ
    name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
    memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    attributes = {
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "cloud.region": environ.get("AWS_REGION"),
        "faas.name": name,
        "faas.version": environ.get("AWS_LAMBDA_FUNCTION_VERSION"),
        "faas.instance": environ.get("AWS_LAMBDA_LOG_STREAM_NAME"),
        "faas.max_memory": int(memory) * 2**20 if memory else None,
        "service.name": environ.get("OTEL_SERVICE_NAME") or name,
    }
    return Resource.create({key: value for key, value in attributes.items() if value is not None})


def undo_wrapper() -> None:
    """Take back the wrapper that the layer of OpenTelemetry has put around the handler."""
    library = import_module("opentelemetry.instrumentation.aws_lambda")
    instrumentor = library.AwsLambdaInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def _as_fields(value: Any) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


def _web_request_of(event: Fields) -> dict[str, Any]:
    """Return the attributes of an HTTP event; none for another event."""
    about = _as_fields(event.get("requestContext"))
    if not about:
        return {}
    http = _as_fields(about.get("http"))
    method = http.get("method") or event.get("httpMethod")
    path = event.get("rawPath") or event.get("path") or "/"
    if not isinstance(method, str):
        return {}
    return {"http.request.method": method, "url.path": str(path), "url.scheme": "https"}


def _headers_of(event: Fields) -> dict[str, Any]:
    headers = _as_fields(event.get("headers")) or _as_fields(event.get("multiValueHeaders"))
    return {name.lower(): value for name, value in headers.items()}


def _trigger_of(event: Fields) -> str:
    """Return the kind of event, `faas.trigger`."""
    if event.get("detail-type") == "Scheduled Event":
        return "timer"
    records: Any = event.get("Records")
    first = _as_fields(records[0]) if isinstance(records, list) and records else event
    return _TRIGGERS.get(str(first.get("eventSource") or first.get("EventSource")), "other")


def _parent_of(headers: Fields, xray: str | None) -> otel_context.Context | None:
    """Return the context with the span that the event continues; None for a new trace."""
    if headers:
        found = propagate.extract(headers)
        if trace.get_current_span(found).get_span_context().is_valid:
            return found
    # Lambda names a trace for each event. Those that are not sampled are in no backend.
    if not xray or "Sampled=1" not in xray:
        return None
    remote = _read_xray(xray)
    return None if remote is None else trace.set_span_in_context(NonRecordingSpan(remote))


def _read_xray(header: str) -> SpanContext | None:
    """Read an X-Ray header, `Root=1-67891233-abcdef012345678912345678;Parent=...;Sampled=1`."""
    fields: dict[str, str] = {}
    for field in header.split(";"):
        name, _, value = field.strip().partition("=")
        fields[name] = value
    try:
        _, seconds, rest = fields["Root"].split("-")
        read = SpanContext(
            int(seconds + rest, 16),
            int(fields["Parent"], 16),
            is_remote=True,
            trace_flags=TraceFlags(fields.get("Sampled") == "1"),
        )
    except (LookupError, ValueError):
        return None
    return read if read.is_valid else None


def _links_of(raw: Fields) -> list[trace.Link]:
    """Return a link to the trace of an SQS message's sender, if the message names one."""
    named = _as_fields(raw.get("messageAttributes"))
    texts = {key: each.get("stringValue") for key, each in named.items()}
    found = propagate.extract(texts, otel_context.Context())
    sender = trace.get_current_span(found).get_span_context()
    if sender.is_valid:
        return [trace.Link(sender)]
    xray = _read_xray(str(_as_fields(raw.get("attributes")).get("AWSTraceHeader")))
    return [] if xray is None else [trace.Link(xray)]


def _end_web_request(span: trace.Span, observed: ObservedEvent, event: Fields, method: str) -> None:
    """Name the span for its route, and note the status of the answer."""
    route = observed.route or _route_of_api(event)
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    status = _as_fields(observed.result).get("statusCode")
    if isinstance(status, int):
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)


def _route_of_api(event: Fields) -> str | None:
    """Return the route of API Gateway; None for one that takes all paths."""
    key = _as_fields(event["requestContext"]).get("routeKey")
    route = key.rpartition(" ")[2] if isinstance(key, str) else event.get("resource")
    if not isinstance(route, str) or route.startswith("$") or route.endswith("+}"):
        return None
    return route
