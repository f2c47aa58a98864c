"""A handler of each kind, with a span of the vendor's around its body."""

import asyncio
import os
import sys
import time
from contextlib import contextmanager

import attrs
import trio

from okibi import Child, Function, Handler, Server

if os.environ["VENDOR"] == "Datadog":
    from ddtrace.trace import tracer

    def span(context):
        return tracer.trace("body", resource=context.aws_request_id)
elif os.environ["VENDOR"] == "Sentry":
    import sentry_sdk

    # They import the web frameworks of the tests, which takes the official client's 16 processes
    # longer than Lambda allows.
    options = {"traces_sample_rate": 1.0, "auto_enabling_integrations": False}
    if os.environ["OFFICIAL"]:
        from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

        sentry_sdk.init(**options, integrations=[AwsLambdaIntegration()])
    else:
        from okibi.telemetry import sentry

        sentry_sdk.init(**options)
        sentry.capture_events()

    @contextmanager
    def span(context):
        with sentry_sdk.start_span(name="body") as found:
            found.set_data("resource", context.aws_request_id)
            yield

elif os.environ["VENDOR"] == "Powertools":
    from aws_lambda_powertools import Logger, Metrics, Tracer

    logger, tracer = Logger(service="shop"), Tracer(service="shop", auto_patch=False)
    alone = os.environ["OFFICIAL"] or "AWS_LAMBDA_MAX_CONCURRENCY" not in os.environ
    metrics = Metrics(namespace="shop", service="shop") if alone else None
    if not os.environ["OFFICIAL"]:
        from okibi.telemetry import powertools

        powertools.observe(logger=logger, tracer=tracer, metrics=metrics)

    @contextmanager
    def span(context):
        request_id = context.aws_request_id
        tracer.put_annotation("event", request_id)
        with tracer.provider.in_subsegment("body") as found:
            found.put_annotation("resource", request_id)
            logger.info(request_id)
            if metrics:
                metrics.add_metadata("request", request_id)
                metrics.add_metric("events", "Count", 1)
            yield

else:
    from opentelemetry import trace

    def span(context):
        attributes = {"resource": context.aws_request_id}
        return trace.get_tracer("test").start_as_current_span("body", attributes=attributes)


def act(event):
    match event.get("do"):
        case "raise":
            raise ValueError("asked for")
        case "exit":
            sys.exit(3)
        case "kill the worker":
            from loops import kill

            kill("/function/lambda/workers/worker-0")
    return event["seconds"]


def plain(event, context):
    with span(context):
        time.sleep(event["seconds"])
        return act(event)


if os.environ["VENDOR"] == "Powertools" and os.environ["OFFICIAL"]:
    plain = logger.inject_lambda_context(tracer.capture_lambda_handler(metrics.log_metrics(plain)))


async def on_trio(event, context):
    with span(context):
        await trio.sleep(event["seconds"])
        result = act(event)
        await trio.lowlevel.checkpoint()
        return result


async def on_asyncio(event, context):
    with span(context):
        await asyncio.sleep(event["seconds"])
        result = act(event)
        await asyncio.sleep(0.05)
        return result


async def stream(event, context):
    with span(context):
        yield "["
        await trio.sleep(event["seconds"])
        yield f"{act(event)}]"
        await trio.lowlevel.checkpoint()


class Class(Handler[dict]):
    async def handle(self, event, context):
        return await on_trio(event, context)


@attrs.define(eq=False)
class Beside(Server): ...


plain_function = Function(plain)
function = Function(Class, [Child(Beside)])
plain_beside = Function(plain, [Child(Beside)])
