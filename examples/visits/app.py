"""Greets AWS services, and counts their visits and the served events.

`Visits` and `Served` are servers beside the handler. If one of them is killed, its supervisor
restarts it, and the other keeps its state.
"""

import os
import sys
from typing import Any

import attrs
import trio

from okibi import Child, Context, Function, Handler, Name, Server, Strategy, snapshot


@attrs.define(eq=False)
class Visits(Server):
    """Counts visits. Public async methods are the messages of a server; fields are its state."""

    seen: dict[str, int] = attrs.Factory(dict[str, int])

    async def visit(self, service: str) -> int:
        self.seen[service] = self.seen.get(service, 0) + 1
        return self.seen[service]


@attrs.define(eq=False)
class Served(Server):
    """Counts served events."""

    total: int = 0

    async def increment(self) -> int:
        self.total += 1
        return self.total


# Typed addresses: the names stay valid when a server restarts.
VISITS = Name("visits", Visits)
SERVED = Name("served", Served)


@attrs.frozen
class Record:
    """A record of an SQS or S3 event."""

    eventSource: str  # noqa: N815, AWS's spelling


@attrs.frozen
class ServiceEvent:
    """The fields of an event that this function uses. Other fields are ignored."""

    Records: tuple[Record, ...] = ()
    version: str = ""
    httpMethod: str = ""  # noqa: N815
    source: str = ""
    do: str = ""

    @property
    def service(self) -> str:
        """The AWS service that sent the event."""
        if self.Records:
            return self.Records[0].eventSource
        if self.version == "2.0":
            return "aws:http-api"
        if self.httpMethod:
            return "aws:rest-api"
        return self.source or "you"


@attrs.define(eq=False)
class Greeter(Handler[ServiceEvent]):
    """Greets the service. Each worker creates one instance and keeps it across invocations."""

    served_here: int = 0

    async def handle(self, event: ServiceEvent, context: Context) -> dict[str, Any]:
        self.served_here += 1
        if event.do:
            return await misbehave(event.do)
        return {
            "hello": event.service,
            "visit": await VISITS.call(Visits.visit, event.service),
            "served": await SERVED.call(Served.increment),
            "served by this instance": self.served_here,
            "pid": os.getpid(),
        }


async def misbehave(what: str) -> dict[str, Any]:
    """Do what would end the sandbox in another runtime."""
    match what:
        case "raise":
            raise ValueError("the handler raises")
        case "sleep":
            await trio.sleep_forever()
        case "exit":
            sys.exit(3)
        case "kill visits":
            visits = VISITS.whereis()
            if visits is not None:
                visits.kill()
        case _:
            pass
    return {"tree": str(snapshot()), "pid": os.getpid()}


function = Function(
    handler=Greeter,
    children=[Child(Visits, name=VISITS), Child(Served, name=SERVED)],
    strategy=Strategy.ONE_FOR_ONE,
    intensity=3,
    period=5.0,
)
