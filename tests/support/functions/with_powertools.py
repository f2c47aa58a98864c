"""An `async def` in each decorator of Powertools, one event at a time."""

import asyncio

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.middleware_factory import lambda_handler_decorator
from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.validation import validate, validator
from aws_xray_sdk.core import xray_recorder
from pydantic import BaseModel

from okibi.runtime import Function, Handler

logger = Logger(service="shop")
metrics = Metrics(namespace="shop", service="shop")
tracer = Tracer(service="shop", auto_patch=False)
NAMED = {"type": "object", "required": ["name"]}


class Order(BaseModel):
    name: str


async def handle(event, context):
    """Return the type of the event and the X-Ray subsegment in which the handler runs."""
    await asyncio.sleep(0)
    print("inside")
    logger.info("in the handler")
    segment = xray_recorder.current_subsegment()
    return {"event": type(event).__name__, "segment": segment and segment.name}


async def measure(event, context):
    await asyncio.sleep(0)
    metrics.add_metric("orders", MetricUnit.Count, event["orders"])


async def flush(event, context):
    await measure(event, context)
    metrics.flush_metrics()


async def check(event, context):
    validate(event=event, schema=NAMED)
    return event["name"]


@lambda_handler_decorator
def around(handler, event, context):
    print("before")
    try:
        return handler(event, context)
    finally:
        print("after")


@lambda_handler_decorator
async def awaits(handler, event, context):
    print("before")
    try:
        return await handler(event, context)
    finally:
        print("after")


def runs(handler):
    """A decorator of the user's own that runs the `async def`."""

    def run(event, context):
        return asyncio.run(handler(event, context))

    run.__wrapped__ = handler
    return run


logged = logger.inject_lambda_context(handle)
parsed = event_parser(model=Order)(handle)
sourced = event_source(data_class=SQSEvent)(handle)
checked_before = validator(inbound_schema=NAMED)(handle)
checked_after = validator(outbound_schema=NAMED)(handle)
traced = logger.inject_lambda_context(tracer.capture_lambda_handler(handle))
traced_as_method = tracer.capture_method(handle)
traced_run = tracer.capture_lambda_handler(runs(handle))
measured = metrics.log_metrics(measure)
wrapped = around(handle)
wrapped_by_async_def = awaits(handle)
function = Function(checked_before)


class Orders(Handler[dict[str, str]]):
    @logger.inject_lambda_context
    async def handle(self, event, context):
        return event
