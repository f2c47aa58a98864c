"""A function with telemetry as OBSERVED says; it prints the CPU time of an event."""

import os
import sys
import time
from typing import Any

import sentry_sdk
from aws_lambda_powertools import Logger, Metrics
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

WARM, EVENTS = map(int, os.environ["OBSERVED_EVENTS"].split())
OBSERVED = os.environ["OBSERVED"]
seen: list[float] = []
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SpanProcessor())
tracer = provider.get_tracer("okibi")
logger, metrics = Logger(service="shop"), Metrics(namespace="shop", service="shop")

if OBSERVED in ("observer", "export"):
    from collections.abc import Generator
    from contextlib import contextmanager

    from okibi import telemetry

    @telemetry.around_events
    @contextmanager
    def observe(observed: telemetry.ObservedEvent) -> Generator[None]:
        yield

    if OBSERVED == "export":

        @telemetry.after_events
        def export(seconds: float) -> None: ...


if OBSERVED == "OpenTelemetry":
    from okibi.telemetry.opentelemetry import trace_events

    trace_events(provider)


if OBSERVED == "Powertools":
    from okibi.telemetry import powertools

    powertools.observe(logger=logger, metrics=metrics)


if OBSERVED.startswith("Sentry"):
    # The port of no server: no event is sampled, and none fails.
    sentry_sdk.init("http://key@127.0.0.1:9/1", traces_sample_rate=0.0, send_client_reports=False)
    if OBSERVED == "Sentry":
        from okibi.telemetry import sentry

        sentry.capture_events()


async def nothing() -> None: ...


async def handler(event: Any, context: Any) -> Any:
    seen.append(time.process_time())
    if len(seen) == WARM + EVENTS:
        print(f"CPU {(seen[-1] - seen[WARM - 1]) / EVENTS * 1e6}", file=sys.stderr, flush=True)
    if OBSERVED.startswith("Powertools"):
        metrics.add_metric("orders", "Count", 1)
    if OBSERVED == "after_response":
        context.after_response(nothing)
    return event


async def handler_in_span(event: Any, context: Any) -> Any:
    """As a wrapper of a handler does: a span, and a flush before the response."""
    attributes = {
        "faas.invocation_id": context.aws_request_id,
        "faas.coldstart": False,
        "faas.trigger": "other",
        "cloud.resource_id": context.invoked_function_arn,
        "aws.lambda.invoked_arn": context.invoked_function_arn,
        "cloud.account.id": context.invoked_function_arn.split(":")[4],
    }
    span = tracer.start_span(context.function_name, None, trace.SpanKind.SERVER, attributes)
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        return await handler(event, context)
    finally:
        otel_context.detach(token)
        span.end()
        provider.force_flush(1000)


async def handler_in_decorators(event: Any, context: Any) -> Any:
    """Do what Powertools' decorators do, which are for a plain `def`."""
    done = await handler(event, context)

    @logger.inject_lambda_context
    @metrics.log_metrics
    def answer(event: Any, context: Any) -> Any:
        return done

    return answer(event, context)


async def handler_in_transaction(event: Any, context: Any) -> Any:
    """Do what Sentry's integration does: a scope, a transaction, a flush before the response."""
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("aws_region", os.environ.get("AWS_REGION"))
        headers: dict[str, str] = event.get("headers") or {}
        transaction = sentry_sdk.continue_trace(headers, "function.aws", context.function_name)
        try:
            with sentry_sdk.start_transaction(transaction):
                return await handler(event, context)
        finally:
            sentry_sdk.flush(1)
