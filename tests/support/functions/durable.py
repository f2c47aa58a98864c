"""A durable function of AWS's own SDK."""

import os

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration


@durable_execution
def handler(event, context: DurableContext):
    first = context.step(lambda _: os.getpid(), name="first")
    context.wait(Duration.from_seconds(1))
    doubled = context.map(event["orders"], lambda ctx, order, *_: ctx.step(lambda _: 2 * order))
    return {"pids": [first, os.getpid()], "doubled": doubled.get_results()}
