"""A handler of each kind, with a span of the vendor's around its body."""

import asyncio
import os
import sys
import time

import attrs
import trio

from okibi import Child, Function, Handler, Server

if os.environ["VENDOR"] == "Datadog":
    from ddtrace.trace import tracer

    def span(context):
        return tracer.trace("body", resource=context.aws_request_id)
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
