"""`check.function`: the demo's function, with a server that reports freezes and the shutdown.

The package contains `examples/visits/app.py` too.
"""

import os

import attrs

from examples.visits.app import SERVED, VISITS, Greeter, Served, Visits
from okibi import Child, Function, Server, Strategy
from okibi.actors import FREEZES, Freeze


@attrs.define(eq=False)
class Watch(Server):
    """Prints a line after a freeze, and one when Lambda ends the sandbox."""

    async def init(self) -> None:
        self.monitor(FREEZES)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Freeze):
            print(f"okibi-check: frozen for {message.seconds:.1f} s", flush=True)

    async def terminate(self, reason: object) -> None:
        print(f"okibi-check: terminated, process {os.getpid()}", flush=True)


function = Function(
    handler=Greeter,
    children=[Child(Visits, name=VISITS), Child(Served, name=SERVED), Child(Watch)],
    strategy=Strategy.ONE_FOR_ONE,
    intensity=3,
    period=5.0,
)
