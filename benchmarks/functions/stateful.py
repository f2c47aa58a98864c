"""The echo with a call to an actor that counts the events."""

from typing import Any

import attrs

from okibi.actors import Name, Server
from okibi.runtime import Context, Function
from okibi.supervisors import Child


@attrs.define(eq=False)
class Counter(Server):
    """Counts events."""

    events: int = 0

    async def count(self) -> int:
        self.events += 1
        return self.events


COUNTER = Name("counter", Counter)


async def echo(event: Any, context: Context) -> Any:
    await COUNTER.call(Counter.count)
    return event


function = Function(echo, children=[Child(Counter, name=COUNTER)])
