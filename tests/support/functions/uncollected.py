"""The soak's handlers, in a process without a garbage collector."""

import gc

import trio
from soaked import Soaked, answer, asynchronous, coroutine, plain, threaded

__all__ = ["Crashing", "Soaked", "asynchronous", "coroutine", "plain", "threaded"]

gc.disable()


class Crashing(Soaked):
    """Raises in a task of the instance."""

    async def handle(self, event, context):
        if event["do"] == "raise":
            self.nursery.start_soon(self.crash, event)
            await trio.sleep_forever()
        return await super().handle(event, context)

    async def crash(self, event):
        answer(event)
