"""A Function whose handler, a plain `def`, asks an actor."""

import os

import attrs

from okibi import Child, Function, Name, Server
from okibi.actors import from_sync


@attrs.define(eq=False)
class Flags(Server):
    async def get(self):
        return "on"


FLAGS = Name("flags", Flags)
children = [Child(Flags, name=FLAGS)]


def handler(event, context):
    return from_sync.call(FLAGS, Flags.get)


function = Function(handler, children)

if "DD_TRACE_AWS_LAMBDA_ENABLED" in os.environ:
    from datadog_lambda.wrapper import datadog_lambda_wrapper

    wrapped = Function(datadog_lambda_wrapper(handler), children)
