"""The actor that starts and closes the asyncio loop."""

import attrs

from ..actors import Actor, ExitReason
from .loop import AsyncioLoop, LoopEnded


@attrs.define(eq=False)
class LoopActor(Actor):
    """Starts the loop, crashes when the loop crashes, and closes the loop when the tree stops.

    A restarted actor adopts a loop that is still running, so killing the actor harms no handler.
    After a crash of the loop, the supervisor restarts the actor, which starts a new loop.

    Args:
        loop: the loop, which outlives this actor.
    """

    loop: AsyncioLoop

    async def init(self) -> None:
        if not self.loop.alive:
            self.loop.start()

    async def run(self) -> None:
        error = await self.loop.wait_ended()
        raise LoopEnded("the asyncio loop ended unexpectedly") from error

    async def terminate(self, reason: ExitReason) -> None:
        await self.loop.close()
