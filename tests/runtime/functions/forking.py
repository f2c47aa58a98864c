"""Handlers that fork on a loop, and go on awaiting in the child."""

import asyncio
import contextlib
import os
import resource
import sys

import attrs
import trio

from actors import Name, Server, trio_internals
from runtime import Function, Handler
from supervisors import Child

# Of every handler that has come to its end, in whichever process.
ENDED = "ended"


async def code_of(child, sleep=trio.sleep):
    """How a child has ended; None if it has not, and will not."""
    for _ in range(300):
        pid, status = os.waitpid(child, os.WNOHANG)  # noqa: ASYNC222, it does not block
        if pid:
            return os.waitstatus_to_exitcode(status)
        await sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)  # noqa: ASYNC222, it is dead
    return None


def end(then):
    match then:
        case "_exit":
            os._exit(7)
        case "exit":
            sys.exit(8)
        case "raise":
            raise ValueError("no")
    return "from the child"


def sees(n):
    """What all handlers have ended so far, this one among them."""
    with open(ENDED, "a") as ended:
        ended.write(f"{n}\n")
    with open(ENDED) as ended:
        return ended.read().split()


@attrs.define(eq=False)
class Forker(Server):
    at_init: object = None
    asked: int = 0

    async def init(self):
        child = os.fork()
        if child == 0:
            await trio.sleep(0.01)
            return
        self.at_init = await code_of(child)

    async def fork(self, then):
        child = os.fork()
        if child == 0:
            await trio.sleep(0.02)
            return end(then)
        return await code_of(child)

    async def ask(self):
        self.asked += 1
        return self.asked

    async def code_at_init(self):
        return self.at_init

    async def fork_and_keep(self):
        self.at_init = await self.fork("return")

    async def note(self, to):
        os.write(to, b".")


FORKER = Name("forker", Forker)


@attrs.define(eq=False)
class Timed(Server):
    """Is to be told something soon, by a timer."""

    came: int = 0
    ticks: object = None

    async def begin(self, timer):
        self.came = 0
        match timer:
            case "send_every":
                self.ticks = self.send_every(0.05, timer)
            case "send_after":
                self.send_after(0.05, timer)
            case "timeout_after":
                self.timeout_after(0.05)

    async def handle_info(self, message):
        self.came += 1
        if message == "send_every":
            self.ticks.cancel()

    async def count(self):
        return self.came


TIMED = Name("timed", Timed)


@attrs.define(eq=False)
class Forks(Handler[dict]):
    async def handle(self, event, context):
        then = event.get("then")
        match event["do"]:
            case "wait":
                await trio.sleep(0.01 * event["n"])
                return sees(event["n"])
            case "fork":
                child = os.fork()
                if child == 0:
                    for _ in range(5):
                        await trio.sleep(0.01)
                    return end(then)
                return await code_of(child)
            case "in a task":
                forked = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.forks, forked, then)
                # In the child the handler goes on.
                return await code_of(forked[0]) if forked else sys.exit(9)
            case "beside":
                forked = []
                self.nursery.start_soon(self.forks, forked, then)
                while not forked:  # noqa: ASYNC110, as short as a test
                    await trio.sleep(0.001)
                return await code_of(forked[0])
            case "library":
                child = os.fork()
                if child == 0:
                    three = await trio.to_thread.run_sync(trio.from_thread.run, self.three)
                    run = await trio.run_process(["echo", "4"], capture_stdout=True)
                    os._exit(three + int(run.stdout))
                return await code_of(child)
            case "ask":
                child = os.fork()
                if child == 0:
                    await trio.sleep(0.01)
                    os._exit(6 + await FORKER.call(Forker.ask))
                return await code_of(child)
            case "timers":
                await TIMED.call(Timed.begin, then)
                child = os.fork()
                await trio.sleep(0.2)
                count = await TIMED.call(Timed.count)
                return [await code_of(child), count] if child else os._exit(count)
            case "actor":
                return await FORKER.call(Forker.fork, then)
            case "init":
                return await FORKER.call(Forker.code_at_init)
            case "with mail":
                noted, to = os.pipe()
                FORKER.cast_nowait(Forker.fork_and_keep)
                FORKER.cast_nowait(Forker.note, to)
                code = await FORKER.call(Forker.code_at_init)
                return [code, len(os.read(noted, 10))]

    async def forks(self, forked, then):
        child = os.fork()
        if child == 0:
            await trio.sleep(0.02)
            end(then)
        else:
            forked.append(child)

    async def three(self):
        await trio.sleep(0.001)
        return 3


function = Function(handler=Forks, children=[Child(Forker, name=FORKER), Child(Timed, name=TIMED)])


async def streams(event, context):
    child = os.fork()
    if child == 0:
        await trio.sleep(0.02)
        yield end(event["then"])
    else:
        yield str(await code_of(child))


async def unread(event, context):
    """As with a release of trio's of which nothing is known."""
    trio_internals.CONTEXT = None
    child = os.fork()
    if child == 0:
        if event["then"] == "wait":
            await trio.sleep(0.01)
        return end(event["then"])
    return await code_of(child)


async def on_asyncio(event, context):
    if event["do"] == "wait":
        await asyncio.sleep(0.01 * event["n"])
        return sees(event["n"])

    async def forks():
        child = os.fork()
        if child == 0 and event["then"] == "wait":
            # What most await says by itself that no loop runs.
            await asyncio.sleep(0)
            os._exit(7)
        return child

    (child,) = await asyncio.gather(forks())
    return await code_of(child, asyncio.sleep)


async def without_descriptors(event, context):
    """Fork where none is left, of a few; or where some are."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    held = []
    with contextlib.suppress(OSError):
        while event["hold"]:
            held.append(os.dup(0))
    child = os.fork()
    if child == 0:
        await trio.sleep(0.01)
        os._exit(7)
    for each in held:
        os.close(each)
    return await code_of(child)
