"""A function whose child exceeds the restart intensity."""

import os
import time

import trio

from okibi.actors import Name, Server
from okibi.runtime import Function
from okibi.supervisors import Child


class Fragile(Server):
    async def fall(self):
        raise RuntimeError("again")


FRAGILE = Name("fragile", Fragile)


async def handler(event, context):
    match event.get("do"):
        case "hold":
            # Abandoned at the deadline, not cancelled, and still running at the end.
            await trio.to_thread.run_sync(time.sleep, 30)
        case "fall":
            for _ in range(2):
                await FRAGILE.wait()
                FRAGILE.cast_nowait(Fragile.fall)
                await trio.sleep(0.1)
            await trio.sleep_forever()
    return os.getpid()


function = Function(handler, children=[Child(Fragile, name=FRAGILE)], intensity=0)
