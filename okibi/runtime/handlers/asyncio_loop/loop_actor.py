"""The actor that looks after the asyncio loop."""

import attrs

from ....actors import Actor, ExitReason
from .loop import AsyncioLoop, LoopEnded


@attrs.define(eq=False)
class LoopActor(Actor):
    """Starts the loop, ends with it when it crashes, and closes it when the tree stops.

    Starting is recovering: one that finds the loop running goes on with it. So to kill it harms
    no handler, and a crash of the loop's thread is cured by its supervisor, with a new loop.

    Args:
        loop: the loop, which outlives this actor.
    """

    loop: AsyncioLoop

    async def init(self) -> None:
        if not self.loop.alive:
            await self.loop.start()

    async def run(self) -> None:
        error = await self.loop.wait_ended()
        raise LoopEnded("the asyncio loop ended by itself") from error

    async def terminate(self, reason: ExitReason) -> None:
        await self.loop.close()
