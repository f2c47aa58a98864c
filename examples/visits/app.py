"""A function with state: how often has each AWS service called, and how much was served in all?

`Visits` and `Served` are servers that live beside the handler. When one of them is killed its
supervisor starts it afresh, and the other keeps what it knows.
"""

import os
import sys
from typing import Any

import attrs
import trio

from okibi.actors import Name, Server
from okibi.runtime import Context, Function, Handler
from okibi.supervisors import Child, Strategy, snapshot


@attrs.define(eq=False)
class Visits(Server):
    """A server: its public async methods are its messages, its fields its state."""

    seen: dict[str, int] = attrs.Factory(dict[str, int])

    async def visit(self, service: str) -> int:
        self.seen[service] = self.seen.get(service, 0) + 1
        return self.seen[service]


@attrs.define(eq=False)
class Served(Server):
    """Counts what was served."""

    total: int = 0

    async def one_more(self) -> int:
        self.total += 1
        return self.total


VISITS = Name("visits", Visits)  # typed addresses that survive restarts
SERVED = Name("served", Served)


@attrs.frozen
class Record:
    """One record of SQS, S3 or another batch."""

    eventSource: str  # noqa: N815, AWS's spelling


@attrs.frozen
class Event:
    """As much of an event as this function looks at; what else it holds is passed over."""

    Records: tuple[Record, ...] = ()
    version: str = ""
    httpMethod: str = ""  # noqa: N815
    source: str = ""
    do: str = ""

    @property
    def service(self) -> str:
        """Which AWS service sent it."""
        if self.Records:
            return self.Records[0].eventSource
        if self.version == "2.0":
            return "aws:http-api"
        if self.httpMethod:
            return "aws:rest-api"
        return self.source or "you"


@attrs.define(eq=False)
class Greeter(Handler[Event]):
    """Greets the caller. Made once a worker, kept across invocations."""

    served_here: int = 0

    async def handle(self, event: Event, context: Context) -> dict[str, Any]:
        self.served_here += 1
        if event.do:
            return await misbehave(event.do)
        return {
            "hello": event.service,
            "visit": await VISITS.call(Visits.visit, event.service),
            "served": await SERVED.call(Served.one_more),
            "served by this instance": self.served_here,
            "pid": os.getpid(),
        }


async def misbehave(what: str) -> dict[str, Any]:
    """What ends a sandbox elsewhere."""
    match what:
        case "raise":
            raise ValueError("the handler does not feel well")
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
