"""A function that notices freezes of its sandbox."""

import attrs

from okibi.actors import FREEZES, Freeze, Name, Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child


@attrs.define(eq=False)
class Knowing(Server):
    thaws: list[float] = attrs.Factory(list)
    ticks: int = 0
    starts: int = 0

    async def init(self) -> None:
        self.monitor(FREEZES)
        self.send_every(0.05, "tick")

    async def handle_info(self, message) -> None:
        if isinstance(message, Freeze):
            self.thaws.append(message.seconds)
        else:
            self.ticks += 1

    async def known(self):
        return {"thaws": self.thaws, "ticks": self.ticks}


@attrs.define(eq=False)
class Fragile(Server):
    async def fail(self) -> None:
        raise RuntimeError("asked for")


KNOWING = Name("knowing", Knowing)
FRAGILE = Name("fragile", Fragile)


@attrs.define(eq=False)
class Asking(Handler[object]):
    async def handle(self, event, context):
        if event.get("fail"):
            await FRAGILE.cast(Fragile.fail)
        return await KNOWING.call(Knowing.known)


# One restart per second is allowed.
function = Function(
    Asking,
    [Child(Knowing, name=KNOWING), Child(Fragile, name=FRAGILE)],
    intensity=1,
    period=1.0,
)
