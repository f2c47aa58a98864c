"""Functions to shut down: orderly, in a hurry, or holding on."""

import contextlib
import os
import time

import attrs
import trio

from okibi.actors import Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child, SupervisorSpec


@attrs.define(eq=False)
class Member(Server):
    """Logs its end, which may take a while."""

    number: int
    seconds: float = 0.0

    async def terminate(self, reason) -> None:
        await trio.sleep(self.seconds)
        os.write(1, f"member {self.number}\n".encode())


def members(*seconds: float) -> list[Child]:
    return [Child(lambda n=n, s=s: Member(n, s), id=str(n)) for n, s in enumerate(seconds)]


@attrs.define(eq=False)
class Sleeper(Handler[object]):
    async def handle(self, event, context):
        await trio.sleep(event.get("seconds", 0))
        while "until" in event and not os.path.exists(event["until"]):  # noqa: ASYNC110, ASYNC240
            await trio.sleep(0.001)
        return "x" * event.get("size", 2)

    async def terminate(self, reason) -> None:
        os.write(1, b"handler\n")


def plain(event, context):
    try:
        until = time.monotonic() + event.get("seconds", 0)
        while time.monotonic() < until:
            time.sleep(60) if event.get("sleep") else None
        while "until" in event and not os.path.exists(event["until"]):
            time.sleep(0.001)
    except Exception:
        return "it was held"
    return "done"


def cleans_up(event, context):
    try:
        time.sleep(event.get("seconds", 0))
    finally:
        if event:
            time.sleep(event["cleans"])
            print("is rolled back", flush=True)


def holds_on(event, context):
    while event:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


async def shields(event, context):
    with trio.CancelScope(shield=bool(event)):
        await trio.sleep(event.get("seconds", 0))


orderly = Function(Sleeper, members(0, 0, 0))
# The terminate of the last child would take longer than the platform allows.
hurried = Function(Sleeper, [*members(0, 0, 0), Child(lambda: Member(3, 60), id="3")])
nested = Function(
    Sleeper,
    [
        Child(SupervisorSpec(members(0, 0)), id="first"),
        Child(SupervisorSpec(members(60, 60)), id="second"),
    ],
)
# As many children as a function with an actor per connection may have.
many = Function(Sleeper, members(*[0.0] * int(os.environ.get("MEMBERS", "20"))))
